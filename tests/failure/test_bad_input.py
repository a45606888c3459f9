"""Is every kind of wrong input refused in one line that says what and where, and what to do?"""

import random
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from cosim import isa as isa_registry
from cosim.errors import InputError
from cosim.kernel.loader import read_image
from launch import cli
from launch.build import build

PROGRAMS = Path(__file__).parent.parent / "oracle" / "programs"
X86 = isa_registry.find("x86_64")
ELF = (PROGRAMS / "chase.x86_64").read_bytes()
INTERPRETER, MACHINE_FIELD = 3, struct.Struct("<H")
INSTRUCTIONS = "#include <stdio.h>\nint main(void) { return 0; }\n"


@pytest.fixture
def refused(capfd, tmp_path, monkeypatch):
    """Run a command line that must be refused; its one line on stderr, without our name."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        first, *rest = map(str, words)
        quiet = ["--quiet"] if first == "run" else []
        status = cli.execute([first, *quiet, *rest])
        captured = capfd.readouterr()
        lines = captured.err.splitlines()
        assert (status, captured.out, len(lines)) == (125, "", 1), captured.err
        assert lines[0].startswith("stramash: ") and "Traceback" not in lines[0]
        assert "unexpected" not in lines[0]
        return lines[0].removeprefix("stramash: ")

    return run


def changed(offset, content):
    """The good ELF with some bytes replaced."""
    return ELF[:offset] + content + ELF[offset + len(content) :]


def dynamic():
    """The good ELF with its first program header asking for an interpreter."""
    start = struct.unpack_from("<Q", ELF, 32)[0]
    return changed(start, struct.pack("<I", INTERPRETER))


BAD_ELFS = {
    "empty": (b"", "neither a C file .* nor an ELF program; build a static"),
    "text": (b"hello\n", "neither a C file .* nor an ELF program"),
    "magic alone": (ELF[:4], "the ELF header is damaged|truncated"),
    "header alone": (ELF[:64], "truncated"),
    "half": (ELF[: len(ELF) // 2], "truncated, it needs [0-9]+ bytes"),
    "random": (ELF[:4] + random.Random(5).randbytes(4000), "damaged|built for|not an ELF|32-bit"),
    "32-bit": (changed(4, b"\1"), "is a 32-bit ELF file .* compile with -m64"),
    "big-endian": (changed(5, b"\2")[:18] + b"\0\x3e" + ELF[20:], "is big-endian"),
    "dynamic": (dynamic(), "needs a dynamic loader, .* link with -static"),
    "other machine": (changed(18, MACHINE_FIELD.pack(8)), "built for EM_MIPS"),
    "object": (changed(16, MACHINE_FIELD.pack(1)), "is ET_REL, not an executable; link it"),
}


@pytest.mark.parametrize("kind", BAD_ELFS)
def test_a_malformed_elf(refused, tmp_path, kind):
    content, message = BAD_ELFS[kind]
    (tmp_path / "program").write_bytes(content)
    line = refused("run", "program", "--out", "run")
    assert line.startswith("program") and re.search(message, line), line


def test_truncated_and_mutated_elfs_are_refused_or_understood():
    chance = random.Random(11)
    end = max(s.offset + s.file_bytes for s in read_image(ELF, X86).segments)
    offsets = [*range(400), *(chance.randrange(end) for _ in range(200))]
    for data in (ELF[:offset] for offset in offsets):
        with pytest.raises(InputError) as caught:
            read_image(data, X86)
        assert "\n" not in str(caught.value)
    for _ in range(1500):
        data = bytearray(ELF)
        for _ in range(chance.randint(1, 5)):
            data[chance.randrange(400)] = chance.choice((0, 1, 0x7F, 0xFF, chance.randrange(256)))
        try:
            read_image(bytes(data), X86)
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("missing.c",), "missing.c: no such program"),
        (("helo",), "no such program; did you mean 'hello'"),
        ((".",), "is a folder; give a C file or a static ELF"),
        (("hello", "--on", "amr"), "no node is called 'amr'; did you mean 'arm'"),
        (("hello", "--on", "riscv"), "no node is called 'riscv'; nodes are x86, arm"),
        (("hello", "--preset", "papre"), "memory.preset=papre: allowed are .*mean 'paper'"),
        (("hello", "--memory", "share"), "memory.model=share: .*did you mean 'shared'"),
        (("hello", "--set", "cache.l2.sice=1MiB"), "did you mean 'cache.l2.size'"),
        (("hello", "--set", "cache.l2.size=3MiB"), "not a power of two"),
        (("hello", "--set", "cache.l2.size=big"), "cache.l2.size=big: not a number"),
        (("hello", "--set", "cache.l2.ways=0"), "cache.l2.ways=0: must be"),
        (("hello", "--set", "memory.size=0"), "memory.size"),
        (("hello", "--set", "memory.size=1MiB"), "memory"),
        (("hello", "--set", "memory.size=999999GiB"), "lower memory.size"),
        (("hello", "--set", "time.ipc=0"), "time.ipc=0: write a positive ratio"),
        (("hello", "--set", "time.quantum_ns=999999"), "is longer than the IPI latency"),
        (("hello", "--set", "memory.model"), "--set memory.model: write name=value"),
        (("hello", "--limit", "soon"), "limit=soon: not a number"),
        (("hello", "--limit", "0"), "limit=0"),
        (("hello", "--seed", "-1"), "seed -1: a whole number from 0"),
        (("hello", "--seed", "x"), "Invalid value for '--seed'"),
        (("hello", "--root", "nowhere"), "--root must be a folder"),
        (("hello", "--stdin", "nowhere"), "--stdin nowhere: No such file"),
        (("hello", "--machine", "pear"), "no such machine file; did you mean 'pair'"),
        (("hello", "--colour"), "No such option"),
        ((), "run: name a program, or a run folder with --repeat; one of the two"),
    ],
)
def test_a_wrong_word_on_the_command_line(refused, words, message):
    assert re.search(message, refused("run", *words))


def test_an_elf_for_another_node(refused):
    line = refused("run", PROGRAMS / "chase.aarch64", "--on", "x86")
    assert re.search("EM_AARCH64, but a node of x86_64 runs EM_X86_64.*--on", line)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int main(void) { return missing; }\n", r"bad.c:1:\d+: error: .*missing"),
        ("int main(void) {\n  return 0\n}\n", r"bad.c:2:\d+: error: expected ';'"),
        ('#include "absent.h"\n', r"bad.c:1:\d+: .*error: 'absent.h' file not found"),
        ("int helper(void) { return 0; }\n", "main"),
        ("int nowhere(void);\nint main(void) { return nowhere(); }\n", "nowhere"),
        ("\0\xff\x01 binary\n", "error"),
    ],
)
def test_c_that_does_not_compile(refused, tmp_path, text, message):
    (tmp_path / "bad.c").write_bytes(text.encode("latin-1"))
    assert re.search(message, refused("run", "bad.c"))


NODE = '[[node]]\nname = "x86"\nisa = "x86_64"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[node]\n", "m.toml: line 1, column .*"),
        (NODE + "cores = \n", "m.toml: line 4, column .*"),
        (NODE + "core = 2\n", "m.toml: line 4: unknown key 'core'; did you mean 'cores'"),
        ("[settins]\n" + NODE, "m.toml: line 1: unknown key 'settins'; did you mean 'settings'"),
        (NODE + 'cores = "two"\n', "node 'x86': cores = 'two', a whole number from 1 up"),
        (NODE + "cores = 65\n", "65 cores, a machine has at most 64"),
        (NODE + NODE, "m.toml: two nodes are called 'x86'"),
        (NODE.replace("x86_64", "x86_46"), "unknown isa 'x86_46'; did you mean 'x86_64'"),
        (NODE.replace('"x86"', "7"), "node name 7: write a small letter"),
        ('[[node]]\nname = "x86"\n', "a node without isa"),
        ("", "a machine needs at least one node"),
        ("node = 3\n", r"line 1: write each node as a table \[\[node\]\]"),
        (NODE + '[settings]\n"memory.modle" = "shared"\n', "did you mean 'memory.model'"),
        (NODE + "[settings.memory]\nsize = [1]\n", "memory.size="),
        (NODE + "[settings.memory]\nsize = 1.5\n", "memory.size=1.5"),
        ("\xff\xfe", "cannot be read"),
    ],
)
def test_a_wrong_machine_file(refused, tmp_path, text, message):
    (tmp_path / "m.toml").write_bytes(text.encode("latin-1"))
    assert re.search(message, refused("run", "hello", "--machine", "m.toml"))


def good_trace(**arrays):
    """Arrays of a replayable trace, some replaced; None leaves one out."""
    plain = {"core": [0, 1], "op": [0, 1], "paddr": [0, 64]}
    found = {**plain, **arrays}
    return {name: np.array(rows) for name, rows in found.items() if rows is not None}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"op": None}, "no array 'op'"),
        ({"core": None}, "no array 'core'"),
        ({"op": [0]}, "'op' has 1 rows, 'core' has 2"),
        ({"op": [0, 9]}, "'op' holds 0..9, allowed are 0..3"),
        ({"core": [0, -1]}, "'core' holds -1..0"),
        ({"paddr": [0.5, 1.5]}, "'paddr' is 1-dimensional float64, not integers"),
        ({"paddr": [[1], [2]]}, "'paddr' is 2-dimensional"),
        ({"core": [], "op": [], "paddr": []}, "t.npz: 'core' "),
        ({"paddr": [0, 1 << 51]}, "where this machine has no memory"),
        ({"op": ["a", "b"]}, "'op' is 1-dimensional"),
    ],
)
def test_a_wrong_trace(refused, tmp_path, arrays, message):
    np.savez(tmp_path / "t.npz", **good_trace(**arrays))
    assert re.search(message, refused("replay", "t.npz"))


def test_a_trace_that_is_no_trace(refused, tmp_path):
    np.savez(tmp_path / "good.npz", **good_trace())
    good = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "t.npz").write_bytes(b"")
    assert "t.npz" in refused("replay", "t.npz")
    for content in (b"hello", good[:100], good[:-10], good[:60] + b"\xff" * 40 + good[100:]):
        (tmp_path / "t.npz").write_bytes(content)
        assert "not an NPZ file" in refused("replay", "t.npz")
    assert "No such file" in refused("replay", "absent.npz")
    assert "Is a directory" in refused("replay", ".")
    np.savez(tmp_path / "pickled.npz", **good_trace(), other=np.array([{}], object))
    assert "not an NPZ file of plain arrays" in refused("replay", "pickled.npz")


def test_places_that_cannot_hold_results(refused, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("")
    assert "file: --out must be a folder" in refused("run", "hello", "--out", "file")
    assert "not empty and not a run folder" in refused("run", "hello", "--out", "full")
    assert "file/run: Not a directory" in refused("run", "hello", "--out", "file/run")
    assert "/proc/run: " in refused("run", "hello", "--out", "/proc/run")
    assert (tmp_path / "full" / "thesis.txt").exists()
    np.savez(tmp_path / "t.npz", **good_trace())
    assert "cannot be written" in refused("replay", "t.npz", "--out", "absent/out.npz")


def test_reports_of_what_is_no_run(refused, tmp_path):
    (tmp_path / "manifest.json").write_text("{")
    assert "cannot be read" in refused("report", ".")
    assert "not the folder of a finished run" in refused("report", "absent")
    assert "not the folder of a finished run" in refused("diff", "absent", "absent")


def test_a_stdin_that_does_not_fit_a_message(refused, tmp_path):
    with (tmp_path / "big").open("wb") as file:
        file.truncate(33 << 20)
    assert "at most 33554432; put the file below --root" in refused(
        "run", "hello", "--stdin", "big"
    )


def test_a_compiled_guest_is_found_again(tmp_path):
    source = tmp_path / "good.c"
    source.write_text(INSTRUCTIONS)
    path = build(str(source), "x86_64")
    assert read_image(path, X86).entry and build(str(source), "x86_64") == path
