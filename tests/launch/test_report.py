"""Do the tables say what the run folders say?"""

import io

from rich.console import Console

from launch import cli, report
from launch.machine import Run
from tests.launch import runs


def rendered(renderable):
    console = Console(file=io.StringIO(), width=160)
    console.print(renderable)
    return console.file.getvalue()


def test_the_summary_shows_each_node_and_the_machine(tmp_path):
    text = rendered(report.summary(runs.write(tmp_path)))
    for part in (
        "x86 (x86_64)",
        "arm (aarch64)",
        "1,000,000",
        "97.80 %",
        "4,000 / 500",
        "1.000 ms",
        "hello on x86: exit 0",
        str(tmp_path),
    ):
        assert part in text


def test_the_summary_shows_what_went_wrong(tmp_path):
    program = {**runs.PROGRAM, "signal": 11, "status": 139, "report": "r"}
    changes = {
        "laws": ["hits + misses = accesses"],
        "failure": "node 'arm' died",
        "reason": "limit",
    }
    text = rendered(report.summary(runs.write(tmp_path, programs=[program], **changes)))
    for part in ("signal 11", "LAW VIOLATED", "hits + misses", "node 'arm' died", "at the limit"):
        assert part in text


def test_the_report_says_where_the_time_went(tmp_path):
    text = rendered(report.where_time_went(runs.write(tmp_path)))
    for part in ("ms of the run", "of the kernel", "remote", "waiting", "1.000"):
        assert part in text


def test_differences_are_those_of_settings_and_simulated_statistics(tmp_path):
    left = runs.write(tmp_path / "left")
    changed = {**runs.STATISTICS, "x86.memory.local": 8_000}
    right = runs.write(tmp_path / "right", statistics=changed, host_seconds=99.0)
    found = {name: values for name, *values in report.differences(left, right)}
    assert set(found) == {"x86.memory.local", "machine.digest"}
    assert found["x86.memory.local"] == [4_000, 8_000]
    assert "2.000" in rendered(report.difference_table(left, right))


def test_equal_runs_do_not_differ(tmp_path):
    left, right = runs.write(tmp_path / "left"), runs.write(tmp_path / "right", host_seconds=3.0)
    assert "differs" in rendered(report.difference_table(left, right))


def test_the_commands_print_the_tables(tmp_path, capsys):
    runs.write(tmp_path / "left")
    runs.write(tmp_path / "right", statistics={**runs.STATISTICS, "x86.ipi.received": 9})
    left, right = str(tmp_path / "left"), str(tmp_path / "right")
    assert cli.execute(["report", left, right]) == 0
    assert capsys.readouterr().out.count("x86 (x86_64)") == 2
    assert cli.execute(["diff", left, right]) == 0
    assert "x86.ipi.received" in capsys.readouterr().out


def test_a_run_reads_well_in_python_and_in_a_notebook(tmp_path):
    failed = {**runs.PROGRAM, "program": "second", "status": 3}
    run = Run(runs.write(tmp_path, programs=[dict(runs.PROGRAM), failed]))
    assert run.exit_status == 3
    assert run.console == "hello\n"
    assert run.consoles == {"x86": "hello\n", "arm": ""}
    assert run.statistics["x86.core0.instructions_user"] == 1_000_000
    assert len(run.digest) == 32
    assert run.folder == tmp_path
    assert "second on x86: 3" in repr(run)
    assert "<pre>" in run._repr_html_() and "1,000,000" in run._repr_html_()
