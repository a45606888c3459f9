"""Where what a program does may depend on time, and the rule for runs in which it must not.

A run that feeds further memory systems (`also` of the configuration) is exact for them only if the
reference stream is the same whatever references cost: one thread on one core that never waits for a
time, nobody who interrupts it, and a program that never learns the time, or learns one that prices
do not change (time.guest_clock).  Whatever could break that says so here, before it happens.
"""

from cosim.errors import InputError


class TimeDependence:
    """Ends a run at the first thing that may depend on time, if it must be free of such.

    memory: KernelMemory, whose current core is named.  forbidden: there must be no such thing.
    counts_instructions: clocks that guests read do not depend on prices.
    """

    def __init__(self, memory, *, forbidden: bool, counts_instructions: bool) -> None:
        self._memory = memory
        self._forbidden = forbidden
        self.counts_instructions = counts_instructions

    def arises(self, what: str) -> None:
        """Something whose effect depends on time is about to happen.  Raises InputError."""
        if self._forbidden:
            raise InputError(
                f"--also: {self._memory.core.name}: {what}; what happens next may depend on what "
                "references cost, so this execution cannot stand for other memory systems; run "
                "each by itself"
            )

    def shown(self) -> None:
        """A guest is about to learn the time.  Raises InputError."""
        if self._forbidden and not self.counts_instructions:
            raise InputError(
                f"--also: {self._memory.core.name}: a program reads a clock, or a file gets a "
                "time, that depends on what references cost; add --set "
                "time.guest_clock=instructions, or run each memory system by itself"
            )
