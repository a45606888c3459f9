"""Does the machine go down in time, with one clear line and nothing left, whichever process dies
whenever?
"""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from cosim.errors import InputError, MachineError
from tests.failure.harness import (
    TOYS,
    assert_nothing_left,
    down_in_time,
    processes_of,
    run_whole,
    toy_machine,
)

LONG = 100_000_000  # turns: longer than any test


def test_a_toy_machine_runs_and_leaves_nothing():
    with toy_machine() as supervisor:
        outcome = run_whole(supervisor)
    assert [
        (row["node"], row["status"]) for row in sorted(outcome.exited, key=lambda r: r["node"])
    ] == [("arm", 3), ("x86", 3)]
    assert outcome.finished["reason"] == "exited"
    assert outcome.finished["virtual_time_ps"] == 5_000_000
    assert outcome.statistics["toy.memory"] == 42 and outcome.statistics["lockstep.turns"] >= 10
    assert_nothing_left(supervisor.sockets.folder)


@pytest.mark.parametrize("component", ["memsys", "timebase", "arm"])
@pytest.mark.parametrize("moment", ["boot", "collect"])
def test_a_kill_at_boot_and_at_the_end_is_named(component, moment):
    supervisor = toy_machine(toy={component: {"at": moment, "how": "kill"}})
    with down_in_time(), supervisor, pytest.raises(MachineError) as caught:
        run_whole(supervisor)
    phase = {"boot": "start", "collect": "collect"}[moment]
    assert f"process '{component}' (pid " in str(caught.value)
    assert f"died in phase {phase}: killed by SIGKILL" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert_nothing_left(supervisor.sockets.folder)


@pytest.mark.parametrize("component", ["memsys", "timebase", "x86", "arm"])
def test_a_kill_in_the_middle_of_the_run_keeps_the_statistics(component):
    supervisor = toy_machine(toy_turns=LONG)

    def kill_soon() -> None:
        time.sleep(0.6)
        supervisor.children[component].process.send_signal(signal.SIGKILL)

    supervisor.start()
    for node in ("x86", "arm"):
        supervisor.load(node, {"name": "p"})
    threading.Thread(target=kill_soon).start()
    with down_in_time(0.6 + 5.0), pytest.raises(MachineError) as caught:
        supervisor.run()
    assert f"'{component}'" in str(caught.value) and "in phase run: killed by SIGKILL" in str(
        caught.value
    )
    assert caught.value.statistics["toy.memory"] == 42
    assert caught.value.statistics["x86.toy.turns"] > 0
    assert_nothing_left(supervisor.sockets.folder)


def test_a_process_that_ends_before_hello_is_quoted():
    supervisor = toy_machine()
    supervisor.entries = {**TOYS, "timebase": "tests.failure.absent:main"}
    with (
        down_in_time(),
        supervisor,
        pytest.raises(MachineError, match="'timebase'.* (failed|died) .*No module named"),
    ):
        supervisor.start()
    assert_nothing_left(supervisor.sockets.folder)


def test_an_uncaught_exception_is_one_line_with_its_place():
    supervisor = toy_machine(toy={"x86": {"at": "turn", "how": "raise"}})
    with supervisor, pytest.raises(MachineError) as caught:
        run_whole(supervisor)
    assert "process 'x86' failed while being a toy at turn: KeyError" in str(caught.value)
    assert "(toys.py:" in str(caught.value) and "\n" not in str(caught.value)


def test_the_users_mistake_found_by_a_node_stays_the_users_mistake():
    supervisor = toy_machine(toy={"x86": {"at": "load", "how": "input"}})
    with (
        supervisor,
        pytest.raises(InputError, match=r"^program 'x': not for this node; try --on arm$"),
    ):
        run_whole(supervisor)
    assert_nothing_left(supervisor.sockets.folder)


def test_a_crash_of_native_code_is_a_signal_with_a_name():
    supervisor = toy_machine(toy={"arm": {"at": "turn", "how": "segfault"}})
    with down_in_time(), supervisor, pytest.raises(MachineError, match="'arm'.*killed by SIGSEGV"):
        run_whole(supervisor)
    assert_nothing_left(supervisor.sockets.folder)


