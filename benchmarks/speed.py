"""How fast is a whole run?  Simulated instructions per second with the full hierarchy on, as JSON.

Each oracle program is compiled again with its work repeated to 600 million instructions, and the
same ELF then runs here, under plain qemu-user and (x86-64) under valgrind's cachegrind, one after
the other on the same host.  Times of the other two include their start, which is below a tenth of a
second each; ours is the time of the run without boot, which is given apart as the time of a whole
`stramash run` of a trivial program, warm and with empty caches.

    python -m benchmarks.speed [--instructions 600e6] [--only chase.x86_64] [--skip-cold]
"""

import argparse
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cosim.isa
from launch import Machine
from launch.build import compile_source

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "tests" / "oracle" / "programs"
EXPECTED = json.loads((PROGRAMS / "expected.json").read_text())
NODES = {"x86_64": "x86", "aarch64": "arm"}
FLAGS = ("-nostdlib", "-ffreestanding", "-fno-stack-protector", f"-I{PROGRAMS}")
WORK = "static u64 work(void) {"
ONCE = "__attribute__((noinline)) static u64 work_once(void) {"
REPEAT = """
static u64 work(void) {
  u64 result = 0;
  for (volatile u32 i = 0; i < %d; i++) result += work_once();
  return result;
}
"""


def repeated(name: str, instructions: float, folder: Path) -> Path:
    """The ELF of an oracle program whose work is done often enough."""
    program, _, isa = name.partition(".")
    text = (PROGRAMS / f"{program}.c").read_text()
    assert WORK in text, f"{program}.c: no {WORK!r}"
    times = math.ceil(instructions / EXPECTED[name]["instructions"])
    source = folder / f"{program}.c"
    source.write_text(text.replace(WORK, ONCE) + REPEAT % times)
    return compile_source(source, isa, FLAGS)


def timed(command: list[str]) -> dict[str, float]:
    """Run a command; its exit status and host seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return {"exit_status": done.returncode, "seconds": time.perf_counter() - began}


def others(isa: str, elf: Path) -> dict[str, dict[str, float]]:
    """The same ELF under the tools that are installed."""
    found = {}
    emulator = shutil.which(cosim.isa.find(isa).linker.QEMU)
    if emulator:
        found["qemu"] = timed([emulator, str(elf)])
    valgrind = shutil.which("valgrind")
    if valgrind and isa == platform.machine():
        options = ["--tool=cachegrind", "--cache-sim=yes", "--cachegrind-out-file=/dev/null"]
        found["cachegrind"] = timed([valgrind, *options, str(elf)])
    return found


def measure(name: str, instructions: float, folder: Path) -> dict[str, object]:
    """One program: here and elsewhere."""
    isa = name.partition(".")[2]
    elf = repeated(name, instructions, folder)
    with Machine(out=folder / f"run-{name}") as machine:
        run = machine.run(elf, on=NODES[isa])
    executed = run.statistics[f"{NODES[isa]}.core0.instructions_user"]
    tools = {
        "stramash": {"exit_status": run.exit_status, "seconds": run.statistics["host.seconds"]}
    }
    tools |= others(isa, elf)
    for tool in tools.values():
        assert tool["exit_status"] == run.exit_status, f"{name}: exit statuses differ: {tools}"
        tool["mips"] = executed / tool["seconds"] / 1e6
    row: dict[str, object] = {"instructions": executed, **tools}
    for other in ("qemu", "cachegrind"):
        if other in tools:
            row[f"ratio_to_{other}"] = tools["stramash"]["mips"] / tools[other]["mips"]
    return row


def whole_run(environment: dict[str, str] | None = None) -> float:
    """Host seconds of `stramash run hello`, from the command line."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "launch.cli",
            "run",
            "hello",
            "--quiet",
            "--out",
            f"{folder}/run",
        ]
        began = time.perf_counter()
        subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - began


def cold_run() -> float:
    """The same with nothing compiled: no numba code, no libc, no guest."""
    with tempfile.TemporaryDirectory() as folder:
        return whole_run({"STRAMASH_CACHE": folder})


def geometric_mean(values: list[float]) -> float:
    """Of positive numbers."""
    return math.exp(sum(map(math.log, values)) / len(values))


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--instructions", type=float, default=600e6, help="least per program")
    parser.add_argument("--only", default="", help="one program, for example chase.x86_64")
    parser.add_argument(
        "--skip-cold", action="store_true", help="do not time a run with empty caches"
    )
    given = parser.parse_args()
    whole_run()
    result: dict[str, object] = {"warm_run_seconds": whole_run()}
    if not given.skip_cold:
        result["cold_run_seconds"] = cold_run()
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in [given.only] if given.only else sorted(EXPECTED):
            rows[name] = measure(name, given.instructions, Path(folder))
            print(f"{name}: {rows[name]}", file=sys.stderr)
    result["programs"] = rows
    result["mips_geometric_mean"] = geometric_mean(
        [row["stramash"]["mips"] for row in rows.values()]
    )
    ratios = [row["ratio_to_cachegrind"] for row in rows.values() if "ratio_to_cachegrind" in row]
    if ratios:
        result["ratio_to_cachegrind_geometric_mean"] = geometric_mean(ratios)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
