"""Does `stramash run` do on a real machine what it says: output, exit status, run folder,
errors?"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conventions.sources import ROOT

PATIENCE_SECONDS = 200
FILES = {"manifest.json", "stats.json", "stats.txt", "artifact.txt", "console.log"}
FILES |= {"console-x86.log", "console-arm.log"}


def stramash(*words, **options):
    """Run a command line in a process of its own."""
    command = [sys.executable, "-m", "launch.cli", *map(str, words)]
    options = {"capture_output": True, "text": True, "timeout": PATIENCE_SECONDS, **options}
    return subprocess.run(command, cwd=ROOT, check=False, **options)


@pytest.fixture
def source(tmp_path):
    """Write a C program."""

    def write(body):
        path = tmp_path / "prog.c"
        headers = "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
        path.write_text(f"{headers}int main(int argc, char **argv) {{ {body} }}\n")
        return path

    return write


@pytest.mark.parametrize("node", ["x86", "arm"])
def test_guest_output_and_nothing_else_goes_to_stdout(node, tmp_path):
    done = stramash("run", "hello", "--on", node, "--out", tmp_path / "run", "--", "--on", "b c")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "sum of squares 22898104320" in lines[0]
    assert lines[1:] == ["argument 1: --on", "argument 2: b c"]
    assert "digest" in done.stderr
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    assert (tmp_path / "run" / f"console-{node}.log").read_text() == done.stdout


def test_a_copy_runs_on_each_node_at_the_same_time(tmp_path):
    done = stramash("run", "hello", "--on", "x86,arm", "--out", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [program["node"] for program in answer["programs"]] == ["x86", "arm"]
    for node, isa in (("x86", "x86-64"), ("arm", "AArch64")):
        assert isa in (tmp_path / "run" / f"console-{node}.log").read_text()
        assert answer["statistics"][f"{node}.core0.instructions_user"] > 10_000


def test_the_exit_status_is_the_guests(source, tmp_path):
    path = source("return argc * 20 + 3;")
    assert stramash("run", path, "--out", tmp_path / "run", "--", "a").returncode == 43


def test_a_signal_is_reported_and_gives_its_status(source, tmp_path):
    path = source("volatile int *nowhere = (int *)16; return *nowhere;")
    done = stramash("run", path, "--on", "arm", "--out", tmp_path / "run")
    assert done.returncode == 128 + signal.SIGSEGV
    assert "main" in done.stderr and "0x10" in done.stderr
    assert "main" in (tmp_path / "run" / "faults.txt").read_text()


def test_stdin_and_root_are_the_guests(source, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_text("from the file\n")
    (tmp_path / "input").write_text("from stdin\n")
    path = source(
        'char s[80]; fgets(s, 80, stdin); fputs(s, stdout); FILE *f = fopen("/file", "r");'
        ' fgets(s, 80, f); fputs(s, stdout); return fopen("/etc/passwd", "r") != NULL;'
    )
    words = ("--root", root, "--stdin", tmp_path / "input", "--out", tmp_path / "run")
    done = stramash("run", path, *words)
    assert (done.returncode, done.stdout) == (0, "from stdin\nfrom the file\n")


def test_a_second_program_runs_beside_the_first(tmp_path):
    words = (
        "--on",
        "x86",
        "--with",
        "pingpong --on arm -- 10",
        "--out",
        tmp_path / "run",
        "--",
        "10",
    )
    done = stramash("run", "pingpong", *words)
    assert done.returncode == 0, done.stderr
    assert "10 round trips" in done.stdout
    values = json.loads((tmp_path / "run" / "stats.json").read_text())
    assert values["x86.ipi.sent"] >= 10 and values["arm.ipi.sent"] >= 10


def test_a_limit_of_virtual_time_ends_the_run(tmp_path):
    words = ("--limit", "1ms", "--out", tmp_path / "run", "--json", "--", "100000000")
    done = stramash("run", "compute", *words)
    answer = json.loads(done.stdout)
    assert done.returncode == 125
    assert answer["statistics"]["machine.virtual_time_ns"] >= 1_000_000
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["ended"]["reason"] == "limit"


def test_the_manifest_repeats_the_run(tmp_path):
    for name in ("one", "two"):
        words = ("--out", tmp_path / name, "--set", "cache.l2.size=512KiB", "--seed", "7")
        assert stramash("run", "hello", *words).returncode == 0
    one, two = (json.loads((tmp_path / n / "manifest.json").read_text()) for n in ("one", "two"))
    assert one["settings"]["cache.x86.l2.size"] == 512 << 10 and one["seed"] == 7
    assert one["digest"] == two["digest"]
    assert one["configuration_digest"] == two["configuration_digest"]


def test_an_interrupt_takes_the_machine_down_quickly(tmp_path):
    command = [sys.executable, "-m", "launch.cli", "run", "compute", "--out", str(tmp_path / "run")]
    process = subprocess.Popen([*command, "--", "100000000"], cwd=ROOT, stderr=subprocess.PIPE)
    try:
        time.sleep(6)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert time.monotonic() - began < 5
    assert err.decode().splitlines()[-1] == "stramash: interrupted"


def test_the_pair_launcher_runs_both(tmp_path):
    command = [sys.executable, "launch/launch.py", "hello", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env=dict(os.environ),
    )
    assert done.returncode == 0, done.stderr
    assert "x86-64" in done.stdout and "AArch64" in done.stdout