def test_a_node_that_never_answers_its_turn_is_reported_with_who_waits_for_whom():
    supervisor = toy_machine(toy={"x86": {"at": "turn", "how": "hang"}}, limits={"answer_s": 1})
    with down_in_time(8), supervisor, pytest.raises(MachineError) as caught:
        run_whole(supervisor)
    assert "node 'x86' has not answered turn" in str(caught.value)
    assert "core  node  state" in caught.value.report
    assert "does not answer" in caught.value.report
    assert_nothing_left(supervisor.sockets.folder)


def test_a_silent_process_is_noticed():
    supervisor = toy_machine(
        toy={"memsys": {"at": "turn", "how": "hang"}}, toy_turns=LONG, limits={"silence_s": 2}
    )
    with (
        down_in_time(10),
        supervisor,
        pytest.raises(MachineError, match="'memsys' has given no sign of life"),
    ):
        run_whole(supervisor)
    assert_nothing_left(supervisor.sockets.folder)


def test_a_deadlock_is_a_table_and_not_a_hang():
    supervisor = toy_machine(toy_wait=True)
    with (
        down_in_time(),
        supervisor,
        pytest.raises(MachineError, match="deadlock at 5000000 ps") as caught,
    ):
        run_whole(supervisor)
    assert (
        "waits for" in caught.value.report and "an interrupt (0 on the way)" in caught.value.report
    )
    assert "timebase  run    at the end: deadlock" in caught.value.report
    assert_nothing_left(supervisor.sockets.folder)


def test_a_limit_of_virtual_time_ends_the_run_in_order():
    with toy_machine(toy_turns=LONG, limit_ps=20_000_000) as supervisor:
        outcome = run_whole(supervisor)
    assert outcome.finished["reason"] == "limit" and outcome.exited == []
    assert outcome.finished["virtual_time_ps"] == 20_000_000


def test_pause_holds_the_machine_and_resume_lets_it_go():
    with toy_machine(toy_turns=LONG) as supervisor:
        supervisor.start()
        supervisor.load("x86", {"name": "p"})
        supervisor._send("timebase", {"kind": "start", "programs": 1, "halt_ps": -1})
        first_ps = supervisor.pause()
        assert supervisor.pause() == first_ps
        supervisor.resume()
        assert supervisor.pause() >= first_ps
        assert "x86" in supervisor.dump()
    assert_nothing_left(supervisor.sockets.folder)


def test_tcp_with_keys_runs_the_whole_machine():
    with toy_machine(tcp_host="127.0.0.1") as supervisor:
        assert run_whole(supervisor).finished["reason"] == "exited"


def test_stopping_a_running_machine_from_outside_is_quick():
    supervisor = toy_machine(toy_turns=LONG)
    supervisor.start()
    with down_in_time(2.0):
        supervisor.close()
    assert_nothing_left(supervisor.sockets.folder)


SUPERVISED = """
import sys
from tests.failure.harness import toy_machine, run_whole
supervisor = toy_machine(toy_turns=10**8, toy={"arm": {"at": "turn", "how": sys.argv[1]}})
print(supervisor.sockets.folder, flush=True)
supervisor.start()
print("up", flush=True)
supervisor.load("x86", {"name": "p"})
supervisor.run()
"""


@pytest.mark.parametrize("how", ["none", "hang"])
def test_children_and_sockets_vanish_with_a_killed_supervisor(how):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISED, how], stdout=subprocess.PIPE, text=True, env=environment
    )
    folder = Path(process.stdout.readline().strip())
    assert process.stdout.readline() == "up\n"
    time.sleep(0.3)
    assert len(processes_of(folder)) == 4
    process.kill()
    process.communicate()
    deadline_s = time.monotonic() + 5.0  # what is promised to users
    while (processes_of(folder) or folder.exists()) and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert_nothing_left(folder)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_child_ends_cleanly_on_a_signal(number):
    supervisor = toy_machine()
    with supervisor:
        supervisor.start()
        process = supervisor.children["arm"].process
        psutil.Process(process.pid).send_signal(number)
        with pytest.raises(MachineError, match=f"'arm'.*exit code {128 + number}"):
            run_whole_after_start(supervisor)
    assert_nothing_left(supervisor.sockets.folder)


def run_whole_after_start(supervisor) -> None:
    """The rest of run_whole."""
    for _ in range(100):
        supervisor._until(lambda: True, None, "", list)
        supervisor._pump(50)
