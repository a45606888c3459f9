"""Random machines without sockets, their exact reference, and the same machine under the time base.

A core is a script of steps; a step takes time and may then send an interrupt, wait for one (with or
without a timer) or end.  Interrupts are handled at step boundaries.  Cores meet only through
interrupts, so what every core sees, and when, must not depend on how the time base cuts time into
turns.
"""

import random
from dataclasses import dataclass, field
from typing import NamedTuple

import isa_arm.interrupts
import isa_x86.interrupts
from cosim.broker import Broker
from cosim.core_time import End
from cosim.timebase import TimeBase

TABLES = (isa_x86.interrupts, isa_arm.interrupts)
HANDLING_PS = 300  # what taking an interrupt costs, so that handling moves clocks too


class Step(NamedTuple):
    """cost_ps, then: send to core `target`, or wait (timer_ps after now, -1 none), or neither."""

    cost_ps: int
    target: int = -1
    acknowledge: bool = False
    wait: bool = False
    timer_ps: int = -1


@dataclass
class Scenario:
    """scripts of each core; node of each core; latency per pair of nodes; quantum."""

    scripts: list[list[Step]]
    nodes: dict[int, str]
    latency_ps: dict[tuple[str, str], int]
    quantum_ps: int


def random_scenario(seed: int) -> Scenario:
    """A scenario of 1-5 cores on 1-3 nodes."""
    chance = random.Random(seed)
    count = chance.randrange(1, 6)
    names = [f"n{i}" for i in range(chance.randrange(1, 4))]
    nodes = {core: names[core % len(names)] for core in range(count)}
    latency = {(a, b): chance.choice((1000, 2000, 5000, 12345)) for a in names for b in names}
    scripts = []
    for _ in range(count):
        script = []
        for _ in range(chance.randrange(0, 25)):
            cost = chance.choice((1, 7, 100, 900, 2000, 30_000))
            kind = chance.randrange(5)
            if kind == 0:
                script.append(
                    Step(cost, target=chance.randrange(count), acknowledge=chance.random() < 0.4)
                )
            elif kind == 1:
                script.append(
                    Step(cost, wait=True, timer_ps=chance.choice((-1, 0, 500, 4000, 100_000)))
                )
            else:
                script.append(Step(cost))
        scripts.append(script)
    smallest = min(latency.values())
    return Scenario(scripts, nodes, latency, chance.choice((smallest, smallest // 2, 1)))


@dataclass
class Script:
    """A core that executes its script; `log` is everything it saw: (time, event, detail)."""

    index: int
    steps: list[Step]
    now_ps: int = 0
    position: int = 0
    waiting: bool = False
    wake_ps: int = -1
    log: list[tuple[int, str, int]] = field(default_factory=list)

    @property
    def state(self) -> str:
        """As told to the time base."""
        if self.waiting:
            return "waiting"
        return "runnable" if self.position < len(self.steps) else "off"

    def handle(self, at_ps: int, source: int, function: int) -> None:
        """Take an interrupt that is due."""
        self.now_ps = max(self.now_ps, at_ps) + HANDLING_PS
        self.waiting = False
        self.log.append((self.now_ps, "interrupt", source * 10 + function))

    def step(self) -> Step:
        """Execute one step (or end a timer); returns it."""
        if self.waiting:
            self.now_ps, self.waiting = max(self.now_ps, self.wake_ps), False
            self.log.append((self.now_ps, "timer", 0))
            return Step(0)
        step = self.steps[self.position]
        self.position += 1
        self.now_ps += step.cost_ps
        if step.wait:
            self.waiting = True
            self.wake_ps = self.now_ps + step.timer_ps if step.timer_ps >= 0 else -1
        self.log.append((self.now_ps, "step", self.position))
        return step


def reference(scenario: Scenario) -> tuple[list[list], int]:
    """The logs by brute force: always the single earliest event of the whole machine, one step at a
    time.
    """
    cores = [Script(i, steps) for i, steps in enumerate(scenario.scripts)]
    flying: list[list] = [
        [] for _ in cores
    ]  # per core: [at, sent, source, order, function, wants acknowledgement]
    count = 0

    def send(source: int, target: int, function: int, sent_ps: int, acknowledge: bool) -> None:
        nonlocal count
        count += 1
        latency = scenario.latency_ps[scenario.nodes[source], scenario.nodes[target]]
        flying[target].append([sent_ps + latency, sent_ps, source, count, function, acknowledge])

    while True:
        best = None
        for core in cores:
            times = []
            if core.state == "runnable":
                times.append(core.now_ps)
            if core.state == "waiting" and core.wake_ps >= 0:
                times.append(max(core.now_ps, core.wake_ps))
            times += [max(core.now_ps, item[0]) for item in flying[core.index]]
            if times and (best is None or (min(times), core.index) < best):
                best = (min(times), core.index)
        if best is None:
            return [core.log for core in cores], count
        start_ps, index = best
        core, due = cores[index], sorted(item for item in flying[index] if item[0] <= start_ps)
        for item in due:
            flying[index].remove(item)
            core.handle(item[0], item[2], item[4])
        for item in due:
            if item[5]:  # acknowledgements leave when all that was due at this boundary is handled
                send(index, item[2], 5, core.now_ps, False)
        if not due:
            step = core.step()
            if step.target >= 0:
                send(index, step.target, 4, core.now_ps, step.acknowledge)


class Machine:
    """The same cores under a TimeBase; `order` is (start, core) of every turn."""

    def __init__(self, scenario: Scenario, quantum_ps: int | None = None) -> None:
        names = sorted(set(scenario.nodes.values()))
        self.tables = {name: TABLES[i % 2] for i, name in enumerate(names)}
        self.nodes = scenario.nodes
        self.broker = Broker(scenario.nodes, self.tables, scenario.latency_ps)
        self.timebase = TimeBase(self.broker, quantum_ps=quantum_ps or scenario.quantum_ps)
        self.cores = [Script(i, steps) for i, steps in enumerate(scenario.scripts)]
        self.order: list[tuple[int, int]] = []
        for core in self.cores:
            self.timebase.join(core.index, scenario.nodes[core.index])

    def run(self, turns_max: int = 100_000) -> End:
        """Until the time base has no turn."""
        for _ in range(turns_max):
            turn = self.timebase.next_turn()
            if isinstance(turn, End):
                return turn
            self.order.append((turn.start_ps, turn.core))
            self.timebase.turned(self.take(turn))
        raise AssertionError("the machine does not end")

    def take(self, turn) -> dict:
        """What a node does with a turn, by the contract."""
        core, sends, acknowledges = self.cores[turn.core], [], []
        for interrupt in turn.interrupts:
            assert interrupt.at_ps <= turn.start_ps, "an interrupt must be due when its turn starts"
            function = self.tables[self.nodes[core.index]].decode_receive(interrupt.native)
            assert function == interrupt.function
            core.handle(interrupt.at_ps, interrupt.source_core, interrupt.function)
            if interrupt.acknowledge:
                acknowledges.append(interrupt.id)
        until_ps = turn.until_ps if turn.until_ps >= 0 else 1 << 62
        while not sends and not acknowledges and core.now_ps < until_ps:
            if core.state == "off" or core.waiting and not 0 <= core.wake_ps < until_ps:
                break
            step = core.step()
            if step.target >= 0:
                native = self.tables[self.nodes[core.index]].encode_send(step.target, 4)
                sends.append(
                    {
                        "target_core": step.target,
                        "native": native,
                        "function": 4,
                        "payload": 0,
                        "sent_ps": core.now_ps,
                        "acknowledge": step.acknowledge,
                    }
                )
        return {
            "core": core.index,
            "sequence": turn.sequence,
            "now_ps": core.now_ps,
            "state": core.state,
            "wake_ps": core.wake_ps if core.waiting else -1,
            "ended": 0,
            "sends": sends,
            "acknowledges": acknowledges,
        }
