"""Several kernels over one memory, in one process: real cores, engines and kernels, a memory system
that charges one cycle for everything, and turns as a timebase gives them.
"""

from pathlib import Path

import numpy as np

from cosim import broker, settings
from cosim import isa as isas
from cosim.core import Core
from cosim.engine.stream import CORE_STREAM_BYTES, CoreStream
from cosim.kernel.fused.services import SERVICES
from cosim.kernel.kernel import Kernel
from tests.calls.machine import Outbox, Segment, sparse_memory
from tests.engine.fake_port import FakeMemory

LATENCY_PS = 2_000_000
TURNS_MAX = 2_000_000


class Machine:
    """Nodes of the given instruction sets under one fused kernel."""

    def __init__(
        self, names: tuple[str, ...] = ("x86_64", "aarch64"), cores: int = 1, services=SERVICES,
        **changes,
    ) -> None:  # fmt: skip
        rows = []
        for index, name in enumerate(names):
            node = isas.find(name).node_name
            taken = [row["name"] for row in rows]
            rows.append({
                "name": node if node not in taken else f"{node}{index}", "isa": name,
                "cores": cores, "frequency_hz": 10**9, "index": index,
            })  # fmt: skip
        resolved = settings.resolve(changes, rows)
        self.physical = sparse_memory()
        stream = np.zeros(CORE_STREAM_BYTES * len(rows) * cores, np.uint8)
        segments = {"physical": Segment(self.physical), "stream": Segment(stream)}
        configuration = {
            "settings": resolved,
            "nodes": rows,
            "run": {"root": "", "seed": 1, "program_files": {}},
        }
        self.isas = [isas.find(name) for name in names]
        self.outbox = Outbox()
        self.kernels: list[Kernel] = []
        self.owner: dict[int, int] = {}
        self.memories = []
        number = 0
        for row, isa in zip(rows, self.isas, strict=True):
            mine = []
            for core in range(cores):
                memory = FakeMemory(CoreStream(stream, number))
                self.memories.append(memory)
                name = f"{row['name']}.core{core}"
                port = (*memory.port, memory)
                mine.append(Core(number, name, row, resolved, isa, segments, port))
                self.owner[number] = row["index"]
                number += 1
            self.kernels.append(
                Kernel(configuration, row, isa, mine, segments, self.outbox, services)
            )
        self._interrupts: dict[int, list[dict]] = {index: [] for index in self.owner}
        self._states = dict.fromkeys(self.owner, (0, "runnable", -1))
        self._number = self.loaded = 0
        self.turns = 0
        self.interrupts_sent = 0

    def load(self, images: dict[str, Path], node: int = 0, *arguments: str) -> int:
        """Load a multi-ISA program; its pid."""
        self.loaded += 1
        path = images[self.isas[node].name]
        return self.kernels[node].load({
            "name": "program", "path": str(path), "argv": ["program", *arguments],
            "images": {isa: str(image) for isa, image in images.items()},
        })  # fmt: skip

    def run(self, every: int = 0, look=None) -> list[dict]:
        """Turns until nothing is left to do; the programs that ended.

        look: called after each `every` turns.
        """
        for index in self._states:
            self._states[index] = (self._states[index][0], "runnable", -1)
        for _ in range(TURNS_MAX):
            times = self._times()
            if not times or self._is_over():
                break
            self._turn(min(times, key=lambda index: (times[index], index)), times)
            if every and self.turns % every == 0:
                look()
        return [row for kernel in self.kernels for row in kernel.exited]

    def _is_over(self) -> bool:
        """As the timebase sees it: programs ended, and only kernels' own timers are left."""
        ended = sum(len(kernel.exited) for kernel in self.kernels)
        runnable = any(state == "runnable" for _, state, _ in self._states.values())
        return ended == self.loaded and not runnable and not any(self._interrupts.values())

    def _times(self) -> dict[int, int]:
        times = {}
        for index, (now_ps, state, wake_ps) in self._states.items():
            events = [row["at_ps"] for row in self._interrupts[index]]
            if state == "runnable":
                times[index] = now_ps
            elif events or (state == "waiting" and wake_ps >= 0):
                events += [wake_ps] if wake_ps >= 0 else []
                times[index] = max(now_ps, min(events))
        return times

    def _turn(self, index: int, times: dict[int, int]) -> None:
        self.turns += 1
        others = [at for other, at in times.items() if other != index]
        until_ps = max(times[index], min(others)) + LATENCY_PS if others else -1
        # Interrupts on their way end the turn at their time.
        pending = sorted(self._interrupts[index], key=broker.arrival)
        due = [row for row in pending if row["at_ps"] <= times[index]]
        later = pending[len(due) :]
        self._interrupts[index] = later
        if later:
            at_ps = later[0]["at_ps"]
            until_ps = at_ps if until_ps < 0 else min(until_ps, at_ps)
        kernel = self.kernels[self.owner[index]]
        core = next(core for core in kernel.cores if core.index == index)
        if due:
            core_cycles = -(-due[0]["at_ps"] // 1000)
            core.idle_until(core_cycles)
        done = kernel.turn(index, until_ps, True, due, lambda: None)
        self._states[index] = (done["now_ps"], done["state"], done["wake_ps"])
        for row in done["sends"]:
            self._number += 1
            self.interrupts_sent += 1
            target = row["target_core"]
            said = kernel.own_isa.interrupts.decode_send(row["native"])
            assert said == (target, row["function"])
            self._interrupts[target].append({
                "id": self._number, "function": row["function"], "native": 0,
                "source_core": index, "sent_ps": row["sent_ps"],
                "at_ps": row["sent_ps"] + LATENCY_PS, "payload": row["payload"],
                "acknowledge": row["acknowledge"],
            })  # fmt: skip

    def forget_output(self) -> None:
        """Before the next program."""
        self.loaded = 0
        self.outbox.output.clear()
        for kernel in self.kernels:
            kernel.exited.clear()

    @property
    def output(self) -> str:
        return self.outbox.output.decode(errors="replace")
