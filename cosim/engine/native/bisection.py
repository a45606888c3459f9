"""From a stretch of instructions that differs to the first instruction that does.

All of a machine's state is compared, so what is equal stays equal: numbers of instructions after
which engines differ have no gap.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def first(differs: Callable[[int], Sequence[T]], most: int) -> tuple[int, Sequence[T]] | None:
    """The smallest number of instructions up to `most` after which something differs, and what.

    differs(n): both engines execute n instructions from the start; what differs then.  None: it
    does not differ after `most` either (any more).
    """
    found = differs(most)
    if not found:
        return None
    equal, different = 0, most
    while different - equal > 1:
        middle = (equal + different) // 2
        here = differs(middle)
        if here:
            different, found = middle, here
        else:
            equal = middle
    return different, found
