"""A node's process: one mini-kernel with its cores, taking turns.

It attaches the shared segments, builds a core per engine and a kernel over them, takes turns
(cosim/turn_taker.py), and between them does what the supervisor says: load a program, join in a
machine that changes, collect the counts.
"""

import importlib
from collections.abc import Callable
from typing import Any

import cosim.isa
from cosim.core import Core
from cosim.core_time import core_nodes
from cosim.kernel.kernel import Kernel, load_services
from cosim.process import Shell
from cosim.remote import files, memory
from cosim.turn_taker import Outbox, TurnTaker
from cosim.units import cycles_of_ps

# Found by name: this package does not import the memory system.
MEMORY_PORT = "memsys.port:attach"
MEMORY_COUNTERS = "memsys.snapshot:Snapshots"
MEMORY_COUNTERS_ALSO = "memsys.variants:snapshots"


def _find(place: str) -> Any:
    """What is at "module:NAME"."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


class Node:
    """The node: what the supervisor says on one side, kernel and cores on the other."""

    def __init__(self, shell: Shell) -> None:
        configuration = shell.configuration
        self.shell = shell
        self._scratch = str(configuration["run"].get("scratch", ""))
        configuration["run"] = files.unpack(configuration["run"], self._scratch)
        self.memory = memory.attach(shell.name, configuration, shell.limits.answer_s)
        self.segments = self.memory.segments
        self.description = {
            **next(node for node in configuration["nodes"] if node["name"] == shell.name),
            "worst_reference_cycles": configuration["worst_reference_cycles"],
            "inline": self.memory.remote,
        }
        self.indices = [
            i for i, name in core_nodes(configuration["nodes"]).items() if name == shell.name
        ]
        with self.memory.current():
            self._build(configuration)
        joined_ps = self.description.get("joined_ps", 0)
        with self.memory.current():
            for core in self.cores:
                core.idle_until(cycles_of_ps(joined_ps, core.frequency_hz))
        self.taker = TurnTaker(shell, self.memory, self.kernel, self.cores, joined_ps)
        self.outbox.taker = self.taker
        for verb, answer in (
            ("load", self._load),
            ("offer", self._offer),
            ("donate", self._donate),
            ("redirect", self._redirect),
            ("reshape", self._reshape),
            ("vacate", self._vacate),
            ("collect", self._collect),
        ):
            shell.answer(verb, self._in_memory(answer))
        shell.answer("dump", self._dump)
        shell.statistics = self.statistics
        shell.clock = self._clock

    def _build(self, configuration: dict) -> None:
        """The cores and the kernel over them."""
        shell = self.shell
        isa = cosim.isa.find(self.description["isa"])
        shared = self.segments["hierarchy"].array, self.segments["stream"].array
        also = [self.segments["also"].array] if "also" in self.segments else []
        port = _find(MEMORY_PORT)(*shared, *also)
        counters, also_counters = self._counters(), self._counters_also()
        seen = (counters, *also_counters)
        classes = min(each.line_classes(self.indices) for each in seen)
        description = {**self.description, "line_classes": classes}
        self.cores = [
            Core(
                index,
                f"{shell.name}.core{number}",
                description,
                configuration["settings"],
                isa,
                self.segments,
                port,
            )
            for number, index in enumerate(self.indices)
        ]
        self.outbox = Outbox()
        self.kernel = Kernel(
            configuration, self.description, isa, self.cores, self.segments, self.outbox,
            load_services(str(configuration.get("run", {}).get("services", ""))), counters,
            also_counters,
        )  # fmt: skip

    def _in_memory(self, verb: Callable[[dict], dict]) -> Callable[[dict], dict]:
        """A control verb that works on the machine's memory between turns."""

        def served(message: dict) -> dict:
            with self.memory.current():
                return verb(message)

        return served

    def serve(self) -> None:
        """The whole life: join, then serve turns and the control socket."""
        self.taker.join()
        self.shell.ready()
        self.taker.serve()

    def statistics(self) -> dict[str, int]:
        """The kernel's counters, and where this process's host time went, in us."""
        relayed = sum(found.seconds for found in self.taker.relayed.values())
        engine = sum(core.engine_seconds for core in self.cores)
        waiting = self.taker.waiting_seconds()
        python = max(0.0, self.taker.seconds - engine - waiting)
        engine += relayed
        parts = {"engine": engine, "waiting": waiting, "kernel": python}
        times = {f"host.{self.shell.name}.{part}_us": int(s * 1e6) for part, s in parts.items()}
        return {**self.kernel.statistics(), **times}

    def _clock(self) -> tuple[int, int, int]:
        """(virtual time in ps, instructions, cycles) for displays; settling changes nothing that is
        simulated.
        """
        clocks_ps = self.taker.clocks_ps()
        instructions = sum(
            int(core.engine.instructions) + core.instructions_kernel for core in self.cores
        )
        frequency_hz = self.description["frequency_hz"]
        cycles = sum(cycles_of_ps(now_ps, frequency_hz) for now_ps in clocks_ps)
        return max(clocks_ps), instructions, cycles

    def _load(self, message: dict) -> dict:
        program = files.unpack(message["program"], self._scratch)
        self.shell.doing = f"loading {program.get('name', '')}"
        pid = self.kernel.load(program)
        core = self.kernel.tasks.by_tid[pid].lane.core
        core.idle_until(cycles_of_ps(program.get("at_ps", 0), core.frequency_hz))
        return {"program": program.get("name", ""), "pid": pid, "core": core.index}

    # --- nodes join and leave, while the machine stands still ---

    def _counters(self) -> Any:
        configuration = self.shell.configuration
        shared = self.segments["hierarchy"].array, self.segments["stream"].array
        return _find(MEMORY_COUNTERS)(configuration["settings"], configuration["nodes"], *shared)

    def _counters_also(self) -> Any:
        """Counters of the memory systems that get the same references, in their order."""
        if "also" not in self.segments:
            return ()
        configuration = self.shell.configuration
        settings = [variant["settings"] for variant in configuration["also"]]
        shared = self.segments["also"].array, self.segments["stream"].array
        return _find(MEMORY_COUNTERS_ALSO)(settings, configuration["nodes"], *shared)

    def _offer(self, _message: dict) -> dict:
        with self.kernel.memory.uncharged():
            offered = self.kernel.services.offer(self.kernel)
        return dict(zip(("memory_bytes", "used", "total"), offered, strict=True))

    def _donate(self, message: dict) -> dict:
        with self.kernel.memory.uncharged():
            start, end = self.kernel.services.donate(self.kernel, message["node"])
        return {"start": start, "end": end}

    def _reshape(self, message: dict) -> dict:
        configuration = self.shell.configuration
        configuration["settings"] = message["machine"]["settings"]
        configuration["nodes"][:] = message["machine"]["nodes"]
        self.kernel.reshape(configuration["settings"], self._counters())
        return {}

    def _redirect(self, message: dict) -> dict:
        self.kernel.migrations.redirect(message["pid"], message["node"])
        return {}

    def _vacate(self, _message: dict) -> dict:
        with self.kernel.memory.uncharged():
            return self.kernel.services.vacate(self.kernel)

    def _collect(self, _message: dict) -> dict:
        reports = self.kernel.dump()
        if (transcript := self.kernel.transcript()) is not None:
            reports["transcript"] = transcript
        turns = self.taker.times.statistics(f"host.{self.shell.name}.turn_ns")
        return {
            "statistics": {**self.statistics(), **turns},
            "registers": self.kernel.register_words(),
            "reports": reports,
        }

    def _dump(self, message: dict) -> dict:
        look = self._look if self.taker.turn else self._in_memory(self._look)
        return look(message)

    def _look(self, _message: dict) -> dict:
        return {
            "kernel": self.kernel.dump(),
            "turn": {k: v for k, v in self.taker.turn.items() if k != "interrupts"},
        }


def main(shell: Shell) -> None:
    """Role entry."""
    Node(shell).serve()
