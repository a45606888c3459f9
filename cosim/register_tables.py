"""Row type of the `registers` tables of ISA packages."""

from typing import NamedTuple


class R(NamedTuple):
    """One architectural register of user code.

    name: as in the manual, lower case.  engine_name: constant of the execution engine.  bits:
    width. initial: value in a new process.
    """

    name: str
    engine_name: str
    bits: int
    initial: int = 0
