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
LINES = {"short": 6_000, "long": 60_000}  # 0.3 and 3 MB

needs_busybox = pytest.mark.skipif(
    not all(path.exists() for path in FILES.values())
    or not all(shutil.which(EMULATORS[node]) for node in FILES),
    reason="needs qemu-user and Debian's busybox-static of both architectures: make busybox",
)

SYSTEM_CALL = "0xd4000000"  # svc, as the native engine calls it

COMMANDS = {
    "sha256sum": ["sha256sum", "data.txt"],
    "sort": ["sort", "-k2", "-n", "data.txt"],
    "awk": ["awk", '{ s += $2; n[$3]++ } END { print s; print n["red"], n["green"] }', "data.txt"],
    "loop": ["sh", "-c", "i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); done; exit 7"],
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


@needs_busybox
@pytest.mark.parametrize("name", COMMANDS)
def test_busybox_is_the_same_on_both_engines(name, root):
    runs = {}
    for engine in ("unicorn", "native"):
        with Machine(settings={"engine": engine, "engine.hot_after": 1}) as machine:
            program = FILES["arm"].resolve()
            runs[engine] = machine.run(program, on="arm", arguments=COMMANDS[name], root=root)
    assert runs["native"].digest == runs["unicorn"].digest
    found = runs["native"].statistics
    prefix = "host.arm.core0.native.fallback."
    left = {form[len(prefix) :]: n for form, n in found.items() if form.startswith(prefix)}
    assert left.pop(SYSTEM_CALL)
    # What is left touches a page for the first time.
    assert sum(left.values()) < found["arm.core0.instructions_user"] / 1000 + 100, left


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
