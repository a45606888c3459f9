"""Signal frames of x86-64 Linux: what lies on the user stack while a handler runs.

```text
 higher addresses
   interrupted stack
   128-byte red zone (only when the interrupted stack is used)
   fpstate      512 bytes, FXSAVE format, 64-byte aligned
   siginfo      128 bytes
   ucontext     304 bytes: flags, link, stack, sigcontext (256), signal mask
   return address = restorer                           <- sp in the handler, 8 modulo 16
```
Sources: Linux arch/x86/include/uapi/asm/sigcontext.h and ucontext.h, arch/x86/kernel/signal_64.c;
FXSAVE layout: Intel SDM vol. 1, 10.5.1.  The extended (XSAVE) part is not written, and the flags
say so.
"""

import struct

from cosim.engine.interface import Reason
from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.signals import (
    ILL_ILLOPN,
    SI_KERNEL,
    SIGNAL_INFO_BYTES,
    Delivery,
    ExceptionSignal,
    Signal,
)

SIGACTION_FORMAT = "<QQQQ"  # handler, flags, restorer, mask
SIGACTION_FIELDS = ("handler", "flags", "restorer", "mask")
TRAMPOLINE_ADDRESS = 0x7FFF_FFFF_E000
TRAMPOLINE_CODE = bytes.fromhex("48c7c00f000000 0f05")  # mov rax, 15; syscall

# Linux arch/x86/kernel/traps.c: #GP in user mode is SIGSEGV without an address; int3 is reported
# behind itself.
EXCEPTION_SIGNALS = (
    ExceptionSignal(Reason.ILLEGAL, "#GP", Signal.SIGSEGV, SI_KERNEL),
    ExceptionSignal(Reason.ILLEGAL, "", Signal.SIGILL, ILL_ILLOPN),
    ExceptionSignal(Reason.BREAKPOINT, "", Signal.SIGTRAP, SI_KERNEL, 1),
)

SEGMENT_SELECTORS = (0x33, 0, 0, 0x2B)  # cs, gs, fs, ss of 64-bit user code
UC_FLAGS = 0x2 | 0x4  # UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS
RED_ZONE_BYTES = 128
FPSTATE_BYTES = 512
SIGCONTEXT_REGISTERS = (
    "r8",
    "r9",
    "r10",
    "r11",
    "r12",
    "r13",
    "r14",
    "r15",
    "rdi",
    "rsi",
    "rbp",
    "rbx",
    "rdx",
    "rax",
    "rcx",
    "rsp",
    "rip",
    "rflags",
)
UCONTEXT = struct.Struct("<QQ QIxxxxQ 18Q 4H QQQQ Q 64x Q")
STACK_PLACE, REGISTERS_PLACE, FPSTATE_PLACE, MASK_PLACE = 2, 5, 31, 32
FRAME_BYTES = 8 + UCONTEXT.size + SIGNAL_INFO_BYTES
DIRECTION_FLAG = 1 << 10
USER_FLAGS = (
    0x50DD5  # flags a frame may change: CF PF AF ZF SF TF DF OF RF AC, as Linux' FIX_EFLAGS
)
MXCSR_MASK = 0xFFBF


def _save_fpu(engine) -> bytes:
    """The 512 bytes FXSAVE would write."""
    status = engine.read("fpsw")
    top = status >> 11 & 7
    tags = engine.read("fptag")
    used = sum(1 << i for i in range(8) if tags >> 2 * i & 3 != 3)
    head = struct.pack(
        "<HHBxHQQII", engine.read("fpcw"), status, used, 0, 0, 0, engine.read("mxcsr"), MXCSR_MASK
    )
    stack = b"".join(
        engine.read(f"st{top + i & 7}").to_bytes(10, "little").ljust(16, b"\0") for i in range(8)
    )
    vectors = b"".join(engine.read(f"xmm{i}").to_bytes(16, "little") for i in range(16))
    return (head + stack + vectors).ljust(FPSTATE_BYTES, b"\0")


def _restore_fpu(engine, data: bytes) -> None:
    control, status, used, _, _, _, mxcsr, _ = struct.unpack_from("<HHBxHQQII", data)
    top = status >> 11 & 7
    engine.write("fpcw", control)
    engine.write("fpsw", status)
    for i in range(8):
        engine.write(f"st{top + i & 7}", int.from_bytes(data[32 + 16 * i : 42 + 16 * i], "little"))
    engine.write("fptag", sum((0 if used >> i & 1 else 3) << 2 * i for i in range(8)))
    engine.write("mxcsr", mxcsr & MXCSR_MASK)
    for i in range(16):
        engine.write(f"xmm{i}", int.from_bytes(data[160 + 16 * i : 176 + 16 * i], "little"))


def push(engine, space, delivery: Delivery) -> None:
    """Write the frame below the stack and enter the handler.  KernelError(EFAULT) when it does not
    fit.
    """
    stack = delivery.stack_top or engine.read("rsp") - RED_ZONE_BYTES
    fpstate = stack - FPSTATE_BYTES & ~63
    frame = (fpstate - FRAME_BYTES & ~15) - 8
    context = UCONTEXT.pack(
        UC_FLAGS, 0, *delivery.alternate_stack,
        *(engine.read(name) for name in SIGCONTEXT_REGISTERS), *SEGMENT_SELECTORS,
        0, 0, delivery.mask & 0xFFFF_FFFF_FFFF_FFFF, delivery.info.address, fpstate,
        delivery.mask & 0xFFFF_FFFF_FFFF_FFFF,
    )  # fmt: skip
    space.write(fpstate, _save_fpu(engine))
    space.write(frame, struct.pack("<Q", delivery.restorer) + context + delivery.info.pack())
    engine.write("rdi", delivery.info.number)
    engine.write("rsi", frame + 8 + UCONTEXT.size)
    engine.write("rdx", frame + 8)
    engine.write("rax", 0)
    engine.write("rsp", frame)
    engine.write("rip", delivery.handler)
    engine.write("rflags", engine.read("rflags") & ~DIRECTION_FLAG)


def pop(engine, space) -> tuple[int, tuple[int, int, int]]:
    """Take the frame down after the handler; (signal mask, alternate stack).  KernelError(EFAULT)
    when unusable.
    """
    words = UCONTEXT.unpack(space.read(engine.read("rsp"), UCONTEXT.size))
    registers = dict(zip(SIGCONTEXT_REGISTERS, words[REGISTERS_PLACE:], strict=False))
    if registers["rip"] >> 47 or registers["rsp"] >> 47:
        raise KernelError(Errno.EFAULT, "signal frame with an address that is not canonical")
    kept = engine.read("rflags") & ~USER_FLAGS
    registers["rflags"] = kept | registers["rflags"] & USER_FLAGS
    if words[FPSTATE_PLACE]:
        _restore_fpu(engine, space.read(words[FPSTATE_PLACE], FPSTATE_BYTES))
    for name, value in registers.items():
        engine.write(name, value)
    return words[MASK_PLACE], words[STACK_PLACE : STACK_PLACE + 3]
