"""Operating-system designs: what `--os` names, and where each design's services are found."""

from typing import NamedTuple

from cosim.errors import InputError, suggest


class Design(NamedTuple):
    """services: "module:NAME" of a cosim.kernel.kernel.Services, as node processes import it.

    migrates: programs are built for every instruction set of the machine at once.
    """

    name: str
    services: str
    migrates: bool
    meaning: str


DESIGNS = {
    design.name: design
    for design in (
        Design("vanilla", "", False, "one kernel per node, programs stay where they start"),
        Design(
            "fused",
            "cosim.kernel.fused.services:SERVICES",
            True,
            "one operating system over all nodes: shared structures, direct remote access",
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
