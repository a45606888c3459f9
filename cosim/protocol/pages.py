"""Protocol `pages`: a node on another host works on its own copy of the memory, which follows the turns.

Socket: ROUTER bound by the home of the pages, on the memory system's host; one DEALER per pager, which sits beside
the node and whose routing id is the node's name.

```text
 pager                                    home
 attach ────────────────────────────────▶           token
        ◀──────────────────────────────── attached  the segments, to be made there as well
 refresh ───────────────────────────────▶           before a turn of the node
        ◀──────────────────────────────── changes*  what others wrote into pages that are kept in common
 fetch  ────────────────────────────────▶           in a turn, when a page is touched for the first time
        ◀──────────────────────────────── changes   from zeroes to what it holds
 forget ────────────────────────────────▶           instead, when too many are kept: each costs time at every turn
        ◀──────────────────────────────── forgotten none is kept
 commit*────────────────────────────────▶           after a turn: what the node wrote
        ◀──────────────────────────────── committed it is in memory: the turn may end
```
"""

from cosim.protocol.control import NAME
from cosim.units import PAGE_BYTES
from cosim.wire import I64_MAX, Field, Message, Protocol, Type

WORD_BYTES = 8
MASK_BYTES = PAGE_BYTES // WORD_BYTES // 8
DELTA_PAGES_MAX = 1024  # of one message: at most 4.3 MB
RUN_PAGES_MAX = 64  # pages of one fetch

SEGMENT_ROW = (
    Field("name", Type.TEXT, "", NAME, "name of the segment"),
    Field("size_bytes", Type.INT, "byte", (1, I64_MAX), "its size"),
)  # fmt: skip

DELTA = (
    Field("pages", Type.BYTES, "byte", (0, 8 * DELTA_PAGES_MAX), "numbers of the pages that changed, u64 each"),
    Field("masks", Type.BYTES, "byte", (0, MASK_BYTES * DELTA_PAGES_MAX), "per page a bit for each word that changed"),
    Field("words", Type.BYTES, "byte", (0, PAGE_BYTES * DELTA_PAGES_MAX), "these words, u64 each, in order"),
    Field("more", Type.BOOL, "", (), "another message follows"),
)  # fmt: skip

ATTACH = Message("attach", "First message of a pager.", (
    Field("node", Type.TEXT, "", NAME, "its node, equal to the routing id"),
    Field("token", Type.TEXT, "", (0, 128), "the run's secret"),
), answer="attached")  # fmt: skip

FETCH = Message("fetch", "The node touched a page that is not kept in common yet.", (
    Field("page", Type.INT, "", (0, I64_MAX), "its number, counted over all segments"),
    Field("most", Type.INT, "", (1, RUN_PAGES_MAX), "as many pages from it on may come at once"),
), answer="changes")  # fmt: skip

FORGET = Message("forget", "Keep no page in common any more.", answer="forgotten")
FORGOTTEN = Message("forgotten", "No page is kept in common.")
REFRESH = Message("refresh", "A turn of the node begins.", answer="changes")
COMMIT = Message("commit", "What the node wrote in its turn.", DELTA, answer="committed")

ATTACHED = Message("attached", "The segments of the machine, in the order of their page numbers.", (
    Field("segments", Type.ROWS, "", (1, 64), "segments", SEGMENT_ROW),
))  # fmt: skip

CHANGES = Message("changes", "What differs from the pages as both ends last knew them.", (
    Field("count", Type.INT, "", (0, RUN_PAGES_MAX), "pages that are kept in common from now on"),
    *DELTA,
))  # fmt: skip

COMMITTED = Message("committed", "The changes are in memory.")

PROTOCOL = Protocol(
    "pages", 1, "Brings the pages a node on another host needs, and takes back what it wrote.",
    roles={
        "home": (ATTACHED, CHANGES, COMMITTED, FORGOTTEN),
        "pager": (ATTACH, FETCH, REFRESH, COMMIT, FORGET),
    },
)  # fmt: skip
