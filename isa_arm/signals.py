"""Signal frames of AArch64 Linux: what lies on the user stack while a handler runs.

```text
 higher addresses
   interrupted stack
   frame record: fp, lr        16 bytes, x29 in the handler
   ucontext     4560 bytes: flags, link, stack, signal mask, sigcontext and its records
   siginfo       128 bytes                                           <- sp in the handler
```
The sigcontext's records are one fpsimd_context and the terminator.
Sources: Linux arch/arm64/include/uapi/asm/sigcontext.h and ucontext.h, arch/arm64/kernel/signal.c.
"""

import struct

from cosim.engine.interface import Reason
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.signals import (
    ILL_ILLOPC,
    SA_SIGINFO,
    SIGNAL_INFO_BYTES,
    TRAP_BRKPT,
    Delivery,
    ExceptionSignal,
    Signal,
)

SIGACTION_FORMAT = "<QQQQ"  # handler, flags, restorer, mask
SIGACTION_FIELDS = ("handler", "flags", "restorer", "mask")
TRAMPOLINE_ADDRESS = 0x7FFF_FFFF_D000
TRAMPOLINE_CODE = bytes.fromhex("681180d2 010000d4")  # mov x8, #139; svc #0

# Linux arch/arm64/kernel/traps.c and debug-monitors.c.
EXCEPTION_SIGNALS = (
    ExceptionSignal(Reason.ILLEGAL, "", Signal.SIGILL, ILL_ILLOPC),
    ExceptionSignal(Reason.BREAKPOINT, "", Signal.SIGTRAP, TRAP_BRKPT),
)

GENERAL = tuple(f"x{i}" for i in range(31))
UCONTEXT_HEAD = struct.Struct("<QQ QIxxxxQ Q 120x 8x")  # flags, link, stack, mask, unused, padding
MASK_PLACE = 5
SIGCONTEXT_HEAD = struct.Struct("<Q 31Q Q Q Q 8x")  # fault address, x0..x30, sp, pc, pstate
FPSIMD_HEAD = struct.Struct("<IIII")  # magic, size, fpsr, fpcr
FPSIMD_MAGIC = 0x4650_8001
FPSIMD_BYTES = FPSIMD_HEAD.size + 32 * 16
RESERVED_BYTES = 4096
UCONTEXT_BYTES = UCONTEXT_HEAD.size + SIGCONTEXT_HEAD.size + RESERVED_BYTES
FRAME_BYTES = SIGNAL_INFO_BYTES + UCONTEXT_BYTES
FRAME_RECORD_BYTES = 16
CONDITION_FLAGS = 0xF000_0000


def push(engine, space, delivery: Delivery) -> None:
    """Write the frame below the stack and enter the handler.  KernelError(EFAULT) when it does not
    fit.
    """
    stack = delivery.stack_top or engine.read("sp")
    record = stack - FRAME_RECORD_BYTES & ~15
    frame = record - FRAME_BYTES & ~15
    vectors = b"".join(engine.read(f"v{i}").to_bytes(16, "little") for i in range(32))
    fpsimd = (
        FPSIMD_HEAD.pack(FPSIMD_MAGIC, FPSIMD_BYTES, engine.read("fpsr"), engine.read("fpcr"))
        + vectors
    )
    context = UCONTEXT_HEAD.pack(
        0, 0, *delivery.alternate_stack, delivery.mask & 0xFFFF_FFFF_FFFF_FFFF
    ) + SIGCONTEXT_HEAD.pack(
        delivery.info.address, *(engine.read(name) for name in GENERAL),
        engine.read("sp"), engine.read("pc"), engine.read("flags") & CONDITION_FLAGS,
    )  # fmt: skip
    space.write(frame, delivery.info.pack() + context + fpsimd.ljust(RESERVED_BYTES, b"\0"))
    space.write(record, struct.pack("<QQ", engine.read("x29"), engine.read("x30")))
    engine.write("x0", delivery.info.number)
    if delivery.flags & SA_SIGINFO:
        engine.write("x1", frame)
        engine.write("x2", frame + SIGNAL_INFO_BYTES)
    engine.write("x29", record)
    engine.write("x30", delivery.restorer)
    engine.write("sp", frame)
    engine.write("pc", delivery.handler)


def pop(engine, space) -> tuple[int, tuple[int, int, int]]:
    """Take the frame down after the handler; (signal mask, alternate stack).  KernelError(EFAULT)
    when unusable.
    """
    frame = engine.read("sp")
    if frame & 15:
        raise KernelError(Errno.EFAULT, "signal frame is not aligned")
    data = space.read(frame + SIGNAL_INFO_BYTES, UCONTEXT_BYTES)
    head = UCONTEXT_HEAD.unpack_from(data)
    _, *general, stack, pc, state = SIGCONTEXT_HEAD.unpack_from(data, UCONTEXT_HEAD.size)
    _restore_vectors(engine, data[UCONTEXT_HEAD.size + SIGCONTEXT_HEAD.size :])
    for name, value in zip(GENERAL, general, strict=True):
        engine.write(name, value)
    engine.write("sp", stack)
    engine.write("pc", pc)
    engine.write("flags", engine.read("flags") & ~CONDITION_FLAGS | state & CONDITION_FLAGS)
    return head[MASK_PLACE], head[2:5]


def _restore_vectors(engine, records: bytes) -> None:
    """Find the fpsimd_context among the records and load it.  KernelError(EFAULT) without one, as
    in Linux.
    """
    magic, size, status, control = FPSIMD_HEAD.unpack_from(records)
    if magic != FPSIMD_MAGIC or size != FPSIMD_BYTES:
        raise KernelError(Errno.EFAULT, "signal frame without fpsimd_context")
    engine.write("fpsr", status)
    engine.write("fpcr", control)
    for i in range(32):
        start = FPSIMD_HEAD.size + 16 * i
        engine.write(f"v{i}", int.from_bytes(records[start : start + 16], "little"))
