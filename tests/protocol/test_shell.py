"""Does every process answer the control verbs as its tables say, whatever its role?"""

import os
import tempfile

import pytest

from cosim import wire
from cosim.errors import MachineError, ProtocolError
from cosim.process import Shell, Stopped, one_line, run
from cosim.protocol import control
from cosim.transport import bind_router, connect_dealer

TOKEN = "secret"


class Both:
    """A shell and the supervisor's socket, in one process."""

    def __init__(self, folder, role):
        self.router, endpoint = bind_router(
            control.PROTOCOL, "supervisor", f"ipc://{folder}/s", greeting="hello",
            greeting_role="component", token=TOKEN,
        )  # fmt: skip
        self.dealer = connect_dealer(
            control.PROTOCOL, role, endpoint, name="one", peer_role="supervisor"
        )
        self.shell = Shell("one", role, self.dealer, TOKEN)

    def welcome(self):
        self.shell.hello()
        peer, message = self.router.receive(3000)
        assert (
            peer == "one" and message["digest"] == wire.digest() and message["pid"] == os.getpid()
        )
        self.router.accept("one", message["role"])
        self.router.send("one", {"kind": "welcome", "configuration": {"run": {}}})
        self.shell.welcomed()
        return self

    def ask(self, message):
        """The answer of the shell to a control message."""
        self.router.send("one", message)
        assert self.dealer.channel.socket.poll(3000)
        self.shell.poll()
        found = self.router.receive(3000)
        assert found is not None and found[0] == "one"
        return found[1]


@pytest.fixture(params=control.ROLES)
def both(request):
    with tempfile.TemporaryDirectory(prefix="st", dir="/tmp") as folder:
        pair = Both(folder, request.param)
        yield pair
        pair.dealer.close()
        pair.router.close()


def test_dump_and_collect_are_answered_by_every_role(both):
    both.welcome()
    both.shell.doing = "nothing much"
    assert both.ask({"kind": "dump"}) == {
        "kind": "dumped", "phase": "start", "doing": "nothing much", "details": {}}  # fmt: skip
    empty = {"kind": "collected", "registers": [], "reports": {}}
    found = both.ask({"kind": "collect"})
    used = found.pop("statistics")
    assert found == empty
    assert sorted(used) == ["host.one.cpu_us", "host.one.memory_kib"]
    assert used["host.one.cpu_us"] >= 0 and used["host.one.memory_kib"] > 1000
    both.shell.answer("collect", lambda _message: {"statistics": {"a": 1}})
    both.shell.answer("dump", lambda _message: {"waits": "for the end"})
    found = both.ask({"kind": "collect"})
    assert {**found, "statistics": {}} == {**empty, "statistics": {}}
    assert found["statistics"].keys() == {"a", *used} and found["statistics"]["a"] == 1
    assert both.ask({"kind": "dump"})["details"] == {"waits": "for the end"}


@pytest.mark.parametrize("message", [
    {"kind": "load", "program": {}}, {"kind": "start", "programs": 1, "halt_ps": -1},
    {"kind": "pause"},
    {"kind": "welcome", "configuration": {}},
])  # fmt: skip
def test_a_verb_without_a_handler_is_answered_unsupported(both, message):
    both.welcome()
    answer = both.ask(message)
    assert answer["kind"] == "error" and "does not support it" in answer["reason"]


def test_stop_unwinds_whatever_runs(both):
    both.welcome()
    both.router.send("one", {"kind": "stop"})
    with pytest.raises(Stopped):
        for _ in range(100):
            both.shell.wait(100)


def test_nobody_waits_for_ever_for_a_welcome(both):
    object.__setattr__(both.shell.limits, "welcome_s", 0.1)
    with pytest.raises(MachineError, match="'one' was not welcomed: no answer to hello"):
        both.shell.welcomed()


def test_a_role_that_cannot_be_imported_is_a_message_and_not_a_traceback(both):
    assert run(both.shell, "no.such.module:main") == 2
    assert both.router.receive(3000)[1]["kind"] == "hello"
    both.router.accept("one", both.shell.role)
    message = both.router.receive(3000)[1]
    assert message["kind"] == "failed" and "No module named 'no'" in message["reason"]


def test_errors_become_one_line():
    assert one_line(ProtocolError("a\n  b")) == "a b"
    try:
        {}["x"]
    except KeyError as error:
        assert one_line(error).startswith("KeyError: 'x' (test_shell.py:")
