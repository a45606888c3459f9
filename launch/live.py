"""A machine that runs, and what can be done to it between two turns: nodes join and leave.

```text
 attach    a process is started and says hello; the machine stands still; the best offer of memory
           is taken (or a share that was set aside); memory system, timebase and kernels get to know
           the node; it boots, and joins the turns with its clock at this time
 detach    no thread goes there any more
 leave     once the last one is back: what the node has of others' is given up, its counts are
           collected, and its process ends
```
Everything that can be refused is, before anything has changed.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import cosim.isa
from cosim import physical_map
from cosim.errors import InputError, InvariantError, suggest
from cosim.kernel.distributed import rings
from cosim.kernel.layout import NODES_MAX
from cosim.settings import Value
from launch.events import Attach, Event, Leave
from launch.instantiation import Program
from launch.simulation import PS_PER_NS, Simulation
from launch.supervisor import Supervisor
from launch.system import Node
from memsys import growth, specification

LOOK_PS = 20_000_000  # 20 us, the time of some messages: what a node waits for when it could leave


class Live:
    """See the module.

    simulation: with every node there ever was.  rows: nodes as the processes know them.  done: rows
    of what happened, for the manifest.  expects(kind, name): is such an event still to come?
    stopped: the run was ended by an event.
    """

    def __init__(
        self, supervisor: Supervisor, simulation: Simulation, programs: Sequence[Program] = ()
    ) -> None:
        self.supervisor = supervisor
        self.simulation = simulation
        self.rows: list[dict[str, Any]] = [dict(row) for row in simulation.nodes()]
        self.done: list[dict[str, Any]] = []
        self.expects: Callable[[str, str], bool] = lambda _kind, _name: False
        self.stopped = False
        self.now_ps = 0
        self.look_ps = -1  # when to look again whether nodes that were told to leave can; -1: never
        self.disturbed = False  # something was done that nobody had planned
        self.programs = programs
        self.pids: dict[int, int] = {}  # by number of the program
        self.changes: dict[str, str] = {}  # of settings, since the start

    def perform(self, event: Event, now_ps: int) -> dict[str, Any]:
        """Have an event happen now, at `now_ps`; its row."""
        self.now_ps = now_ps
        row = event.row(now_ps, event.perform(self))
        self.done.append(row)
        return row

    def present(self) -> list[dict[str, Any]]:
        """Rows of the nodes that are there."""
        return [row for row in self.rows if "left_ps" not in row]

    # --- programs ---

    def load(self, number: int) -> None:
        """Load a program of the run on its node, before the start or now."""
        program = self.programs[number]
        self.row(program.node)
        row = program.row() | ({"at_ps": self.now_ps} if self.now_ps else {})
        self.pids[number] = self.supervisor.load(program.node, row)

    def process(self, number: int) -> tuple[str, int]:
        """(node, pid) where a program was started.  InputError before that."""
        program = self.programs[number]
        if number not in self.pids:
            raise InputError(f"{program.name}: has not started at {self.now_ps // PS_PER_NS} ns")
        return program.node, self.pids[number]

    def number_of(self, home: int, pid: int) -> int:
        """The program that is this process of the node with that index; -1 when none is."""
        node = self.rows[home]["name"]
        for number, own in self.pids.items():
            if own == pid and self.programs[number].node == node:
                return number
        return -1

    # --- settings ---

    @property
    def settings(self) -> dict[str, Value]:
        """Every setting as it is now."""
        if not self.changes:
            return self.simulation.settings
        overrides = {**self.simulation.overrides, **self.changes}
        return replace(self.simulation, overrides=overrides).settings

    def change(self, setting: str, value: str) -> None:
        """A setting has another value from now on."""
        before = dict(self.changes)
        self.changes[setting] = value
        try:
            _ = self.settings
        except InputError:
            self.changes = before
            raise
        self._reshape()

    def row(self, name: str) -> dict[str, Any]:
        """The row of a node that is there.  InputError when there is none."""
        names = [row["name"] for row in self.present()]
        if name not in names:
            raise InputError(
                f"no node is called {name!r}"
                f"{suggest(name, names) or '; nodes are ' + ', '.join(names)}"
            )
        return next(row for row in self.rows if row["name"] == name)

    def first_core(self, name: str) -> int:
        """Machine-wide number of the first core of a node."""
        self.row(name)
        before = itertools.takewhile(lambda row: row["name"] != name, self.rows)
        return sum(row["cores"] for row in before)

    # --- joining ---

    def node_for(self, event: Attach) -> Node:
        """The node that would join.  InputError when it cannot be part of this machine."""
        name = event.name or self._free_name(event.isa)
        node = Node(name, event.isa, event.cores)
        self._grown(node)
        return node

    def _free_name(self, isa: str) -> str:
        name = cosim.isa.find(isa).node_name
        taken = {row["name"] for row in self.rows}
        return name if name not in taken else f"{name}{len(self.rows)}"

    def _grown(self, node: Node) -> Simulation:
        """The simulation with one node more, all limits checked that are known without asking."""
        grown = replace(self.simulation, system=self.simulation.system.with_node(node))
        if grown.design.migrates:
            if len(self.rows) >= NODES_MAX:
                raise InputError(f"attach: {len(self.rows)} nodes, at most {NODES_MAX} in all")
            area = physical_map.build(self.simulation.settings, self.rows).message_area
            joined = sum("memory" in row for row in self.rows)
            rings.place(area.start, area.end, len(self.rows) - joined, joined + 1)
        settings = grown.settings
        before = specification.build(self.simulation.settings, self.rows)
        memory = {"memory": [physical_map.share(settings, 0) or (0, 0)]}
        after = specification.build(settings, [*self.rows, {**grown.nodes()[-1], **memory}])
        growth.check(before, after, self.supervisor.segments["hierarchy"].size_bytes)
        return grown

    def invite(self, event: Attach) -> Attach:
        """Start the process of a node while the machine still runs; the event, with its name."""
        node = self.node_for(event)
        self.supervisor.invite(node.name)
        return replace(event, name=node.name)

    def attach(self, event: Attach) -> Mapping[str, Any]:
        """A node joins now."""
        node = self.node_for(event)
        if not self.supervisor.is_invited(node.name):
            self.supervisor.invite(node.name)
        try:
            grown = self._grown(node)
            memory = self._memory_for(len(self.rows))
        except InputError:
            self.supervisor.dismiss(node.name)
            raise
        row = {**grown.nodes()[-1], "memory": [list(memory)], "joined_ps": self.now_ps}
        self.simulation = grown
        self.rows.append(row)
        self._reshape(exclude=node.name)
        self.supervisor.admit(node.name)
        return {"name": node.name, "index": row["index"], "memory": row["memory"]}

    def _memory_for(self, index: int) -> tuple[int, int]:
        """[start, end) of the memory of the node with this index, taken from others."""
        names = [row["name"] for row in self.present()]
        offers = self.supervisor.ask(names, {"kind": "offer"})
        if all(offer["memory_bytes"] < 0 for offer in offers.values()):
            number = sum("memory" in row for row in self.rows)
            share = physical_map.share(self.simulation.settings, number)
            if share is None:
                raise InputError(
                    f"attach: no memory is left for node {index}: {number} shares were set aside; "
                    "start the machine with a larger memory.attach_shares"
                )
            return share
        able = [name for name in names if offers[name]["memory_bytes"] > 0]
        if not able:
            raise InputError(
                f"attach: no memory is left for node {index}: no kernel can empty a block; start "
                "the machine with a larger memory.size or a smaller memory.block"
            )
        # Exact fractions: used / total of one against the other's.
        giver = able[0]
        for name in able[1:]:
            one, best = offers[name], offers[giver]
            if one["used"] * best["total"] < best["used"] * one["total"]:
                giver = name
        given = self.supervisor.ask([giver], {"kind": "donate", "node": index})[giver]
        return given["start"], given["end"]

    def _reshape(self, exclude: str = "") -> None:
        """Tell every process what the machine is now."""
        settings = self.settings
        self.supervisor.configuration.update(settings=settings, nodes=self.rows)
        machine = {"settings": settings, "nodes": self.rows}
        message = {"kind": "reshape", "machine": machine}
        names = [row["name"] for row in self.present() if row["name"] != exclude]
        for name in ("memsys", "timebase", *names):  # the hierarchy first: kernels look at it
            self.supervisor.ask([name], message)

    # --- leaving ---

    def detach(self, name: str) -> Mapping[str, Any]:
        """No thread goes to the node any more, and it leaves when it can."""
        row = self.row(name)
        if "memory" not in row:
            raise InputError(
                f"detach: {name!r} was there from the start, and others boot in its memory; only "
                "nodes that joined can leave"
            )
        if "leaving" in row:
            raise InputError(f"detach: {name!r} leaves already, when its last thread is back")
        row["leaving"] = self.now_ps
        self._reshape()
        return {}

    def let_go(self, now_ps: int) -> None:
        """The nodes that were told to leave, and can, do so; not those whose time is known.

        How often that is tried follows from virtual time alone: soon at first, then after an eighth
        of the time that has passed, so that a node which is kept for a second costs 90 looks.
        """
        self.look_ps = -1
        for row in self.present():
            if "leaving" in row and not self.expects(Leave.KIND, row["name"]):
                if not self.keeps(row["name"]):
                    self.perform(Leave(at_ps=now_ps, name=row["name"]), now_ps)
                    continue
                later_ps = now_ps + max(LOOK_PS, (now_ps - row["leaving"]) // 8)
                self.look_ps = later_ps if self.look_ps < 0 else min(self.look_ps, later_ps)

    def keeps(self, name: str) -> str:
        """What keeps a node from leaving now, '' when nothing does; then it has given up all."""
        for process in ("timebase", name):
            message = {"kind": "vacate", "node": self.row(name)["index"]}
            answer = self.supervisor.ask([process], message)[process]
            if answer["reason"]:
                return answer["reason"]
        self.row(name)["legacy"] = answer["legacy"]
        return ""

    def leave(self, name: str) -> Mapping[str, Any]:
        """The node is gone."""
        row = self.row(name)
        if "legacy" not in row and (reason := self.keeps(name)):
            raise InvariantError(f"node {name!r} cannot leave at {self.now_ps} ps: {reason}")
        row["left_ps"] = self.now_ps
        self._reshape()
        del row["legacy"]
        self.supervisor.release(name)
        return {}

    # --- the end ---

    def stop(self) -> None:
        """The run ends now."""
        self.stopped = True
        self.supervisor.stop_here(self.now_ps)
