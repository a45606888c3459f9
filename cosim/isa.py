"""What an instruction set supplies, and how its package is found.

An ISA package holds facts as tables under the same file names in every package; behaviour lives in
cosim and works on those tables.  Packages plug in through the entry-point group `stramash.isa`, so
a third party can add one.  A module is imported when it is first asked for: linking a guest needs
no trap table.
"""

import functools
import importlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass
from types import ModuleType

from elftools.elf.enums import ENUM_E_MACHINE

from cosim.errors import InputError, suggest

GROUP = "stramash.isa"

# Packages that come with the simulator, for a source tree that was not installed.
BUNDLED = {"x86_64": "isa_x86:ISA", "aarch64": "isa_arm:ISA", "riscv64": "isa_riscv:ISA"}


@dataclass(frozen=True)
class Isa:
    """One instruction set: its names and its mirrored modules.

    name: the machine name Linux uses, or another for a variant.  node_name: how names of its nodes
    begin.  elf_machine: pyelftools' e_machine string.  package: the Python package that holds the
    modules.  variant: 0, or what tells it from others that run the same ELFs, up to 255.  base: the
    package whose modules stand for those that `package` does not have.
    """

    name: str
    node_name: str
    elf_machine: str
    package: str
    variant: int = 0
    base: str = ""

    @property
    def machine(self) -> int:
        """Its number in structures that kernels share: the ELF machine's, with the variant above
        its 16 bits.
        """
        return ENUM_E_MACHINE[self.elf_machine] | self.variant << 16

    def _module(self, name: str) -> ModuleType:
        return _module(self.package, self.base, name)

    @property
    def registers(self) -> ModuleType:
        """Register table and the initial values of a process."""
        return self._module("registers")

    @property
    def paging(self) -> ModuleType:
        """Page-table formats."""
        return self._module("paging")

    @property
    def traps(self) -> ModuleType:
        """How user code leaves and enters user mode."""
        return self._module("traps")

    @property
    def system_calls(self) -> ModuleType:
        """Linux system-call numbers and structures."""
        return self._module("system_calls")

    @property
    def signals(self) -> ModuleType:
        """Signal frames."""
        return self._module("signals")

    @property
    def interrupts(self) -> ModuleType:
        """Native inter-processor interrupts."""
        return self._module("interrupts")

    @property
    def processors(self) -> ModuleType:
        """What its cores cost under the presets."""
        return self._module("processors")

    @property
    def instructions(self) -> ModuleType | None:
        """Rows of the native engine (cosim.engine.native.table); None: Unicorn only.

        Like all modules they may be the base's: a variant that changes registers brings its own.
        """
        for package in filter(None, (self.package, self.base)):
            if importlib.util.find_spec(f"{package}.instructions"):
                return importlib.import_module(f"{package}.instructions")
        return None

    @property
    def examples(self) -> ModuleType:
        """Random examples of the rows (cosim.engine.native.examples), or the base's.

        InputError when there are none.
        """
        for package in filter(None, (self.package, self.base)):
            found = importlib.util.find_spec(f"{package}.instructions")
            if found is None or not found.submodule_search_locations:
                continue
            if importlib.util.find_spec(f"{package}.instructions.examples"):
                return importlib.import_module(f"{package}.instructions.examples")
        raise InputError(
            f"instruction set {self.name!r} has no examples of rows; add"
            f" {self.package}/instructions/examples.py as the bundled ones have"
        )

    @property
    def linker(self) -> ModuleType:
        """How guests are compiled and linked."""
        return self._module("linker")


@functools.cache  # asked for with every system call
def _module(package: str, base: str, name: str) -> ModuleType:
    if base and importlib.util.find_spec(f"{package}.{name}") is None:
        package = base
    return importlib.import_module(f"{package}.{name}")


def known() -> dict[str, str]:
    """Name -> "module:attribute" of every ISA that can be loaded; installed packages win."""
    bundled = {
        name: target
        for name, target in BUNDLED.items()
        if importlib.util.find_spec(target.partition(":")[0])
        and importlib.util.find_spec(f"{target.partition(':')[0]}.registers")
    }
    found = {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)}
    return {**bundled, **found}


def packages() -> list[str]:
    """Every package whose tables an ISA that can be loaded uses, sorted."""
    found = [find(name) for name in known()]
    return sorted({isa.package for isa in found} | {isa.base for isa in found if isa.base})


def find(name: str) -> Isa:
    """The ISA called `name` (for example "x86_64").  InputError when there is none."""
    targets = known()
    if name not in targets:
        raise InputError(
            f"unknown instruction set {name!r}: known are {', '.join(sorted(targets))}"
            f"{suggest(name, targets)}"
        )
    module, _, attribute = targets[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


@functools.cache  # asked for with every message and page table; looking packages up takes long
def of_machine(machine: int) -> Isa:
    """The ISA that kernels call by this number.  InputError when there is none."""
    for name in known():
        isa = find(name)
        if isa.machine == machine:
            return isa
    raise InputError(f"no instruction set here has machine number {machine:#x}")
