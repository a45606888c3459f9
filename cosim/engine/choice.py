"""Which engine executes a core's guest code: the one place where the setting becomes a class."""

from typing import Any

from cosim.engine.unicorn_engine import UnicornEngine
from cosim.isa import Isa


def make(
    name: str,
    isa: Isa,
    *arguments: Any,
    worst_reference_cycles: int,
    hot_after: int = 1,
    **options: Any,
) -> Any:
    """The engine called `name` ("unicorn", "native") for one core; arguments as UnicornEngine's.

    An ISA without rows for the native engine runs on Unicorn.
    """
    if name == "native" and isa.instructions is not None:
        from cosim.engine.native.engine import NativeEngine  # LLVM: half a second

        return NativeEngine(
            isa, *arguments, worst_reference_cycles=worst_reference_cycles, hot_after=hot_after,
            **options,
        )  # fmt: skip
    return UnicornEngine(isa, *arguments, **options)
