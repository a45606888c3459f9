"""Do programs nobody here wrote run unmodified, and print what the same files print under
qemu-user?
"""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from launch import Machine

BUSYBOX = Path(os.environ.get("STRAMASH_BUSYBOX", "build/busybox"))
FILES = {"x86": BUSYBOX / "busybox.amd64", "arm": BUSYBOX / "busybox.arm64"}
EMULATORS = {"x86": "qemu-x86_64", "arm": "qemu-aarch64", "riscv": "qemu-riscv64"}
LINES = {"short": 3_000, "long": 60_000}  # 0.15 and 3 MB

needs_busybox = pytest.mark.skipif(
    not all(path.exists() for path in FILES.values())
    or not all(shutil.which(EMULATORS[node]) for node in FILES),
    reason="needs qemu-user and Debian's busybox-static of both architectures: make busybox",
)

MOST_LEFT = 1 / 1000  # of the instructions, to Unicorn
ENOUGH = 1_000_000  # instructions, so that such a share means something
# System calls and questions about the processor are Unicorn's, as the native engine calls them.
ALWAYS_LEFT = {"x86": ("0f 05 ", "0f a2 ", "0f 01 "), "arm": ("0xd4000000",)}

COMMANDS = {
    "sha256sum": ["sha256sum", "data.txt"],
    "sort": ["sort", "-k2", "-n", "data.txt"],
    "awk": ["awk", '{ s += $2; n[$3]++ } END { print s; print n["red"], n["green"] }', "data.txt"],
    "loop": ["sh", "-c", "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); done; exit 7"],
}


@pytest.fixture(scope="module", params=["short", pytest.param("long", marks=pytest.mark.long)])
def root(request, tmp_path_factory):
    """A guest file system with one text file."""
    folder = tmp_path_factory.mktemp("root")
    stream = random.Random(20261123)
    with (folder / "data.txt").open("w") as out:
        for index in range(LINES[request.param]):
            colour = stream.choice(("red", "green", "blue"))
            noise = f"{stream.randrange(1 << 60):x}"
            out.write(f"{index:06d} {stream.randrange(1 << 30)} {colour} {noise}\n")
    return folder


@needs_busybox
@pytest.mark.parametrize("node", FILES)
@pytest.mark.parametrize("name", COMMANDS)
def test_busybox_prints_what_qemu_prints(name, node, root):
    command = COMMANDS[name]
    program = FILES[node].resolve()
    expected = subprocess.run(
        [EMULATORS[node], str(program), *command],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    with Machine() as machine:
        run = machine.run(program, on=node, arguments=command, root=root)
    assert run.console == expected.stdout
    assert run.exit_status == expected.returncode


def check_translated(run, node: str) -> None:
    """Nearly everything ran as blocks; what did not touches a page for the first time, or is always
    left."""
    found, core = run.statistics, f"{node}.core0"
    executed = found[f"{core}.instructions_user"]
    prefix = f"host.{core}.native.fallback."
    left = {form[len(prefix) :]: n for form, n in found.items() if form.startswith(prefix)}
    share = found[f"host.{core}.native.unicorn_instructions"] / executed
    print(f"{node}: {executed} instructions, {1 - share:.4%} translated; left: {left}")
    assert executed > ENOUGH
    assert share <= MOST_LEFT, left
    always = [form for form in left if form.startswith(ALWAYS_LEFT[node])]
    assert sum(left.pop(form) for form in always) > 0
    assert sum(left.values()) < executed / 10_000 + 100, left


@needs_busybox
@pytest.mark.parametrize("node", FILES)
@pytest.mark.parametrize("name", COMMANDS)
def test_busybox_is_the_same_on_both_engines(name, node, root):
    runs = {}
    program = FILES[node].resolve()
    for engine in ("unicorn", "native"):
        with Machine(settings={"engine": engine, "engine.hot_after": 1}) as machine:
            runs[engine] = machine.run(program, on=node, arguments=COMMANDS[name], root=root)
    assert runs["native"].digest == runs["unicorn"].digest
    check_translated(runs["native"], node)


@pytest.mark.parametrize("node", EMULATORS)
@pytest.mark.parametrize("guest", ["libc_tour", "threads"])
def test_bundled_libc_programs_print_what_qemu_prints(guest, node):
    if not shutil.which(EMULATORS[node]):
        pytest.skip(f"needs {EMULATORS[node]} (Debian package qemu-user)")
    with Machine(machine="trio") as machine:
        built = machine.build(guest)[node]
        run = machine.run(guest, on=node)
    expected = subprocess.run(
        [EMULATORS[node], str(built)], capture_output=True, text=True, check=False
    )
    assert run.exit_status == expected.returncode
    assert run.console == expected.stdout
