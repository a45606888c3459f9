"""Which engine executes a core's guest code: the one place where the setting becomes a class."""

from typing import Any

from cosim.engine.unicorn_engine import UnicornEngine
from cosim.isa import Isa

CHECK_EVERY = 10_000  # instructions between two comparisons, for who does not say


def relayed(core: Any, baton: Any) -> Any:
    """What runs relayed turns of a cosim.core.Core without Python; None when its engine cannot."""
    if getattr(core.engine, "reference_class", None) is not UnicornEngine:
        return None  # checked: it compares after every stretch
    from cosim.engine.native.relay import Relayed

    return Relayed(core, core.engine, baton)


def make(
    name: str,
    isa: Isa,
    *arguments: Any,
    worst_reference_cycles: int,
    hot_after: int = 1,
    check_every: int = CHECK_EVERY,
    line_classes: int = 0,
    **options: Any,
) -> Any:
    """The engine called `name` ("unicorn", "native", "checked") for one core; arguments as
    UnicornEngine's.

    An ISA without rows for the native engine runs on Unicorn.
    """
    if name == "unicorn" or isa.instructions is None:
        return UnicornEngine(isa, *arguments, **options)
    options |= {"worst_reference_cycles": worst_reference_cycles, "hot_after": hot_after}
    if name == "checked":
        from cosim.engine.native.checked import CheckedEngine

        return CheckedEngine(isa, *arguments, check_every=check_every, **options)
    from cosim.engine.native.engine import NativeEngine  # LLVM: half a second

    return NativeEngine(isa, *arguments, line_classes=line_classes, **options)
