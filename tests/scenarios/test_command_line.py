"""Do `stramash run` and `stramash bench` do with a scenario what a user expects?"""

import json
import re
import subprocess
import sys
import time

import psutil
import pytest

from launch import cli, result_table, sweeps
from tests.scenarios.interruption import interrupt

PLAY = '''\
"""Does it say so?"""
from launch import Scenario

def scenario(word="world", expected="world", raising=False):
    play = Scenario(nodes=["x86"])
    play.start("hello", on="x86", arguments=[word])
    play.expect("console", contains=expected)
    if raising:
        play.expect(lambda run: run.statistics["x"], "x", equal=1)
    return play
'''


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "play.py"
    path.write_text(PLAY)
    return path


def test_a_scenario_runs_and_its_expectations_decide(file, tmp_path, capsys):
    out = str(tmp_path / "a")
    assert cli.execute(["run", str(file), "-q", "--out", out, "--set", "word=world"]) == 0
    assert "argument 1: world" in capsys.readouterr().out
    assert cli.execute(["run", str(file), "-q", "--out", out, "--set", "word=moon"]) == 1
    output = capsys.readouterr()
    assert "argument 1: moon" in output.out
    assert f"stramash: {file}:7: console is " in output.err
    assert "expected something that contains 'world'" in output.err
    assert json.loads((tmp_path / "a" / "manifest.json").read_text())["ended"]["reason"] == "exited"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "wrd=x"], "--set wrd: neither a parameter of .* did you mean 'word'"),
        (["--memory", "shared"], "a scenario declares --memory itself"),
        (["--on", "x86", "--", "a"], "declares arguments, --on itself"),
        (["--set", "raising=yes"], r"play\.py:9: KeyError: 'x'"),
    ],
)
def test_what_is_wrong_is_one_line(file, tmp_path, capsys, words, message):
    before = set(psutil.Process().children(recursive=True))
    status = cli.execute(["run", str(file), "-q", "--out", str(tmp_path / "a"), *words])
    errors = capsys.readouterr().err
    assert status == 125
    assert re.search(message, errors), errors
    assert errors.count("\n") == 1
    assert set(psutil.Process().children(recursive=True)) == before


def test_a_scenario_that_is_missing_or_raises(tmp_path, capsys):
    assert cli.execute(["run", str(tmp_path / "none.py")]) == 125
    assert "no such scenario" in capsys.readouterr().err
    bad = tmp_path / "bad.py"
    bad.write_text("def scenario():\n    return 1 / 0\n")
    for command in ("run", "bench"):
        assert cli.execute([command, str(bad)]) == 125
        assert f"{bad}:2: ZeroDivisionError: division by zero" in capsys.readouterr().err


def test_a_bench_prints_a_table_or_json_and_is_reported_again(file, tmp_path, capsys):
    out = str(tmp_path / "a")
    words = ["bench", str(file), "--set", "word=world,moon", "--out", out, "--repeat", "2"]
    assert cli.execute([*words, "-q"]) == 1
    shown = capsys.readouterr().out
    assert "Does it say so?" in shown and "table.parquet" in shown
    assert cli.execute(["report", out]) == 0
    assert capsys.readouterr().out == shown
    assert cli.execute([*words, "--json"]) == 1
    output = capsys.readouterr()
    rows = json.loads(output.out)["rows"]
    assert [(row["word"], row["status"] == "ok") for row in rows] == [
        ("world", True), ("world", True), ("moon", False), ("moon", False),
    ]  # fmt: skip
    assert output.err.count("finished before") == 4
    assert rows[2]["digest"] == rows[3]["digest"]


def test_an_interrupted_bench_leaves_nothing_running_and_goes_on(tmp_path):
    slow = tmp_path / "slow.py"
    slow.write_text(
        "from launch import Scenario\n\n\n"
        "def scenario(rounds=1):\n"
        "    play = Scenario(nodes=['x86'])\n"
        "    play.start('compute', on='x86', arguments=[rounds, 64])\n"
        "    return play\n"
    )
    out = tmp_path / "a"
    words = [sys.executable, "-m", "launch.cli", "bench", str(slow), "--out", str(out)]
    first = [*words, "--set", "rounds=10,1000000", "--jobs", "1"]
    process = subprocess.Popen(first, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while len(list(out.glob(".slow-*"))) + len(list(out.glob("slow-*"))) < 2:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.1)
    time.sleep(1)
    interrupt(process, gone_seconds=10)
    assert [row["rounds"] for row in sweeps.read(out).rows] == [10]
    assert (out / result_table.CSV).exists()
    second = [*words, "--set", "rounds=10,20"]
    done = subprocess.run(second, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("finished before") == 1 and done.stderr.count("done in") == 1
