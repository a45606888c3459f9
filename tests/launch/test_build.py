"""Do C files become ELFs for every ISA, and do wrong ones get one line?"""

import os
import shutil
import stat
import subprocess

import pytest

from cosim.errors import InputError
from launch import build, designs, instantiation
from launch.machine import Machine, _job
from launch.system import load

VANILLA = designs.find("vanilla")
ISAS = {"x86_64": "EM_X86_64", "aarch64": "EM_AARCH64", "riscv64": "EM_RISCV"}
EMULATORS = {"x86_64": "qemu-x86_64", "aarch64": "qemu-aarch64", "riscv64": "qemu-riscv64"}


@pytest.fixture
def source(tmp_path):
    """Write a C file."""

    def write(text, name="prog.c"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("guest", build.bundled())
def test_every_guest_compiles_without_a_warning_for_every_isa(guest, isa):
    path = build.build(guest, isa, ("-Wall", "-Wextra", "-Werror"))
    assert build.machine_of(path) == ISAS[isa]
    assert path.stat().st_mode & stat.S_IXUSR


def test_a_header_beside_the_source_is_never_stale(source):
    text = '#include "value.h"\nint main(void) { return VALUE; }\n'
    path, header = source(text), source("#define VALUE 1\n", "value.h")
    first = build.build(path, "x86_64").read_bytes()
    with open(header, "w") as file:
        file.write("#define VALUE 2\n")
    assert build.build(path, "x86_64").read_bytes() != first


@pytest.mark.parametrize("isa", ISAS)
def test_the_program_is_the_same_bytes_wherever_it_is_built(isa, tmp_path, monkeypatch):
    """Its header and sections are in guest memory: anything of the host moves machine.digest."""
    built = []
    for name in ("a", "a_longer_name"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        text = "#include <assert.h>\nint main(int n, char **v) { assert(n && v); }\n"
        (folder / "prog.c").write_text(text)
        built.append(build.build("./prog.c", isa).read_bytes())
    assert built[0] == built[1]
    for folder in (build.cache_root(), build.compiler().rpartition("/")[0], tmp_path):
        assert os.fsencode(folder) not in built[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "int main(void) { return x; }\n",
            r"c:1:25: error: use of undeclared identifier 'x'",
        ),
        ('#include "missing.h"\n', r"error: 'missing\.h' file not found"),
        ("int f(void); int main(void) { return f(); }\n", "undefined symbol: f"),
        ("", "undefined symbol: main"),
    ],
)
def test_source_that_does_not_compile_is_one_line(source, text, message):
    with pytest.raises(InputError, match=message) as caught:
        build.build(source(text), "x86_64")
    assert "\n" not in str(caught.value)


def test_an_elf_runs_only_on_its_own_isa():
    path = build.build("hello", "aarch64")
    assert build.build(str(path), "aarch64") == path
    with pytest.raises(InputError, match="EM_AARCH64, but a node of x86_64 runs EM_X86_64"):
        build.build(str(path), "x86_64")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a C file"),
        (b"#!/bin/sh\n", "it is a script"),
        (b"\x7fELF", "header is damaged"),
        (b"\x7fELF" + b"\xff" * 60, "header is damaged|built for"),
    ],
)
def test_what_is_no_program_is_refused(tmp_path, content, message):
    path = tmp_path / "prog"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        build.build(str(path), "x86_64")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [("helo", "did you mean 'hello'"), ("/no/such/thing", "no such program"), ("/", "is a folder")],
)
def test_a_program_that_does_not_exist_is_suggested(name, message):
    with pytest.raises(InputError, match=message):
        build.find(name)


def test_placement_follows_the_program():
    arm = str(build.build("hello", "aarch64"))
    assert [p.node for p in instantiation.place(load(), VANILLA, "hello")] == ["x86"]
    assert [p.node for p in instantiation.place(load(), VANILLA, arm)] == ["arm"]
    both = instantiation.place(load(), VANILLA, "hello", ["arm", "x86"], ["a"])
    assert [(p.node, p.row()["argv"]) for p in both] == [
        ("arm", ["hello", "a"]),
        ("x86", ["hello", "a"]),
    ]


def test_a_program_without_a_node_for_it_is_refused():
    arm = str(build.build("hello", "aarch64"))
    with pytest.raises(InputError, match="built for EM_AARCH64, but this machine has x86_64"):
        instantiation.place(load("twins"), VANILLA, arm)


@pytest.mark.parametrize(
    "job",
    [
        ("hello", "arm", [1, "x"]),
        ["hello", ("arm",), ("1", "x")],
        {"program": "hello", "on": "arm", "arguments": [1, "x"]},
    ],
)
def test_jobs_may_be_written_in_several_ways(job):
    assert _job(job) == {"program": "hello", "on": ["arm"], "arguments": ["1", "x"], "stdin": b""}


def test_run_folders_are_fresh_or_our_own(tmp_path, monkeypatch):
    monkeypatch.setenv(instantiation.RUNS_VARIABLE, str(tmp_path / "runs"))
    first, second = instantiation.new_folder("a b/c"), instantiation.new_folder("a b/c")
    assert first != second and first.name.startswith("a_b_c-")
    mine = tmp_path / "mine"
    assert instantiation.new_folder("x", mine) == mine
    (mine / "notes").touch()
    with pytest.raises(InputError, match="not empty and not a run folder"):
        instantiation.new_folder("x", mine)
    (mine / "manifest.json").touch()
    assert instantiation.new_folder("x", mine) == mine


@pytest.mark.needs_qemu
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("guest", ["libc_tour", "threads"])
def test_guests_run_the_same_on_an_emulator(guest, isa):
    emulator = shutil.which(EMULATORS[isa])
    assert emulator, f"{EMULATORS[isa]} is missing: install qemu-user"
    command = [emulator, str(build.build(guest, isa))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ))
    assert done.returncode == 0 and done.stdout and not done.stderr


def test_a_machine_builds_for_each_of_its_nodes():
    built = Machine().build("hello")
    assert {node: build.machine_of(path) for node, path in built.items()} == {
        "x86": "EM_X86_64",
        "arm": "EM_AARCH64",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": ("x86",), "machine": "pair"}, "either nodes or machine"),
        ({"memory": "sharde"}, "did you mean 'shared'"),
        ({"settings": {"cache.l1d.wayz": 1}}, "did you mean 'cache.l1d.ways'"),
        ({"limit": "0"}, "from 1 up"),
        ({"seed": -1}, "seed -1"),
        ({"nodes": ()}, "at least one node"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        Machine(**options)


def test_a_machine_says_what_it_is():
    text = repr(Machine(memory="separated"))
    assert text == "<Machine x86 (x86_64 x 1), arm (aarch64 x 1); separated memory, paper costs>"
