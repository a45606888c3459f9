"""The repository's own files, parsed once, for the conventions to look at."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cosim", "isa_x86", "isa_arm", "isa_riscv", "memsys", "launch")
FOLDERS = (*PACKAGES, "tests", "benchmarks")
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file.  name: its path from the root."""

    name: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> list[str]:
        """Its lines."""
        return self.text.splitlines()

    def functions(self) -> list[Function]:
        """Every function and method, nested ones too."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    def imports(self) -> list[tuple[int, str]]:
        """(line, dotted name) of everything imported."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
        return found


@cache
def sources(*folders: str) -> list[Source]:
    """The Python files below these folders."""
    found = []
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text()
            found.append(Source(path.relative_to(ROOT).as_posix(), text, ast.parse(text)))
    return found


def unexcused(found: dict[str, str], exceptions: dict[str, str]) -> list[str]:
    """Findings (where -> what) that no exception (where -> reason) covers, and exceptions not
    needed."""
    broken = [f"{where}: {what}" for where, what in found.items() if where not in exceptions]
    idle = [
        f"{where}: the exception is not needed any more"
        for where in exceptions
        if where not in found
    ]
    return broken + idle
