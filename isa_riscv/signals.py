"""Signal frames of RISC-V Linux: what lies on the user stack while a handler runs.

```text
 higher addresses
   interrupted stack
   ucontext      960 bytes: flags, link, stack, signal mask, sigcontext
   siginfo       128 bytes                                           <- sp in the handler
```
The sigcontext is the pc, x1 to x31, and 528 bytes for floating point: f0 to f31, fcsr, and the
terminator of the records that may follow.
Sources: Linux arch/riscv/include/uapi/asm/sigcontext.h, ucontext.h and ptrace.h,
arch/riscv/kernel/signal.c.
"""

import struct

from cosim.engine.interface import Reason
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.signals import (
    ILL_ILLOPC,
    SIGNAL_INFO_BYTES,
    TRAP_BRKPT,
    Delivery,
    ExceptionSignal,
    Signal,
)

SIGACTION_FORMAT = "<QQQ"  # handler, flags, mask: there is no restorer
SIGACTION_FIELDS = ("handler", "flags", "mask")
TRAMPOLINE_ADDRESS = 0x7FFF_FFFF_C000
TRAMPOLINE_CODE = bytes.fromhex("9308b008 73000000")  # li a7, 139; ecall

# Linux arch/riscv/kernel/traps.c.
EXCEPTION_SIGNALS = (
    ExceptionSignal(Reason.ILLEGAL, "", Signal.SIGILL, ILL_ILLOPC),
    ExceptionSignal(Reason.BREAKPOINT, "", Signal.SIGTRAP, TRAP_BRKPT),
)

# The order of struct user_regs_struct.
GENERAL = (
    "pc",
    *("ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1"),
    *(f"a{i}" for i in range(8)),
    *(f"s{i}" for i in range(2, 12)),
    *(f"t{i}" for i in range(3, 7)),
)
UCONTEXT_HEAD = struct.Struct("<QQ QIxxxxQ Q 120x 8x")  # flags, link, stack, mask, unused, padding
MASK_PLACE = 5
REGISTERS = struct.Struct("<32Q")
FLOATING_POINT = struct.Struct("<32Q I 4x 8x")  # f0..f31, fcsr; room up to the quad registers' fcsr
FLOATING_POINT_BYTES = 528
RECORDS_AT = 516  # in it: a reserved word, magic and size of the first record
UCONTEXT_BYTES = UCONTEXT_HEAD.size + REGISTERS.size + FLOATING_POINT_BYTES
FRAME_BYTES = SIGNAL_INFO_BYTES + UCONTEXT_BYTES
END = (0, 0, 0)


def push(engine, space, delivery: Delivery) -> None:
    """Write the frame below the stack and enter the handler.  KernelError(EFAULT) when it does not
    fit.
    """
    frame = (delivery.stack_top or engine.read("sp")) - FRAME_BYTES & ~15
    context = (
        UCONTEXT_HEAD.pack(0, 0, *delivery.alternate_stack, delivery.mask & 0xFFFF_FFFF_FFFF_FFFF)
        + REGISTERS.pack(*(engine.read(name) for name in GENERAL))
        + FLOATING_POINT.pack(*(engine.read(f"f{i}") for i in range(32)), engine.read("fcsr"))
    )
    space.write(frame, delivery.info.pack() + context.ljust(UCONTEXT_BYTES, b"\0"))
    engine.write("a0", delivery.info.number)
    engine.write("a1", frame)
    engine.write("a2", frame + SIGNAL_INFO_BYTES)
    engine.write("ra", delivery.restorer)
    engine.write("sp", frame)
    engine.write("pc", delivery.handler)


def pop(engine, space) -> tuple[int, tuple[int, int, int]]:
    """Take the frame down after the handler; (signal mask, alternate stack).  KernelError(EFAULT)
    when unusable.
    """
    data = space.read(engine.read("sp") + SIGNAL_INFO_BYTES, UCONTEXT_BYTES)
    head = UCONTEXT_HEAD.unpack_from(data)
    at = UCONTEXT_HEAD.size + REGISTERS.size
    if struct.unpack_from("<III", data, at + RECORDS_AT) != END:
        raise KernelError(Errno.EFAULT, "signal frame with records that nobody wrote")
    *floating, fcsr = FLOATING_POINT.unpack_from(data, at)
    for name, value in zip(GENERAL, REGISTERS.unpack_from(data, UCONTEXT_HEAD.size), strict=True):
        engine.write(name, value)
    for i, value in enumerate(floating):
        engine.write(f"f{i}", value)
    engine.write("fcsr", fcsr)
    return head[MASK_PLACE], head[2:5]
