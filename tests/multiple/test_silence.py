"""What does a run say when a kernel never answers, and when a ring is full?"""

import pytest

from cosim.errors import InvariantError
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.multiple.services import HANDLERS, MultipleServices
from launch import cli, multi_isa
from launch.build import find
from tests.fused.machine import Machine

ISAS = ("x86_64", "aarch64")

SILENT = """
from cosim.kernel.distributed.messages import MessageKind
from cosim.kernel.multiple.services import HANDLERS, MultipleServices

SERVICES = MultipleServices(handlers={**HANDLERS, MessageKind.PAGE_REQUEST: lambda *_: None})
"""


def without(kind: MessageKind, after: int = 0) -> MultipleServices:
    """Kernels that stop answering messages of a kind after some."""
    seen = []

    def handle(kernel, message) -> None:
        seen.append(message)
        if len(seen) <= after:
            HANDLERS[kind](kernel, message)

    return MultipleServices(handlers={**HANDLERS, kind: handle})


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (MessageKind.PAGE_REQUEST, r"page 0x\w+: PAGE_REQUEST to x86, not answered within"),
        (MessageKind.VMA_INFO, r"area at 0x\w+: VMA_INFO to x86, not answered within"),
        (MessageKind.PAGE_INVALIDATE, r"page 0x\w+: PAGE_INVALIDATE to arm, not answered within"),
    ],
)
def test_a_request_that_is_never_answered_is_named(kind, text):
    machine = Machine(ISAS, services=without(kind))
    machine.load(multi_isa.build(find("is"), ISAS), 0, "S")
    with pytest.raises(InvariantError, match=text):
        machine.run()


def test_a_call_that_is_never_answered_is_what_its_thread_waits_for():
    machine = Machine(ISAS, services=without(MessageKind.VMA_OPERATION))
    machine.load(multi_isa.build(find("torture"), ISAS), 0, "1", "1", "5")
    assert machine.run() == []
    waits = [thread["waits_for"] for thread in machine.kernels[1].dump()["threads"]]
    assert any("at home, node 0" in wait for wait in waits)


def test_a_ring_of_one_slot_is_slow_and_loses_nothing():
    ring = {"memory.message_area": 1 << 20}  # the least there is: 63 slots each way
    machine = Machine(ISAS, **ring, services=MultipleServices())
    for kernel in machine.kernels:
        for end in (*kernel.messages._outgoing.values(), *kernel.messages._incoming.values()):
            end._slots = 1
    machine.load(multi_isa.build(find("torture"), ISAS), 0, "3", "4", "10")
    (ended,) = machine.run()
    assert ended["status"] == 0, machine.output
    assert "PASS" in machine.output
    assert sum(kernel.messages.retries for kernel in machine.kernels) > 0


def test_a_machine_of_processes_ends_with_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "silent.py").write_text(SILENT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    status = cli.execute(["run", "--quiet", "is:S", "--os", "silent:SERVICES", "--out", "run"])
    assert status == 125
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "PAGE_REQUEST to x86, not answered within" in last
