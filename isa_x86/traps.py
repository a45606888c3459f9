"""How user code of x86-64 enters and leaves user mode; its clock reads and atomics.

Sources: Intel SDM volume 2 (instruction formats, LOCK, XCHG, RDTSC, RDTSCP, SYSCALL, SYSRET),
volume 3A chapter 6 (vectors); the Linux system-call convention of the x86-64 psABI, appendix A.2.
"""

from cosim.engine.interface import Reason
from cosim.trap_tables import (
    AtomicForms,
    Clock,
    ClockRead,
    DeniedForm,
    DeniedInstruction,
    UserEntry,
)

# System calls.
SYSTEM_CALL_LENGTH_BYTES = 2  # syscall: 0f 05
SYSTEM_CALL_NUMBER = "rax"
SYSTEM_CALL_ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
SYSTEM_CALL_RESULT = "rax"
SYSTEM_CALL_SAVES = {"rcx": "pc", "r11": "flags"}  # the instruction itself overwrites these
SYSTEM_CALL_HOOK = "UC_X86_INS_SYSCALL"  # not an exception on this ISA
SYSTEM_CALL_EXCEPTIONS: frozenset[int] = frozenset()

# Exception number -> (reason, text for reports).
EXCEPTIONS = {
    0: (Reason.ARITHMETIC, "#DE divide error"),
    1: (Reason.BREAKPOINT, "#DB debug"),
    3: (Reason.BREAKPOINT, "#BP breakpoint"),
    4: (Reason.ARITHMETIC, "#OF overflow"),
    5: (Reason.ILLEGAL, "#BR bound range exceeded"),
    6: (Reason.ILLEGAL, "#UD invalid opcode"),
    7: (Reason.ILLEGAL, "#NM device not available"),
    8: (Reason.ILLEGAL, "#DF double fault"),
    10: (Reason.ILLEGAL, "#TS invalid TSS"),
    11: (Reason.ILLEGAL, "#NP segment not present"),
    12: (Reason.ILLEGAL, "#SS stack segment fault"),
    13: (Reason.ILLEGAL, "#GP general protection: privileged instruction or operand"),
    16: (Reason.ARITHMETIC, "#MF x87 floating-point error"),
    17: (Reason.ALIGNMENT, "#AC alignment check"),
    19: (Reason.ARITHMETIC, "#XM SIMD floating-point exception"),
}
OTHER_EXCEPTION = (Reason.ILLEGAL, "#GP software interrupt to a closed gate")
INVALID_INSTRUCTION = (Reason.ILLEGAL, "#UD invalid opcode")
EXCEPTION_MASK = 0xFF

# Instructions the translator would execute in user mode although they are privileged.
DENIED_INSTRUCTIONS = (
    DeniedInstruction("UC_X86_INS_IN", DeniedForm.PORT_INPUT),
    DeniedInstruction("UC_X86_INS_OUT", DeniedForm.PORT_OUTPUT),
    DeniedInstruction("UC_X86_INS_SYSENTER", DeniedForm.PLAIN),
)
DENIED_TEXT = "#GP general protection: port access or sysenter"
DENIED_CHANGES = "rax"  # what port input overwrites before the translator stops
DENIED_SYSTEM_REGISTERS = ()

PC_ALIGNMENT_BYTES = 1
ALIGNMENT_BASE = None  # no instruction field names the base register

# Clock reads: they raise an exception in user mode (CR4.TSD) and are recognised by their bytes.
CLOCK_READS = (
    # length mask        value       clock            register field (low bit, width) or names
    ClockRead(2, 0x00FFFF, 0x00310F, Clock.COUNTER, low_high=("rax", "rdx"), zeroed=()),
    ClockRead(3, 0xFFFFFF, 0xF9010F, Clock.COUNTER, low_high=("rax", "rdx"), zeroed=("rcx",)),
)

# Atomic read-modify-writes: bytes 0 = anything else, 1 = prefix (go on), 2 = atomic.
_PREFIXES = (0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF2, 0xF3, *range(0x40, 0x50))
_ATOMIC = (0xF0, 0x86, 0x87)  # lock; xchg with memory locks without the prefix
ATOMICS = AtomicForms(
    byte_classes=bytes(2 if b in _ATOMIC else 1 if b in _PREFIXES else 0 for b in range(256)),
    word_patterns=(),
)

# Entering user mode: sysretq with STAR set gives CS = 0x33, SS = 0x2b, privilege level 3.
USER_ENTRY = UserEntry(
    code=bytes.fromhex("480f07"),
    registers={
        "cr0": 0x80050033 & ~(1 << 31),  # PE MP ET NE WP AM; paging is the engine's own
        "cr4": 0x10624,  # TSD PAE OSFXSR OSXMMEXCPT FSGSBASE
        "rcx": None,  # None: the address after the code
        "r11": 0x202,
    },
    # EFER: SCE LME NXE; STAR
    model_registers={0xC0000080: 0x901, 0xC0000081: 0x23 << 48 | 0x10 << 32},
)
# A faulting instruction in user mode, to find where the translator remembers the exception it is
# delivering: left set, the next one would become a double fault.  Exception 13.
LATCH_PROBE = bytes.fromhex("f4")  # hlt
LATCH_VALUE = 13
