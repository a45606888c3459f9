"""Counters of a machine that failed, read from its shared segments, which outlive their maker.

What is in them is newer than anything a process last said, and is there even when the memory system
itself was killed.
"""

from collections.abc import Mapping
from typing import Any

from cosim.shared import Segment
from memsys.snapshot import Snapshots


def segment_statistics(
    segments: Mapping[str, Segment], configuration: Mapping[str, Any]
) -> dict[str, int]:
    """Every statistic of the memory system, and what each core did, by dotted name.

    segments: stream and hierarchy are read.  configuration: as the processes received it.
    """
    shared = (segments[name].array for name in ("hierarchy", "stream"))
    return Snapshots(configuration["settings"], configuration["nodes"], *shared).everything()
