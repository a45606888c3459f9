"""The memory system alone, driven by a file of accesses: `stramash replay TRACE.npz`.

The file has one row an access, in global order: `core` (0, 1, ...), `op` (0 load, 1 store, 2 load
of an atomic, 3 fetch) and `paddr` (bytes).  Each access touches the one line of its address.  When
it also has `served_by` (0 L1, 1 L2, 2 L3, 3 upgrade, 4 another core below the same L3, 5 memory),
ours is compared with it.

Without a machine file every core of the trace is a node of its own, with the instruction sets of
the default machine in turn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from cosim.engine.stream import Kind
from cosim.errors import InputError, InvariantError
from launch.simulation import Simulation
from launch.system import CORES_MAX, Node, System, load
from memsys import gem5_counts, laws
from memsys.coherence import Served
from memsys.replay import Replay, replay
from memsys.specification import build
from memsys.statistics import Counter, report

ARRAYS = {"core": CORES_MAX, "op": 4, "paddr": 1 << 52}  # name -> values are below this
SERVED_CODES = ("L1", "L2", "L3", "upgrade", "peer", "memory")  # as a trace numbers them
LEVELS = ("l1i", "l1d", "l2")
OUTCOMES = ("accesses", "hits", "misses")
MIXED = 6  # code of an access that no level served: outside the physical map


@dataclass(frozen=True)
class Trace:
    """One access a row.  All (accesses,) of integers; served_by may be None."""

    core: np.ndarray
    op: np.ndarray
    paddr: np.ndarray
    served_by: np.ndarray | None

    @property
    def cores(self) -> int:
        """How many cores it needs."""
        return int(self.core.max()) + 1


def read(path: Path) -> Trace:
    """A trace from its file.  Raises InputError, one line, when it is not one."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, TypeError, BadZipFile, EOFError) as error:
        raise InputError(f"{path}: not an NPZ file of plain arrays") from error
    for name, limit in ARRAYS.items():
        if name not in arrays:
            raise InputError(f"{path}: no array {name!r}; it has {', '.join(arrays) or 'none'}")
        _check_array(path, name, arrays[name], limit, len(arrays["core"]))
    served_by = arrays.get("served_by")
    if served_by is not None:
        _check_array(path, "served_by", served_by, MIXED, len(arrays["core"]))
    return Trace(arrays["core"], arrays["op"], arrays["paddr"], served_by)


def _check_array(path: Path, name: str, array: np.ndarray, limit: int, length: int) -> None:
    if array.ndim != 1 or array.dtype.kind not in "ui":
        raise InputError(
            f"{path}: {name!r} is {array.ndim}-dimensional {array.dtype}, not integers"
        )
    if len(array) != length or not length:
        raise InputError(f"{path}: {name!r} has {len(array)} rows, 'core' has {length}")
    least, most = int(array.min()), int(array.max())
    if least < 0 or most >= limit:
        raise InputError(f"{path}: {name!r} holds {least}..{most}, allowed are 0..{limit - 1}")


def machine_for(trace: Trace, machine: str | None) -> System:
    """The machine of a file, or one with a node for each core.  Raises InputError when too
    small."""
    if machine is None:
        default = load().nodes
        rows = [divmod(core, len(default)) for core in range(max(trace.cores, len(default)))]
        kinds = [(turn, default[place]) for turn, place in rows]
        return System(
            tuple(Node(f"{n.name}_{turn}" if turn else n.name, n.isa) for turn, n in kinds)
        )
    system = load(machine)
    cores = sum(node.cores for node in system.nodes)
    if trace.cores > cores:
        raise InputError(f"the trace has {trace.cores} cores, machine {machine!r} has {cores}")
    return system


def codes(served: np.ndarray) -> np.ndarray:
    """`Served` values as a trace numbers them: local and remote memory are both memory."""
    table = np.array([0, 1, 2, 3, 4, 5, 5, MIXED], np.uint8)
    assert len(table) == len(Served)
    return table[served]


