"""Inter-processor interrupts of RISC-V: the supervisor software interrupt.

Sources: RISC-V ACLINT specification, "SSWI" (a write of 1 to a hart's SETSSIP register makes its
software interrupt pending); RISC-V Privileged Architecture, "Supervisor Cause Register" (interrupt
1).  A software interrupt has no number, so what it is for lies in a word of pending bits per hart,
as in Linux' kernel/irq/ipi-mux.c: a sender sets one bit there and writes SETSSIP.  The word here is
both: the hart's SETSSIP register and the bit.  A hart's number is its machine-wide core number.
"""

from cosim.bits import BitLayout, F
from cosim.errors import ProtocolError

SEND = BitLayout("SETSSIP and pending bit", 64, "RISC-V ACLINT, SSWI; Linux kernel/irq/ipi-mux.c", (
    # name                  lo width  meaning
    F("bits",                0, 31,  "the bit that is set in the word of the hart"),
    F("set",                31,  1,  "written to SETSSIP: 1 makes the interrupt pending"),
    F("hart",               32, 32,  "whose SETSSIP register: offset 4 * hart"),
))  # fmt: skip

# The pending bit of each function number of cosim/broker.py.  The first two are those of Linux
# (arch/riscv/kernel/smp.c, enum ipi_message_type).
BITS = (
    0,  # RESCHEDULE
    1,  # CALL_FUNCTION
    8,  # MESSAGE
    9,  # MIGRATE
    10,  # USER
    11,  # ACKNOWLEDGE
    12,  # NETWORK
)
FUNCTIONS = {1 << bit: function for function, bit in enumerate(BITS)}


def encode_send(target_cpu: int, function: int) -> int:
    """The word that interrupts core `target_cpu` for `function`."""
    return SEND.encode(bits=1 << BITS[function], set=1, hart=target_cpu)


def decode_send(word: int) -> tuple[int, int]:
    """(target core, function) of such a word.  ProtocolError for one that encode_send cannot
    make.
    """
    fields = SEND.decode(word)
    function = FUNCTIONS.get(fields["bits"])
    if function is None or not fields["set"]:
        raise ProtocolError(
            f"riscv: {word:#018x} is not a software interrupt to one hart with a known pending bit"
        )
    return fields["hart"], function


def encode_receive(function: int) -> int:
    """The pending word that the handler of the software interrupt finds."""
    return 1 << BITS[function]


def decode_receive(pending: int) -> int:
    """The function of a pending word.  ProtocolError for an unknown bit, or several."""
    if pending not in FUNCTIONS:
        raise ProtocolError(f"riscv: pending word {pending:#x} has no function")
    return FUNCTIONS[pending]
