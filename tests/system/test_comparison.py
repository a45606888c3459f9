"""Does `stramash compare` run a program under several designs, and only once?"""

import json
from pathlib import Path

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
