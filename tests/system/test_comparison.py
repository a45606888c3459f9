"""Does `stramash compare` run a program under several designs, and only once?"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from launch import cli, comparison

PROGRAM = str(Path(__file__).parent / "guests" / "regions.c")
CHOICE = ["--designs", "vanilla,fused", "--models", "shared"]


def test_two_designs_are_compared_and_the_second_time_nothing_runs(tmp_path, capsys):
    words = ["compare", PROGRAM, *CHOICE, "--out", str(tmp_path / "a"), "--", "1"]
    assert cli.execute(words) == 0
    output = capsys.readouterr()
    assert "fused shared" in output.out and "done in" in output.err
    first = (tmp_path / "a" / comparison.FILE).read_bytes()
    content = json.loads(first)
    rows = {row["name"]: row for row in content["rows"]}
    assert list(rows) == ["vanilla", "fused shared"]
    assert rows["vanilla"]["normalised"] == 1
    assert rows["fused shared"]["normalised"] > 1
    assert rows["fused shared"]["migrations"] == 1
    for row in rows.values():
        assert row["measured"] == "region 1"
        assert sum(row["parts_ps"].values()) == row["elapsed_ps"]
        assert (tmp_path / "a" / row["run"] / "manifest.json").is_file()
    assert (tmp_path / "a" / comparison.PICTURE).read_bytes().startswith(b"\x89PNG")
    assert cli.execute(words) == 0
    assert capsys.readouterr().err.count("finished before") == 2
    assert (tmp_path / "a" / comparison.FILE).read_bytes() == first


def test_a_run_that_fails_is_shown_and_the_others_finish(tmp_path, capsys):
    words = ["compare", PROGRAM, *CHOICE, "--out", str(tmp_path / "a"), "--", "1", "strict"]
    assert cli.execute(words) == 1
    output = capsys.readouterr()
    assert "exit status 4" in output.out
    rows = json.loads((tmp_path / "a" / comparison.FILE).read_text())["rows"]
    assert [bool(row["failure"]) for row in rows] == [False, True]


def test_a_program_that_does_not_compile_is_the_callers_mistake(tmp_path, capsys):
    bad = tmp_path / "bad.c"
    bad.write_text("int main(void) { return x; }\n")
    assert cli.execute(["compare", str(bad)]) == 125
    assert "bad.c" in capsys.readouterr().err


def test_an_interrupt_ends_all_runs_and_keeps_what_finished(tmp_path):
    out = tmp_path / "a"
    words = ["compare", "compute", *CHOICE, "--out", str(out), "--jobs", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "launch.cli", *words, "--", "100000", "64"],
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while not list(out.glob(".vanilla-*")):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.1)
    time.sleep(2)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in errors
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive
    assert not list(out.glob(".*"))
