"""Fences, and the control and status registers of floating point (20191213, 2.7, 3, 9.1, 11.2)."""

from cosim.engine.native.emitter import VOID
from isa_riscv.instructions.decoder import Form
from isa_riscv.instructions.layout import number, set_x, x

FFLAGS, FRM, FCSR = 1, 2, 3
FLAG_BITS = 0x1F
ROUNDING_SHIFT, ROUNDING_BITS = 5, 7
# Sticky flags of MXCSR -> of fflags.  The host's denormal flag (bit 1) has no counterpart.
HOST_FLAGS = {1 << 0: 1 << 4, 1 << 2: 1 << 3, 1 << 3: 1 << 2, 1 << 4: 1 << 1, 1 << 5: 1 << 0}
HOST_MASK = 0x3F


def nothing(e, f):
    """fence, fence.i: one core runs at a time, and blocks follow changes of code by themselves."""


def host_control(e):
    """MXCSR."""
    e.call("llvm.x86.sse.stmxcsr", VOID, e.pointer("host_control"))
    return e.get("host_control", 32)


def accrued(e):
    """fflags: of the register, and what the host has raised since."""
    host = host_control(e)
    found = e.get("fcsr", 32) & FLAG_BITS
    for theirs, ours in HOST_FLAGS.items():
        at, to = theirs.bit_length() - 1, ours.bit_length() - 1
        found = found | (((host >> at) & 1) << to)
    return found


def set_accrued(e, flags) -> None:
    """Set fflags."""
    e.set("host_control", host_control(e) & ~HOST_MASK)
    e.call("llvm.x86.sse.ldmxcsr", VOID, e.pointer("host_control"))
    e.set("fcsr", flags)


def operate(operation: int, old, operand):
    """What csrrw, csrrs and csrrc (operation 1, 2, 3) write."""
    return (operand, old | operand, old & ~operand)[operation - 1]


def access(e, f, operand, *, writes: bool) -> None:
    """Read a register, change it.  Blocks run with frm 0, rounding to nearest, only: `usable`."""
    flags = accrued(e)
    old = e.constant(0, 32) if f.C == FRM else flags
    if writes:
        new = operate(f.O, old, operand)
        if f.C == FRM:
            e.leave_if((new & ROUNDING_BITS).ne(0))
        else:
            if f.C == FCSR:
                e.leave_if((new & ROUNDING_BITS << ROUNDING_SHIFT).ne(0))
            set_accrued(e, new & FLAG_BITS)
    set_x(e, "d", old.zext(64))


def read(e, f):
    """csrrs with the zero register: csrr, frflags, ..."""
    access(e, f, None, writes=False)


def change(e, f):
    """csrrw, csrrs, csrrc (O)."""
    access(e, f, x(e, "n", 32), writes=True)


def change_immediate(e, f):
    """csrrwi, csrrsi, csrrci (O)."""
    access(e, f, number(e, "i", 32), writes=True)


def of_floating_point(fields) -> bool:
    """fflags, frm, fcsr; the operation is one of three."""
    return fields["C"] != 0 and fields.get("O") != 0


# fmt: off
ROWS = (
    Form("fence", "ffffffffffff nnnnn 000 ddddd 0001111", "2.7", nothing),
    Form("fence_i", "ffffffffffff nnnnn 001 ddddd 0001111", "3", nothing),
    Form("csr_read", "0000000000CC 00000 010 ddddd 1110011", "9.1", read, where=of_floating_point),
    Form("csr", "0000000000CC nnnnn 0OO ddddd 1110011", "9.1", change, where=of_floating_point),
    Form("csr_immediate", "0000000000CC iiiii 1OO ddddd 1110011", "9.1", change_immediate, where=of_floating_point, immediate="uimm[4:0]"),
)
# fmt: on
