"""Does the command line understand what a person writes, and say in one line what it does not?"""

import json

import pytest

from cosim.errors import InputError
from launch import cli, launch, options


def outcome(capsys, *words):
    """(exit status, stdout, stderr) of a command line."""
    status = cli.execute(list(words))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize(
    ("text", "job"),
    [
        ("hello", ("hello", [], [])),
        ("hello --on arm", ("hello", ["arm"], [])),
        ("--on=arm,x86 hello", ("hello", ["arm", "x86"], [])),
        ("'a b.c' --on arm -- -x 'two words'", ("a b.c", ["arm"], ["-x", "two words"])),
    ],
)
def test_a_second_program_is_parsed(text, job):
    parsed = options.parse_beside(text)
    assert (parsed["program"], parsed["on"], parsed["arguments"]) == job


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "name one program"),
        ("a b", "name one program"),
        ("hello --on", "--on needs a node"),
        ("hello --om arm", "unknown option --om; did you mean '--on'"),
        ("hello 'x", "No closing quotation"),
    ],
)
def test_a_malformed_second_program_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        options.parse_beside(text)


def test_settings_are_split_at_the_first_equals_sign():
    assert options.parse_settings(["a.b=c=d", "e=1"]) == {"a.b": "c=d", "e": "1"}


@pytest.mark.parametrize("given", [["novalue"], ["=1"], ["a=1", "a=2"]])
def test_malformed_settings_are_refused(given):
    with pytest.raises(InputError, match="--set"):
        options.parse_settings(given)


def test_short_options_yield_to_set():
    settings = options.with_short({"memory.model": "separated"}, "shared", "paper-small")
    assert settings == {"memory.model": "separated", "memory.preset": "paper-small"}


def test_config_lists_every_setting_with_unit_and_meaning(capsys):
    status, out, _ = outcome(capsys, "config", "--set", "cache.l2.size=2MiB")
    lines = out.splitlines()
    assert status == 0
    assert any(line.split()[:3] == ["cache.l2.size", "2MiB", "byte"] for line in lines)
    assert any(line.startswith("kernel.costs.page_fault") for line in lines)


def test_config_as_json_has_plain_values(capsys):
    status, out, _ = outcome(capsys, "config", "--json", "--memory", "separated")
    listed = json.loads(out)
    assert status == 0
    assert listed["memory.model"]["value"] == "separated"
    assert listed["memory.size"]["value"] == 8 << 30
    assert all(
        set(row) == {"value", "unit", "meaning"} and row["meaning"] for row in listed.values()
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["run"], "name a program, or a run folder with --repeat"),
        (["run", "hello", "--onn", "x86"], "No such option: --onn"),
        (["run", "helo"], "no such program; did you mean 'hello'"),
        (["run", "hello", "--on", "amr"], "did you mean 'arm'"),
        (["run", "hello", "--set", "memory.modle=shared"], "did you mean 'memory.model'"),
        (["run", "hello", "--memory", "sharde"], "did you mean 'shared'"),
        (["run", "hello", "--machine", "pari"], "did you mean 'pair'"),
        (["run", "hello", "--root", "/no/such/folder"], "--root must be a folder"),
        (["run", "hello", "--stdin", "/no/such/file"], "No such file"),
        (["run", "hello", "--limit", "soon"], "not a number"),
        (["run", "hello", "--seed", "-1"], "seed -1"),
        (["report", "/no/such/run"], "not the folder of a finished run"),
        (["diff", "/no/such/run", "/no/other"], "not the folder of a finished run"),
    ],
)
def test_every_mistake_is_one_line_and_125(capsys, words, message):
    status, out, err = outcome(capsys, *words)
    assert (status, out) == (125, "")
    assert err.startswith("stramash: ") and message in err
    assert err.count("\n") == 1


def test_options_stand_before_or_after_the_program(capsys):
    before = outcome(capsys, "run", "--on", "amr", "hello")
    after = outcome(capsys, "run", "hello", "--on", "amr")
    assert before == after


def test_help_names_every_command(capsys):
    status, out, _ = outcome(capsys, "--help")
    assert status == 0
    for name in ("run", "replay", "config", "build", "report", "diff", "ps", "clean"):
        assert name in out


def test_an_unexpected_error_is_one_line_with_its_place(capsys, monkeypatch):
    def broken(*_arguments, **_options):
        raise ZeroDivisionError("made by a test")

    monkeypatch.setattr("launch.running.find", broken)
    status, _, err = outcome(capsys, "ps")
    assert status == 125
    assert "unexpected ZeroDivisionError at test_options.py" in err and err.count("\n") == 1


def test_an_interrupt_is_130(capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("launch.running.find", interrupted)
    assert outcome(capsys, "ps")[0] == cli.INTERRUPTED


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["hello"], ["run", "--on", "x86,arm", "hello"]),
        (["hello", "--on", "arm"], ["run", "hello", "--on", "arm"]),
        (["hello", "--", "--on"], ["run", "--on", "x86,arm", "hello", "--", "--on"]),
    ],
)
def test_the_pair_launcher_adds_only_the_nodes(words, line):
    assert launch.command(words) == line
