"""The memory system driven by arrays of accesses instead of records: traces, tests, comparisons."""

from typing import NamedTuple

import numpy as np

from cosim.errors import InputError
from cosim.units import LINE_SHIFT
from memsys import state
from memsys.kernels import SERVED_BITS, run_trace_at
from memsys.specification import Specification


class Replay(NamedTuple):
    """What came of a trace: who served each access (n,) u8 by memsys.coherence.Served, what each
    cost (n,) i64 cycles, and the hierarchy afterwards.
    """

    served: np.ndarray
    cycles: np.ndarray
    state: state.State


def new_state(specification: Specification) -> state.State:
    """An empty hierarchy in private memory."""
    return state.build(specification, np.zeros(state.size_bytes(specification), np.uint8))


def replay(
    specification: Specification,
    cores: np.ndarray,
    kinds: np.ndarray,
    addresses: np.ndarray,
    into: state.State | None = None,
) -> Replay:
    """Serve accesses in order.

    cores: machine-wide numbers; kinds: cosim.engine.stream.Kind; addresses: physical, in bytes; one
    each an access, of the line of its address.  into: a hierarchy to go on with, else an empty one.
    Raises InputError for a core or kind that does not exist.
    """
    found = into if into is not None else new_state(specification)
    count = len(specification.cores)
    if len(cores) and int(cores.max()) >= count:
        raise InputError(f"trace: core {int(cores.max())}, but the machine has {count} cores")
    if len(kinds) and int(kinds.max()) > 3:
        raise InputError(f"trace: operation {int(kinds.max())}, allowed are 0 to 3")
    lines = (addresses.astype(np.uint64) >> np.uint64(LINE_SHIFT)).astype(np.int64)
    results = np.empty(len(lines), np.int64)
    columns = (
        np.ascontiguousarray(cores, np.uint8),
        np.ascontiguousarray(kinds, np.uint8),
        lines,
        results,
    )
    run_trace_at(
        np.uint64(found.words.ctypes.data),
        *(np.uint64(column.ctypes.data) for column in columns),
        0,
        len(lines),
    )
    served = (results & ((1 << SERVED_BITS) - 1)).astype(np.uint8)
    return Replay(served, results >> SERVED_BITS, found)
