"""Does a guest that misbehaves harm only itself, and is it reported as a debugger would?"""

import json
import re

import pytest

from cosim.errors import MachineError
from launch import Machine, cli
from launch import machine as machines
from launch.supervisor import Supervisor
from tests.failure.harness import BAD_GUEST

NODES = ("x86", "arm")
SECRET = "outside of the guest's root"
# What it does -> (signal on x86, on arm), what the report says, the function it names.
FAULTS = {
    "jump": ((11, 11), "SIGSEGV, address not mapped", None),
    "null": ((11, 11), "SIGSEGV, address not mapped", "dereference_null"),
    "constant": ((11, 11), "SIGSEGV, access not permitted", "write_to_constant"),
    "code": ((11, 11), "SIGSEGV, access not permitted", "write_to_code"),
    "recurse": ((11, 11), "SIGSEGV, address not mapped", "recurse"),
    "illegal": ((4, 4), "SIGILL, illegal instruction", "illegal_instruction"),
    "privileged": ((11, 4), "privileged", "privileged_instruction"),
    "divide": ((8, 0), "SIGFPE, integer division error", "divide_by_zero"),
    "abort": ((6, 6), "SIGABRT", None),
}
# Arguments -> (exit status, what it prints).
HARMLESS = {
    ("read", "../../etc/passwd"): (3, "../../etc/passwd: No such file or directory"),
    ("read", "/absolute"): (3, "/absolute: No such file or directory"),
    ("read", "climbing/passwd"): (3, "climbing/passwd: No such file or directory"),
    ("read", "/inner"): (0, "/inner: read inside"),
    ("read", "/proc/1/root/etc/passwd"): (3, "/proc/1/root/etc/passwd: No such"),
    ("big",): (4, "1 TiB: Out of memory\n1 MiB: 1"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A guest's root with a file, a link to it, and links that try to leave."""
    folder = tmp_path_factory.mktemp("host")
    (folder / "secret").write_text(SECRET)
    inside = folder / "root"
    inside.mkdir()
    (inside / "file").write_text("inside\n")
    (inside / "inner").symlink_to("/file")
    (inside / "absolute").symlink_to(folder / "secret")
    (inside / "climbing").symlink_to("../../../../../../../../etc")
    return inside


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    """All of them at once, on both nodes of one machine."""
    words = [(what,) for what in FAULTS] + list(HARMLESS)
    with Machine(root=root, out=tmp_path_factory.mktemp("out") / "run") as machine:
        return machine.run_together([(BAD_GUEST, node, w) for node in NODES for w in words])


def programs(run, node):
    """What each did, by its arguments."""
    words = [(what,) for what in FAULTS] + list(HARMLESS)
    rows = [row for row in run.programs if row["node"] == node]
    return dict(zip(words, rows, strict=True))


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_ends_the_guest_with_a_report(run, node, what):
    signals, meaning, symbol = FAULTS[what]
    number = signals[NODES.index(node)]
    row = programs(run, node)[(what,)]
    report = row["report"]
    assert (row["status"], row["signal"]) == (128 + number if number else 0, number)
    if not number:
        assert report == ""  # AArch64 divides by zero: the result is 0
        return
    assert meaning in report.splitlines()[0]
    core = NODES.index(node)
    assert f"node {node}, core {core}, process {row['pid']}, thread {row['pid']}" in report
    assert re.search(r"^  pc 0x[0-9a-f]+", report, re.M)
    assert symbol is None or re.search(rf"  pc 0x[0-9a-f]+ <{symbol}\+0x", report)
    assert ("rip" if node == "x86" else "tpidr_el0") in report
    if number in (4, 8, 11):
        assert "faulting address 0x" in report
    assert report in (run.folder / "faults.txt").read_text()


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("words", HARMLESS, ids=" ".join)
def test_a_guest_touches_nothing_of_the_host(run, node, words):
    status, printed = HARMLESS[words]
    assert programs(run, node)[words]["status"] == status
    assert printed in run.consoles[node]
    assert SECRET not in run.console and "root:" not in run.console


def execute(capfd, folder, *words):
    """(exit status, stderr lines) of a run in this process."""
    status = cli.execute(["run", "--quiet", "--out", str(folder), *map(str, words)])
    return status, capfd.readouterr().err.splitlines()


@pytest.mark.parametrize(("node", "status"), [("x86", 139), ("arm", 132)])
def test_the_exit_status_is_that_of_a_shell(node, status, tmp_path, capfd):
    told = execute(capfd, tmp_path / "run", BAD_GUEST, "--on", node, "--", "privileged")
    assert told[0] == status and "privileged" in told[1][0]
    assert any("<privileged_instruction+0x" in line for line in told[1])
    report = (tmp_path / "run" / "faults.txt").read_text().splitlines()
    assert report == told[1]


@pytest.mark.parametrize("node", NODES)
def test_a_loop_without_end_stops_at_the_limit(node, tmp_path, capfd):
    words = (BAD_GUEST, "--on", node, "--limit", "1ms", "--", "loop")
    assert execute(capfd, tmp_path / "run", *words) == (
        125,
        ["stramash: the time limit of 1ms ended the run"],
    )
    values = json.loads((tmp_path / "run" / "stats.json").read_text())
    assert values[f"{node}.core0.instructions_user"] > 500_000
    assert 1_000_000 <= values["machine.virtual_time_ns"] < 1_010_000


def test_waiting_for_ever_is_a_deadlock_report(tmp_path, capfd):
    beside = f"{BAD_GUEST} --on arm -- null"
    words = (BAD_GUEST, "--on", "x86", "--with", beside, "--", "wait")
    status, lines = execute(capfd, tmp_path / "run", *words)
    assert status == 125
    assert re.match(r"stramash: deadlock at \d+ ps: no core can run, and programs", lines[-1])
    report = "\n".join(lines)
    assert re.search(r"0     x86   waiting +\d+ +an interrupt", report)
    assert re.search(r"x86 +100 +100 +bad +waiting +futex 0x[0-9a-f]+ \(expects 0x0\)", report)
    # What ended before is not forgotten.
    assert "<dereference_null+0x" in (tmp_path / "run" / "faults.txt").read_text()
    ended = json.loads((tmp_path / "run" / "manifest.json").read_text())["ended"]
    assert [program["status"] for program in ended["programs"]] == [125, 139]
    assert ended["reason"] == "failed" and "deadlock" in ended["failure"]


def test_printing_for_long_in_one_call_is_progress(monkeypatch, tmp_path):
    class Impatient(Supervisor):
        def __init__(self, configuration, *rest, **named):
            configuration["run"]["limits"] = {"answer_s": 1.2}
            super().__init__(configuration, *rest, **named)

    monkeypatch.setattr(machines, "Supervisor", Impatient)
    with Machine(out=tmp_path / "run") as machine:
        try:
            run = machine.run(BAD_GUEST, "arm", ["flood", 2])
        except MachineError as error:
            raise AssertionError(error.report) from error
    assert run.programs[0]["status"] == 5 and len(run.console) == 2 << 20
