"""Does a signal frame have Linux' layout, and does returning from it restore every register?"""

import struct

import pytest

from cosim.kernel.errno import Errno, KernelError
from cosim.kernel.signals import SA_SIGINFO, Delivery, SignalInfo
from tests.calls.machine import ISAS, Machine

STACK = 0x7000_0000
HANDLER, RESTORER = 0x40_1000, 0x40_2000
MASK = 0x8000_0000_0000_0201


class Memory:
    """User memory as a dict of bytes, with a hole below HOLE."""

    hole = STACK - 0x10000

    def __init__(self) -> None:
        self.bytes = bytearray(0x20000)

    def write(self, address: int, data: bytes) -> None:
        if address < self.hole:
            raise KernelError(Errno.EFAULT)
        at = address - self.hole
        self.bytes[at : at + len(data)] = data

    def read(self, address: int, length: int) -> bytes:
        at = address - self.hole
        if at < 0 or at + length > len(self.bytes):
            raise KernelError(Errno.EFAULT)
        return bytes(self.bytes[at : at + length])


def filled(machine):
    """The engine with a different value in every register."""
    engine = machine.cores[0].engine
    number = 0x1234_5678
    for row in machine.isa.registers.REGISTERS:
        number = number * 6364136223846793005 + 1442695040888963407 & (1 << 128) - 1
        value = number & (1 << min(row.bits, 47)) - 1
        if row.bits == 128:
            value = number
        engine.write(row.name, value)
    fixed = {"sp": STACK, "pc": 0x40_0000}
    if machine.isa.name == "x86_64":
        fixed |= {"flags": 0x246, "fpcw": 0x37F, "fpsw": 0x3800, "fptag": 0x3FFF, "mxcsr": 0x1FA0}
        fixed |= {"st7": (0x3FFF << 64) | 0xC000_0000_0000_0000}
        fixed |= {f"st{i}": 0 for i in range(7)}
    elif machine.isa.name == "aarch64":
        fixed |= {"flags": 0x6000_0000, "fpcr": 0, "fpsr": 0x10}
    else:
        fixed |= {"fcsr": 0x65}
    for name, value in fixed.items():
        engine.write(name, value)
    return engine


def delivery(**changes) -> Delivery:
    values = {
        "info": SignalInfo(11, 1, address=0xBAD), "handler": HANDLER, "flags": SA_SIGINFO,
        "restorer": RESTORER, "mask": MASK, "alternate_stack": (0x5000, 2, 0x800), "stack_top": 0,
    }  # fmt: skip
    return Delivery(**(values | changes))


@pytest.mark.parametrize("isa", ISAS)
def test_the_way_there_and_back(isa):
    machine = Machine(isa)
    engine, memory = filled(machine), Memory()
    before = engine.register_words()
    machine.isa.signals.push(engine, memory, delivery())
    assert engine.read("pc") == HANDLER
    entered = engine.read("sp")
    if isa == "x86_64":
        assert entered % 16 == 8
        assert memory.read(entered, 8) == struct.pack("<Q", RESTORER)
        assert engine.read("rdi") == 11
        assert struct.unpack("<iii", memory.read(engine.read("rsi"), 12)) == (11, 0, 1)
        assert engine.read("rdx") == entered + 8
        assert entered < STACK - 128
        engine.write("rsp", entered + 8)  # ret
    elif isa == "riscv64":
        assert entered % 16 == 0
        assert engine.read("ra") == RESTORER
        assert engine.read("a0") == 11
        assert engine.read("a1") == entered
        assert engine.read("a2") == entered + 128
        assert struct.unpack("<iii", memory.read(entered, 12)) == (11, 0, 1)
    else:
        assert entered % 16 == 0
        assert engine.read("x30") == RESTORER
        assert engine.read("x0") == 11
        assert engine.read("x1") == entered
        assert engine.read("x2") == entered + 128
        record = engine.read("x29")
        assert struct.unpack("<Q", memory.read(record, 8)) != (0,)
    for row in machine.isa.registers.GENERAL[:8]:
        if row.name not in ("rsp", "sp"):
            engine.write(row.name, 0)
    assert machine.isa.signals.pop(engine, memory) == (MASK, (0x5000, 2, 0x800))
    assert engine.register_words() == before


@pytest.mark.parametrize("isa", ISAS)
def test_what_a_handler_finds_in_the_context(isa):
    machine = Machine(isa)
    engine, memory = filled(machine), Memory()
    stack_pointer = engine.read("sp")
    machine.isa.signals.push(engine, memory, delivery())
    if isa == "x86_64":
        context = engine.read("rdx")
        (saved_sp, saved_pc) = struct.unpack("<QQ", memory.read(context + 40 + 15 * 8, 16))
        (mask,) = struct.unpack("<Q", memory.read(context + 296, 8))
        (fpstate,) = struct.unpack("<Q", memory.read(context + 40 + 184, 8))
        assert fpstate % 64 == 0
        (address,) = struct.unpack("<Q", memory.read(context + 40 + 176, 8))
    elif isa == "riscv64":
        context = engine.read("a2")
        (mask,) = struct.unpack("<Q", memory.read(context + 40, 8))
        (saved_pc, _, saved_sp) = struct.unpack("<QQQ", memory.read(context + 176, 24))
        (first, fcsr) = struct.unpack("<Q248xI", memory.read(context + 176 + 256, 260))
        assert (first, fcsr) == (engine.read("f0"), 0x65)
        (address,) = struct.unpack("<Q", memory.read(engine.read("a1") + 16, 8))  # si_addr
    else:
        context = engine.read("x2")
        (mask,) = struct.unpack("<Q", memory.read(context + 40, 8))
        (address,) = struct.unpack("<Q", memory.read(context + 176, 8))
        (saved_sp, saved_pc) = struct.unpack("<QQ", memory.read(context + 176 + 256, 16))
        (magic, size) = struct.unpack("<II", memory.read(context + 176 + 288, 8))
        assert (magic, size) == (0x46508001, 528)
    assert (saved_sp, saved_pc) == (stack_pointer, 0x40_0000)
    assert (mask, address) == (MASK, 0xBAD)


@pytest.mark.parametrize("isa", ISAS)
def test_an_alternate_stack(isa):
    machine = Machine(isa)
    engine, memory = filled(machine), Memory()
    machine.isa.signals.push(engine, memory, delivery(stack_top=STACK - 0x4000))
    assert STACK - 0x6000 < engine.read("sp") < STACK - 0x4000


@pytest.mark.parametrize("isa", ISAS)
def test_a_stack_that_is_not_there(isa):
    machine = Machine(isa)
    engine = filled(machine)
    engine.write("sp", Memory.hole + 64)
    with pytest.raises(KernelError):
        machine.isa.signals.push(engine, Memory(), delivery())
    engine.write("sp", 0x10)
    with pytest.raises(KernelError):
        machine.isa.signals.pop(engine, Memory())
