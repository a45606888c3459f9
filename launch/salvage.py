"""Counters of a machine that failed, read from its shared segments, which outlive their maker.

What is in them is newer than anything a process last said, and is there even when the memory system
itself was killed.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from cosim.engine.stream import CoreStream, Word
from cosim.shared import Segment
from memsys import specification, state, statistics


def segment_statistics(
    segments: Mapping[str, Segment], configuration: Mapping[str, Any]
) -> dict[str, int]:
    """Every statistic of the memory system, and what each core did, by dotted name.

    segments: stream and hierarchy are read.  configuration: as the processes received it.
    """
    settings = configuration["settings"]
    machine = specification.build(settings, configuration["nodes"])
    view = state.view(machine, segments["hierarchy"].array.view(np.int64))
    headers = [
        CoreStream(segments["stream"].array, core.index).header.tolist() for core in machine.cores
    ]
    fetched = [header[Word.FETCHES_USER] for header in headers]
    found = statistics.report(machine, view.counters, fetched)
    rate = Fraction(str(settings["time.ipc"]))
    for core, header in zip(machine.cores, headers, strict=True):
        user, kernel = header[Word.INSTRUCTIONS_USER], header[Word.INSTRUCTIONS_KERNEL]
        executed = (user + kernel) * rate.denominator // rate.numerator
        found[f"{core.name}.instructions_user"] = user
        found[f"{core.name}.instructions_kernel"] = kernel
        found[f"{core.name}.cycles"] = executed + header[Word.CYCLES]
        found[f"{core.name}.idle_cycles"] = header[Word.IDLE_CYCLES]
    return found
