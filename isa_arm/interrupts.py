"""Inter-processor interrupts of AArch64: software-generated interrupts (SGI) of the GICv3.

Source: Arm Generic Interrupt Controller Architecture Specification IHI 0069 (GICv3),
"ICC_SGI1R_EL1, Interrupt Controller Software Generated Interrupt Group 1 Register" and "INTIDs".  A
core's affinity is its machine-wide number: Aff0 = number mod 16 (one bit of the target list), the
rest in Aff1, Aff2 and Aff3. Only what the broker needs is here: SGIs to one core, no broadcast,
range selector 0.
"""

from cosim.bits import BitLayout, F
from cosim.errors import ProtocolError

SGI1R = BitLayout("ICC_SGI1R_EL1", 64, "Arm IHI 0069, ICC_SGI1R_EL1", (
    # name                  lo width  meaning
    F("target_list",         0, 16,  "one bit per Aff0 of the cluster"),
    F("aff1",               16,  8,  "affinity level 1 of the targets"),
    F("intid",              24,  4,  "INTID of the SGI, 0..15"),
    F("reserved28",         28,  4,  "zero"),
    F("aff2",               32,  8,  "affinity level 2 of the targets"),
    F("irm",                40,  1,  "0: the target list, 1: all but self"),
    F("reserved41",         41,  3,  "zero"),
    F("range_selector",     44,  4,  "which 16 values of Aff0 the target list means"),
    F("aff3",               48,  8,  "affinity level 3 of the targets"),
    F("reserved56",         56,  8,  "zero"),
))  # fmt: skip

CLUSTER_CORES = 16  # bits of the target list

# The INTID of each function number of cosim/broker.py.  By convention SGIs 0..7 belong to the
# operating system (8..15 to secure firmware).  Linux numbers the first two in the same way.
INTIDS = (
    0,  # RESCHEDULE
    1,  # CALL_FUNCTION
    2,  # MESSAGE
    3,  # MIGRATE
    4,  # USER
    5,  # ACKNOWLEDGE
    6,  # NETWORK
)
FUNCTIONS = {intid: function for function, intid in enumerate(INTIDS)}


def encode_send(target_cpu: int, function: int) -> int:
    """The ICC_SGI1R_EL1 value that interrupts core `target_cpu` for `function`."""
    cluster, aff0 = divmod(target_cpu, CLUSTER_CORES)
    return SGI1R.encode(
        target_list=1 << aff0, intid=INTIDS[function],
        aff1=cluster & 0xFF, aff2=cluster >> 8 & 0xFF, aff3=cluster >> 16,
    )  # fmt: skip


def decode_send(word: int) -> tuple[int, int]:
    """(target core, function) of an ICC_SGI1R_EL1 value.  ProtocolError for one that encode_send
    cannot make.
    """
    fields = SGI1R.decode(word)
    function = FUNCTIONS.get(fields["intid"])
    cluster = fields["aff3"] << 16 | fields["aff2"] << 8 | fields["aff1"]
    target_cpu = cluster * CLUSTER_CORES + fields["target_list"].bit_length() - 1
    if function is None or not fields["target_list"] or word != encode_send(target_cpu, function):
        raise ProtocolError(
            f"arm: ICC_SGI1R_EL1 {word:#018x} is not an SGI to one core with a known INTID"
        )
    return target_cpu, function


def encode_receive(function: int) -> int:
    """The INTID with which `function` arrives."""
    return INTIDS[function]


def decode_receive(intid: int) -> int:
    """The function that arrives with `intid`.  ProtocolError for an unknown INTID."""
    if intid not in FUNCTIONS:
        raise ProtocolError(f"arm: INTID {intid} has no function")
    return FUNCTIONS[intid]
