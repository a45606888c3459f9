"""One node with real cores and engine, a kernel, and a memory system that charges one cycle for
everything.
"""

import atexit
import functools
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from cosim import isa as isas
from cosim import settings
from cosim.core import Core
from cosim.engine.stream import CORE_STREAM_BYTES, CoreStream
from cosim.kernel.kernel import Kernel
from tests.engine.fake_port import FakeMemory

MEMORY_BYTES = 8 << 30
TURNS_MAX = 100_000
ISAS = ("x86_64", "aarch64", "riscv64")


class Segment:
    """Stands for cosim.shared.Segment: an array."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array


def sparse_memory() -> np.ndarray:
    """All of a machine's memory, of which only what is touched exists."""
    descriptor = os.memfd_create("memory")
    os.ftruncate(descriptor, MEMORY_BYTES)
    backing = mmap.mmap(descriptor, MEMORY_BYTES)
    os.close(descriptor)
    return np.frombuffer(backing, np.uint8)


class Outbox:
    """Keeps what leaves the node."""

    def __init__(self) -> None:
        self.devices: list[dict] = []
        self.output = bytearray()

    def device(self, message: dict) -> None:
        self.devices.append(message)

    def console(self, data: bytes) -> None:
        self.output += data


class Machine:
    """A node called `test` with `cores` cores; `run` gives turns until every program ended."""

    def __init__(self, isa: str = "x86_64", cores: int = 1, root: str = "", **changes) -> None:
        self.isa = isas.find(isa)
        index = changes.pop("index", 0)
        node = {
            "name": self.isa.node_name,
            "isa": isa,
            "cores": cores,
            "frequency_hz": 10**9,
            "index": index,
        }
        other = {**node, "name": "other", "cores": 1, "index": 1 - index}
        nodes = [node, other] if index == 0 else [other, node]
        resolved = settings.resolve(changes, nodes)
        physical = sparse_memory()
        stream = np.zeros(CORE_STREAM_BYTES * 8, np.uint8)
        segments = {"physical": Segment(physical), "stream": Segment(stream)}
        first = 0 if index == 0 else 1
        self.memories = [FakeMemory(CoreStream(stream, first + i)) for i in range(cores)]
        self.cores = [
            Core(
                first + i,
                f"test.core{i}",
                node,
                resolved,
                self.isa,
                segments,
                (*memory.port, memory),
            )
            for i, memory in enumerate(self.memories)
        ]
        self.outbox = Outbox()
        configuration = {"settings": resolved, "nodes": nodes, "run": {"root": root, "seed": 1}}
        self.kernel = Kernel(configuration, node, self.isa, self.cores, segments, self.outbox)
        self.latency_ps = 2_000_000
        self._interrupts: dict[int, list[dict]] = {core.index: [] for core in self.cores}
        self._states = {core.index: (0, "runnable", -1) for core in self.cores}
        self._number = 0

    def load(self, path: Path, *arguments: str, **more) -> int:
        """Load a program; its pid."""
        name = path.name
        return self.kernel.load(
            {"name": name, "path": str(path), "argv": [name, *arguments], **more}
        )

    def run(self) -> list[dict]:
        """Turns, as a timebase gives them, until nothing is left to do; the programs that ended."""
        for index in self._states:
            self._states[index] = (self._states[index][0], "runnable", -1)
        for _ in range(TURNS_MAX):
            index = self._next()
            if index is None:
                break
            self._turn(index)
        return self.kernel.exited

    def _times(self) -> dict[int, int]:
        """When each core that can do anything does something next."""
        times = {}
        for index, (now_ps, state, wake_ps) in self._states.items():
            waiting = [row["at_ps"] for row in self._interrupts[index]]
            if state == "runnable":
                times[index] = now_ps
            elif wake_ps >= 0 or waiting:
                times[index] = min([*waiting, *([wake_ps] if wake_ps >= 0 else [])])
        return times

    def _next(self) -> int | None:
        """The core whose next action is the earliest."""
        times = self._times()
        return min(times, key=lambda index: (times[index], index)) if times else None

    def _turn(self, index: int) -> None:
        now_ps = self._states[index][0]
        others = [at_ps for other, at_ps in self._times().items() if other != index]
        until_ps = max(now_ps, min(others)) + self.latency_ps if others else -1
        rows, self._interrupts[index] = self._interrupts[index], []
        done = self.kernel.turn(index, until_ps, True, rows, lambda: None)
        self._states[index] = (done["now_ps"], done["state"], done["wake_ps"])
        for row in done["sends"]:
            self._number += 1
            target, function = self.isa.interrupts.decode_send(row["native"])
            assert (target, function) == (row["target_core"], row["function"])
            if target in self._interrupts:
                self._interrupts[target].append({
                    "id": self._number, "function": function, "native": 0, "source_core": index,
                    "sent_ps": row["sent_ps"], "at_ps": row["sent_ps"] + self.latency_ps,
                    "payload": row["payload"], "acknowledge": row["acknowledge"],
                })  # fmt: skip

    @property
    def output(self) -> str:
        return self.outbox.output.decode(errors="replace")


@functools.cache
def compiler_cache() -> Path:
    folder = tempfile.mkdtemp(prefix="stramash-programs-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@functools.cache
def compiled(source: str, isa: str, *flags: str) -> Path:
    """A static musl program from C source text."""
    number = len(list(compiler_cache().iterdir()))
    text = compiler_cache() / f"program{number}.c"
    text.write_text(source)
    target = compiler_cache() / f"program{number}.{isa}"
    command = [
        sys.executable, "-m", "ziglang", "cc", "-target", isas.find(isa).linker.TARGET,
        "-static", "-O2", *flags,
        "-o", str(target), str(text),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return target
