"""Can somebody add an instruction set without touching this repository?

`package/isa_rv48` becomes an installed distribution in a folder on PYTHONPATH; its entry point is
all that the simulator knows of it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cosim.isa
from tests.conventions.sources import ROOT

PACKAGE = Path(__file__).parent / "package" / "isa_rv48"
METADATA = "Metadata-Version: 2.1\nName: isa-rv48\nVersion: 1.0\n"
ENTRY_POINTS = f"[{cosim.isa.GROUP}]\nrv48 = isa_rv48:ISA\n"
MACHINE = """
[[node]]
name = "x86"
isa = "x86_64"

[[node]]
name = "small"
isa = "rv48"

[[node]]
name = "riscv"
isa = "riscv64"
"""


@pytest.fixture
def installed(tmp_path):
    """Runs Python with the package installed; the output."""
    site = tmp_path / "site"
    shutil.copytree(PACKAGE, site / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    information = site / "isa_rv48-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(METADATA)
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "machine.toml").write_text(MACHINE)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))}

    def run(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250
        )

    return run


def statistics(tmp_path) -> dict[str, int]:
    rows = (line.split() for line in (tmp_path / "out" / "stats.txt").read_text().splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def test_its_nodes_run_programs_at_its_own_costs(installed, tmp_path):
    machine = ("--machine", "machine.toml", "--out", "out", "--on", "small")
    every = ("--set", "engine.hot_after=1")
    done = installed("-m", "launch.cli", "run", "hello", *machine, *every)
    assert done.returncode == 0, done.stderr
    assert re.match(r"hello from node 1, RISC-V", done.stdout), done.stdout
    found = statistics(tmp_path)
    assert found["small.core0.instructions_user"] > 1000
    assert found["riscv.core0.instructions_user"] == 0
    assert found["host.small.core0.native.instructions_translated"] > 100  # by its base's rows
    listed = installed("-m", "launch.cli", "config", "--machine", "machine.toml").stdout
    assert re.search(r"cost\.small\.l2\s.*\b8\b", listed), listed
    assert re.search(r"cost\.riscv\.l2\s.*\b13\b", listed), listed


@pytest.mark.parametrize("design", ["fused", "multi-shm"])
def test_threads_migrate_between_it_and_the_others(installed, tmp_path, design):
    machine = ("--machine", "machine.toml", "--out", "out", "--os", design, "--on", "small")
    done = installed("-m", "launch.cli", "run", "torture", *machine, "--", "3", "3", "12")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "PASS"
    found = statistics(tmp_path)
    for node in ("x86", "small", "riscv"):
        assert found[f"{node}.migrations.received"] > 0


def test_its_instructions_are_fuzzed_as_its_bases(installed):
    command = ("-m", "launch.cli", "fuzz", "--isa", "rv48", "--sequences", "3", "--json")
    done = installed(*command)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["isa"] == "rv48" and answer["compared"] > answer["instructions"] > 20


def test_a_name_tells_its_nodes(installed):
    code = "from launch.system import of_names; print(*of_names(['small2', 'x86b']).isas)"
    done = installed("-c", code)
    assert done.stdout.split() == ["rv48", "x86_64"], done.stderr


def test_without_the_package_it_is_not_known(tmp_path):
    (tmp_path / "machine.toml").write_text(MACHINE)
    command = [sys.executable, "-m", "launch.cli", "run", "hello", "--machine", "machine.toml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 125
    assert "unknown isa 'rv48'" in done.stderr and len(done.stderr.splitlines()) == 1
