"""Inter-processor interrupts of x86-64: the local APIC's interrupt command register in x2APIC mode.

Source: Intel SDM vol. 3A, chapter "Advanced Programmable Interrupt Controller (APIC)", sections
"Issuing Interprocessor Interrupts" and "ICR Operation in x2APIC Mode".  A core's APIC id is its
machine-wide core number. Only what the broker needs is here: fixed, edge-triggered interrupts to
one core, no shorthand.
"""

from cosim.bits import BitLayout, F
from cosim.errors import ProtocolError

ICR = BitLayout("x2APIC interrupt command register", 64, "Intel SDM vol. 3A, ICR Operation in "
                                                         "x2APIC Mode", (
    # name                  lo width  meaning
    F("vector",              0,  8,  "vector of the interrupt"),
    F("delivery_mode",       8,  3,  "0 fixed, 2 SMI, 4 NMI, 5 INIT, 6 start-up"),
    F("destination_mode",   11,  1,  "0 physical, 1 logical"),
    F("reserved12",         12,  2,  "zero (bit 12 is the delivery status outside x2APIC mode)"),
    F("level",              14,  1,  "1 assert; 0 only for INIT de-assert"),
    F("trigger_mode",       15,  1,  "0 edge, 1 level"),
    F("reserved16",         16,  2,  "zero"),
    F("shorthand",          18,  2,  "0 none, 1 self, 2 all, 3 all but self"),
    F("reserved20",         20, 12,  "zero"),
    F("destination",        32, 32,  "x2APIC id of the target"),
))  # fmt: skip

# The vector of each function number of cosim/broker.py.  The first two are the ones Linux uses
# (arch/x86/include/asm/irq_vectors.h); the others are free in the same block of system vectors.
VECTORS = (
    0xFD,  # RESCHEDULE
    0xFC,  # CALL_FUNCTION
    0xE8,  # MESSAGE
    0xE7,  # MIGRATE
    0xE6,  # USER
    0xE5,  # ACKNOWLEDGE
    0xE4,  # NETWORK
)
FUNCTIONS = {vector: function for function, vector in enumerate(VECTORS)}
DELIVERY_FIXED = 0
LEVEL_ASSERT = 1


def encode_send(target_cpu: int, function: int) -> int:
    """The ICR value that interrupts core `target_cpu` for `function`."""
    return ICR.encode(
        vector=VECTORS[function],
        delivery_mode=DELIVERY_FIXED,
        level=LEVEL_ASSERT,
        destination=target_cpu,
    )


def decode_send(word: int) -> tuple[int, int]:
    """(target core, function) of an ICR value.  ProtocolError for one that encode_send cannot
    make.
    """
    fields = ICR.decode(word)
    function = FUNCTIONS.get(fields["vector"])
    if function is None or word != encode_send(fields["destination"], function):
        raise ProtocolError(
            f"x86: ICR {word:#018x} is not a fixed interrupt to one core with a known vector"
        )
    return fields["destination"], function


def encode_receive(function: int) -> int:
    """The vector at which `function` arrives."""
    return VECTORS[function]


def decode_receive(vector: int) -> int:
    """The function that arrives at `vector`.  ProtocolError for an unknown vector."""
    if vector not in FUNCTIONS:
        raise ProtocolError(f"x86: vector {vector:#x} has no function")
    return FUNCTIONS[vector]
