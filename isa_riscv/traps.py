"""How user code of RISC-V enters and leaves user mode; its clock reads and atomics.

Sources: RISC-V Privileged Architecture, "Machine Cause Register" (exception codes), "mstatus",
"mcounteren", "Trap-Return Instructions"; RISC-V Unprivileged ISA, chapters "A" (encodings of
atomics) and "Zicntr" (counters); the Linux system-call convention (syscall(2)).
"""

from cosim.engine.interface import Reason
from cosim.trap_tables import (
    AtomicForms,
    Clock,
    ClockRead,
    DeniedInstruction,
    MonitorProbe,
    UserEntry,
)

# System calls.
SYSTEM_CALL_LENGTH_BYTES = 4  # ecall
SYSTEM_CALL_NUMBER = "a7"
SYSTEM_CALL_ARGUMENTS = ("a0", "a1", "a2", "a3", "a4", "a5")
SYSTEM_CALL_RESULT = "a0"
SYSTEM_CALL_SAVES: dict[str, str] = {}  # the instruction overwrites nothing
SYSTEM_CALL_HOOK = None  # an exception on this ISA
SYSTEM_CALL_EXCEPTIONS = frozenset({8})

# Exception number -> (reason, text for reports).
EXCEPTIONS = {
    0: (Reason.ALIGNMENT, "instruction address misaligned"),
    1: (Reason.ILLEGAL, "instruction access fault"),
    2: (Reason.ILLEGAL, "illegal instruction"),
    4: (Reason.ALIGNMENT, "load address misaligned"),
    6: (Reason.ALIGNMENT, "store or atomic address misaligned"),
}
OTHER_EXCEPTION = (Reason.ILLEGAL, "exception without a handler")
# The translator calls only ebreak invalid; undefined instructions are exceptions.
INVALID_INSTRUCTION = (Reason.BREAKPOINT, "ebreak")
EXCEPTION_MASK = 0x7FFFFFFF

# The translator refuses in user mode what it must.
DENIED_INSTRUCTIONS: tuple[DeniedInstruction, ...] = ()
DENIED_TEXT = "illegal instruction"
DENIED_CHANGES = ""
DENIED_SYSTEM_REGISTERS = ()

PC_ALIGNMENT_BYTES = 2
ALIGNMENT_BASE = (15, 5)  # rs1: only atomics check alignment, and it is their whole address

# Clock reads: illegal in user mode here (mcounteren = 0), recognised by their word: csrrs rd, csr,
# zero.  instret is given to nobody, as Linux does.
_CSR_READ = 0xFFFFF07F
CLOCK_READS = (
    ClockRead(4, _CSR_READ, 0xC0002073, Clock.COUNTER, field=(7, 5)),  # rdcycle
    ClockRead(4, _CSR_READ, 0xC0102073, Clock.COUNTER, field=(7, 5)),  # rdtime
)

# Atomic read-modify-writes: store conditional (checks, then stores) and the AMOs.
ATOMICS = AtomicForms(
    byte_classes=b"",
    word_patterns=(
        # mask       value       atomic
        (0xF800607F, 0x1000202F, False),  # lr: a load
        (0x0000607F, 0x0000202F, True),  # sc, amoswap, amoadd, ..., amomaxu
    ),
    class_byte=0,  # the opcode
)

_MISA = 2 << 62 | sum(1 << ord(letter) - ord("A") for letter in "ACDFIMU")  # as its model has it

# Entering user mode: mret.
USER_ENTRY = UserEntry(
    code=bytes.fromhex("73002030"),
    registers={
        "mepc": None,  # None: the address after the code
        "mstatus": 3 << 13,  # FS: floating point is on; MPP: user
        "mcounteren": 0,  # counters are illegal in user mode
    },
    model_registers={},
    # Counters can be refused under version 1.9.1 of the privileged architecture only, not under
    # 1.11: the translator then obeys mcounteren.  The words are the version and misa.
    hidden_words=(((0x11100, _MISA), (0x10901, _MISA)),),
)
LATCH_PROBE = b""  # the translator remembers no exception on this ISA
LATCH_VALUE = 0

# lr.d t2, (t0).
MONITOR_PROBE = MonitorProbe((0x1002B3AF).to_bytes(4, "little"), "t0")
