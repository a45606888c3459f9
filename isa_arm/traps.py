"""How user code of AArch64 enters and leaves user mode; its clock reads and atomics.

Sources: Arm ARM DDI 0487J, C6.2 (instructions), C4.1 (encodings of loads, stores and atomics),
D17.2 (system registers); the Linux AArch64 system-call convention.  Exception numbers are QEMU's
(target/arm/cpu.h), which Unicorn reports.
"""

from cosim.engine.interface import Reason
from cosim.trap_tables import (
    AtomicForms,
    Clock,
    ClockRead,
    DeniedForm,
    DeniedInstruction,
    MonitorProbe,
    UserEntry,
)

# System calls.
SYSTEM_CALL_LENGTH_BYTES = 4  # svc #imm
SYSTEM_CALL_NUMBER = "x8"
SYSTEM_CALL_ARGUMENTS = ("x0", "x1", "x2", "x3", "x4", "x5")
SYSTEM_CALL_RESULT = "x0"
SYSTEM_CALL_SAVES: dict[str, str] = {}  # the instruction overwrites nothing
SYSTEM_CALL_HOOK = None  # an exception on this ISA
SYSTEM_CALL_EXCEPTIONS = frozenset({2})

# Exception number -> (reason, text for reports).
EXCEPTIONS = {
    1: (Reason.ILLEGAL, "undefined or privileged instruction"),
    3: (Reason.ALIGNMENT, "program counter alignment"),
    4: (Reason.ALIGNMENT, "data alignment"),
    7: (Reason.BREAKPOINT, "brk"),
    17: (Reason.ALIGNMENT, "unaligned access"),
}
OTHER_EXCEPTION = (Reason.ILLEGAL, "exception without a handler")
INVALID_INSTRUCTION = (Reason.ILLEGAL, "undefined instruction")
EXCEPTION_MASK = 0xFFFFFFFF

# Instructions the translator would execute in user mode although they must not be.
DENIED_INSTRUCTIONS = (DeniedInstruction("UC_ARM64_INS_MRS", DeniedForm.SYSTEM_REGISTER),)
DENIED_TEXT = "undefined: random numbers would come from the host, a run would not repeat"
DENIED_CHANGES = ""
DENIED_SYSTEM_REGISTERS = (
    # crn crm op0 op1 op2
    (2, 4, 3, 3, 0),  # RNDR
    (2, 4, 3, 3, 1),  # RNDRRS
)

PC_ALIGNMENT_BYTES = 4
ALIGNMENT_BASE = (5, 5)  # Rn: base register of every instruction that checks alignment

# Clock reads: undefined in user mode here (CNTKCTL_EL1 = 0), recognised by their word.
_MRS = 0xFFFFFFE0
CLOCK_READS = (
    ClockRead(4, _MRS, 0xD53BE040, Clock.COUNTER, field=(0, 5)),  # CNTVCT_EL0
    ClockRead(4, _MRS, 0xD53BE0C0, Clock.COUNTER, field=(0, 5)),  # CNTVCTSS_EL0
    ClockRead(4, _MRS, 0xD53BE020, Clock.COUNTER, field=(0, 5)),  # CNTPCT_EL0
    ClockRead(4, _MRS, 0xD53BE000, Clock.FREQUENCY, field=(0, 5)),  # CNTFRQ_EL0
)

# Atomic read-modify-writes: store exclusive (checks, then stores), compare and swap, LSE atomics.
ATOMICS = AtomicForms(
    byte_classes=b"",
    word_patterns=(
        # mask       value       atomic
        # ldapr: an ordered load in the middle of the atomics' space
        (0x3FFFFC00, 0x38BFC000, False),
        (0x3F200C00, 0x38200000, True),  # ldadd, ldclr, ldeor, ldset, ldsmax, ..., swp
        (0x3FE00000, 0x08000000, True),  # stxr, stlxr
        (0xBFE00000, 0x88200000, True),  # stxp, stlxp
        (0xBFA00000, 0x08200000, True),  # casp
        (0x3FA00000, 0x08A00000, True),  # cas
    ),
)

# Entering user mode: msr sctlr_el1,x2; cpacr_el1,x3; elr_el1,x0; spsr_el1,x1; isb; eret.
USER_ENTRY = UserEntry(
    code=b"".join(
        word.to_bytes(4, "little")
        for word in (0xD5181002, 0xD5181043, 0xD5184020, 0xD5184001, 0xD5033FDF, 0xD69F03E0)
    ),
    registers={
        "x0": None,  # None: the address after the code
        "x1": 0,  # EL0, flags clear
        # Reset value, UCT (CTR_EL0 readable), UCI (cache maintenance), nTWI, nTWE; DZE = 0: dc zva
        # is disabled and DCZID_EL0.DZP says so, because the translator would not show its stores.
        "x2": 0x00C50838 | 1 << 15 | 1 << 26 | 1 << 16 | 1 << 18,
        "x3": 3 << 20,  # CPACR_EL1.FPEN
    },
    model_registers={},
)
LATCH_PROBE = b""  # the translator remembers no exception on this ISA
LATCH_VALUE = 0

# ldxr x2, [x0].
MONITOR_PROBE = MonitorProbe((0xC85F7C02).to_bytes(4, "little"), "x0")
