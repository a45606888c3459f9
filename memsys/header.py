"""Words of the hierarchy's header, by name: sizes, switches, and where the parts begin
(memsys.state).

Plain integers, not an IntEnum: compiled code indexes a pointer with them.
"""

MAGIC = 0
WORDS = 1  # length of the whole hierarchy
CORES = 2
DOMAINS = 3
NODES = 4
LINES = 5  # lines of physical memory
INCLUSIVE = 6
DROPS_OWNER_L1 = 7
SILENT_SHARED = 8
HAS_FILTER = 9
FILTER_SETS = 10  # 0: unlimited
FILTER_WAYS = 11
FILTER_LINES = 12  # limited: first line word
FILTER_ENTRIES = 13  # limited: first entry
FILTER = 14  # unlimited: a table of four words, see memsys.entries
CORE_BLOCKS = 18
DOMAIN_BLOCKS = 19
PLACES = 20
COST = 21  # cycles of the access in progress
BROKEN = 22  # not 0: a transition the coherence table calls impossible, see memsys.laws
