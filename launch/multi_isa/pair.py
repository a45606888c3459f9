"""Do the ELFs that a machine's nodes are to run belong together?"""

from collections.abc import Mapping
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from cosim import multi_isa
from cosim.errors import InputError
from cosim.multi_isa import Layout


def layout_of(path: Path) -> Layout | None:
    """The layout of a program; None when it was built for one instruction set.  Raises InputError
    when the file cannot be read."""
    try:
        with path.open("rb") as file:
            return multi_isa.read(ELFFile(file))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except ELFError as error:
        raise InputError(f"{path}: the ELF is damaged ({error})") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def check_pair(paths: Mapping[str, Path]) -> Layout:
    """The layout that these ELFs (one per instruction set) have in common.

    Raises InputError when one was built for its instruction set only, or they were not built
    together.
    """
    found: dict[str, Layout] = {}
    for isa, path in paths.items():
        layout = layout_of(path)
        if layout is None:
            raise InputError(
                f"{path}: built for {isa} only, it cannot migrate; build it with"
                " `stramash build prog.c`"
            )
        found[isa] = layout
    if not found:
        raise InputError("no program given")
    if len(set(found.values())) > 1:
        names = " and ".join(str(path) for path in paths.values())
        raise InputError(
            f"{names}: built separately: layout digests differ; rebuild both with"
            " `stramash build prog.c`"
        )
    return next(iter(found.values()))
