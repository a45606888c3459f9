"""Do real programs run on the real engine when every page comes from this kernel's page faults?"""

import json
from pathlib import Path

import pytest

from cosim.engine.interface import Reason
from cosim.kernel import costs
from cosim.kernel.address_space import AddressSpace
from cosim.kernel.frames import FrameAllocator
from cosim.kernel.loader import load
from cosim.kernel.mapping import SIGSEGV, STACK_BYTES_MAX
from cosim.kernel.memory import KernelMemory
from cosim.units import PAGE_BYTES, MiB
from tests.engine.assembly import assemble
from tests.engine.bare import Bare
from tests.kernel.test_loader import TEXT, elf

PROGRAMS = Path(__file__).parent.parent / "oracle" / "programs"
EXPECTED = json.loads((PROGRAMS / "expected.json").read_text())


class Node:
    """A bare machine with the memory half of a kernel, and a kernel that only knows page faults."""

    def __init__(self, isa: str, levels: int, program) -> None:
        self.bare = Bare(isa, levels=levels)
        self.isa, self.levels, self.node_index, self.window = self.bare.isa, levels, 0, None
        self.writer = self.bare.writer
        self.charged = 0
        self.memory = KernelMemory(self.bare.physical, costs.resolve({}))
        self.frames = FrameAllocator(self.memory, [(0, 128 * MiB)], 32 * MiB, 0)
        self.memory.core = self
        self.space = AddressSpace(self)
        self.space.changed.append(self.bare.engine.flush_tlb)
        with self.memory.uncharged():
            entry = load(self.space, program, ["program"], [], self.isa, 1)
        self.bare.engine.set_translation(self.space.page_table.root, 1)
        self.bare.start(entry.pc, entry.sp)

    def charge(self, instructions: int) -> None:
        self.charged += instructions

    def run(self):
        """(last stop, signal or None, number of faults)."""
        faults = 0
        with self.bare.memory:
            while True:
                stop = self.bare.run()
                signal = None
                if stop.reason == Reason.PAGE_FAULT:
                    faults += 1
                    signal = self.space.fault(stop.address, stop.access)
                if stop.reason != Reason.PAGE_FAULT or signal is not None:
                    self.writer.settle()
                    return stop, signal, faults


@pytest.mark.parametrize("levels", [4, 5])
@pytest.mark.parametrize("name", sorted(n for n in EXPECTED if "buckets" not in n))
def test_programs_count_the_same_with_their_pages_on_demand(name, levels):
    node = Node(name.partition(".")[2], levels, PROGRAMS / name)
    stop, signal, faults = node.run()
    assert (stop.reason, signal) == (Reason.SYSTEM_CALL, None)
    assert node.bare.arguments()[1] == EXPECTED[name]["exit_status"]
    assert node.bare.engine.instructions == EXPECTED[name]["instructions"]
    assert faults <= node.frames.used
    node.space.destroy()
    assert node.frames.used == 0


RECURSION = {
    "x86_64": (62, "f: push rax\n call f"),
    "aarch64": (183, "f: stp x0, x1, [sp, #-16]!\n b f"),
    "riscv64": (243, "f: addi sp, sp, -16\n sd a0, (sp)\n j f"),
}


@pytest.mark.parametrize("isa", sorted(RECURSION))
def test_endless_recursion_ends_with_a_signal(isa):
    machine, source = RECURSION[isa]
    program = bytearray(elf((TEXT,), machine=machine))
    code = assemble(isa, {"recursion": source})["recursion"]
    program[0x1000 : 0x1000 + len(code)] = code
    node = Node(isa, 5, bytes(program))
    _, signal, faults = node.run()
    assert signal is not None
    assert signal.number == SIGSEGV
    assert faults == pytest.approx(STACK_BYTES_MAX // PAGE_BYTES, abs=3)
