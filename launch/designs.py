"""Operating-system designs: what `--os` names, and where each design's services are found."""

from typing import NamedTuple

from cosim.errors import InputError, suggest
from cosim.physical_map import MODELS


class Design(NamedTuple):
    """services: "module:NAME" of a cosim.kernel.kernel.Services, as node processes import it.

    migrates: programs are built for every instruction set of the machine at once.
    models: the memory models with which comparisons run it.  fixed: it has the first of them
    whatever the settings say.
    """

    name: str
    services: str
    migrates: bool
    meaning: str
    models: tuple[str, ...] = MODELS
    fixed: bool = False


DESIGNS = {
    design.name: design
    for design in (
        Design(
            "vanilla",
            "",
            False,
            "one kernel per node, programs stay where they start",
            MODELS[:1],  # a program in its own node's memory is the same in all of them
        ),
        Design(
            "fused",
            "cosim.kernel.fused.services:SERVICES",
            True,
            "one operating system over all nodes: shared structures, direct remote access",
        ),
        Design(
            "multi-shm",
            "cosim.kernel.multiple.services:SHARED_MEMORY",
            True,
            "a kernel per node with its own memory; messages and copies of pages in shared memory",
        ),
        Design(
            "multi-tcp",
            "cosim.kernel.multiple.services:NETWORK",
            True,
            "a kernel per node with its own memory; messages and pages over a network",
            MODELS[:1],
            fixed=True,
        ),
    )
}
DEFAULT = "vanilla"


def find(name: str) -> Design:
    """The design called `name`, or the custom one at "module:NAME".  Raises InputError."""
    if ":" in name:
        return Design(name, name, True, "a design of the user's")
    if name not in DESIGNS:
        hint = suggest(name, DESIGNS) or f"; known are {', '.join(DESIGNS)}"
        raise InputError(f"--os {name}: no such operating-system design{hint}, or MODULE:NAME")
    return DESIGNS[name]
