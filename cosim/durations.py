"""Host times of many equal events: kept in a ring, told as percentiles.

A mean says little on a host that does other things: the lowest tenth is what an event costs when
nothing interferes.
"""

from array import array

KEPT = 1 << 15  # the last so many; 256 KiB
PERCENTS = (10, 50, 90)


class Durations:
    """The last KEPT durations, in seconds."""

    def __init__(self) -> None:
        self._kept = array("d")
        self._count = 0

    def add(self, seconds: float, count: int = 1) -> None:
        """One more, or so many that took as long each."""
        for _ in range(min(count, KEPT)):
            if len(self._kept) < KEPT:
                self._kept.append(seconds)
            else:
                self._kept[self._count % KEPT] = seconds
            self._count += 1

    def statistics(self, prefix: str) -> dict[str, int]:
        """`<prefix>.p10` and so on, in ns; nothing when there was no event."""
        if not self._count:
            return {}
        ordered = sorted(self._kept)
        last = len(ordered) - 1
        return {f"{prefix}.p{part}": int(ordered[last * part // 100] * 1e9) for part in PERCENTS}