def replay_file(
    path: Path, overrides: Mapping[str, object], machine: str | None = None, out: Path | None = None
) -> dict:
    """Replay a file into an empty hierarchy; the results as plain data.

    out: NPZ that gets served_by and cycles of each access.  Raises InputError for a file that is no
    trace or a machine that is too small for it, InvariantError when a law does not hold.
    """
    trace = read(path)
    simulation = Simulation(machine_for(trace, machine), overrides)
    specification = build(simulation.settings, simulation.nodes())
    done = replay(specification, trace.core, trace.op, trace.paddr)
    _refuse_outside(path, trace, done.served)
    _book(trace, done)
    broken = laws.violations(specification, done.state)
    if broken:
        raise InvariantError(f"{len(broken)} laws of the memory system do not hold: {broken[0]}")
    found = codes(done.served)
    if out is not None:
        _save(out, found, done.cycles)
    answer: dict = {
        "trace": str(path),
        "accesses": len(found),
        "cores": [core.name for core in specification.cores],
        "served_by": {name.name.lower(): int((done.served == name).sum()) for name in Served},
        "cycles": int(done.cycles.sum()),
        "statistics": report(specification, done.state.counters),
    }
    if specification.model == "fully-shared":
        cores = np.unique(trace.core).tolist()
        answer["gem5_names"] = gem5_counts.counts(done.state.counters, cores)
    if trace.served_by is not None:
        different = np.flatnonzero(found != trace.served_by)
        first = int(different[0]) if len(different) else None
        answer["compared"] = {"different": len(different), "first": first}
    return answer


def _refuse_outside(path: Path, trace: Trace, served: np.ndarray) -> None:
    outside = np.flatnonzero(served == Served.OUTSIDE)
    if len(outside):
        address = int(trace.paddr[outside[0]])
        raise InputError(
            f"{path}: access {outside[0]} is to {address:#x}, where this machine has no memory;"
            " see memory.size"
        )


def _book(trace: Trace, done: Replay) -> None:
    """Count references and cycles per core, which stream records do and bare accesses do not.

    Without them the laws could not compare what was charged with the prices of what was counted.
    """
    for core in np.unique(trace.core).tolist():
        mine = trace.core == core
        row = done.state.counters[core]
        row[Counter.REFERENCES_USER] += int((mine & (trace.op != Kind.FETCH)).sum())
        row[Counter.CYCLES_USER] += int(done.cycles[mine].sum())


def _save(out: Path, served_by: np.ndarray, cycles: np.ndarray) -> None:
    try:
        with out.open("wb") as file:
            np.savez_compressed(file, served_by=served_by, cycles=cycles)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror})") from error


def tables(result: Mapping) -> list[RenderableType]:
    """What a person reads: a table per core and level, then who served, then the comparison."""
    values = result["statistics"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("cache")
    for outcome in (*OUTCOMES, "hit rate"):
        table.add_column(outcome, justify="right")
    for cache in _caches(result["cores"], values):
        numbers = [values.get(f"{cache}.{outcome}", 0) for outcome in OUTCOMES]
        rate = f"{100 * numbers[1] / numbers[0]:.3f} %" if numbers[0] else "-"
        table.add_row(cache, *(f"{number:,}" for number in numbers), rate)
    served = ", ".join(f"{name} {count:,}" for name, count in result["served_by"].items() if count)
    lines = [Text(f"served by: {served}"), Text(f"cycles: {result['cycles']:,}")]
    compared = result.get("compared")
    if compared is not None:
        place = "" if compared["first"] is None else f", the first is access {compared['first']}"
        lines.append(Text(f"other than the trace says: {compared['different']:,}{place}"))
    return [table, *lines]


def _caches(cores: Sequence[str], values: Mapping[str, int]) -> list[str]:
    """Every cache that has counts: private ones by core, then L3s."""
    private = [f"{core}.{level}" for core in cores for level in LEVELS]
    nodes = [*dict.fromkeys(core.partition(".")[0] for core in cores), "machine"]
    found = [*private, *(f"{node}.l3" for node in nodes)]
    return [name for name in found if values.get(f"{name}.accesses")]
