"""Is the source in shape: sizes, names, docstrings, what may be used where?"""

import ast
import re
import subprocess
import sys

import pytest

import cosim.isa
from tests.conventions.sources import FOLDERS, PACKAGES, ROOT, Source, sources, unexcused

LINE_COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 600

# Tables: a row is a line, and there are as many rows as there are facts.
TABLES = (
    "cosim/presets.py",
    "isa_arm/instructions/",
    "isa_riscv/instructions/",
    "isa_x86/instructions/",
    "cosim/settings_table.py",
    "cosim/protocol/",
    "isa_x86/processors.py",
    "isa_arm/processors.py",
    "isa_riscv/processors.py",
    "isa_x86/registers.py",
    "isa_arm/registers.py",
    "isa_riscv/registers.py",
    "isa_x86/system_calls.py",
    "isa_arm/system_calls.py",
    "isa_riscv/system_calls.py",
    "launch/statistics.py",
    "memsys/coherence.py",
    "memsys/statistics.py",
)
LONG_FUNCTIONS: dict[str, str] = {}
MODULE_NAMES_BANNED = {"utils", "util", "helpers", "helper", "common", "core", "manager", "misc"}
MODULE_NAME_EXCEPTIONS = {"cosim/core.py": "a core of the simulated machine"}
WORDS_BANNED = {
    r"\bTODO\b": "do it, or write an issue",
    r"\bFIXME\b": "fix it",
    r"\bXXX\b": "say what is meant",
    r"\bHACK\b": "say why it is needed",
    r"\bNotImplementedError\b": "an abstract thing is a Protocol",
    r"\bnp\.random\.(?!default_rng)": "np.random.default_rng(seed)",
}
# Wall time and chance have no place where simulated state is made.
SIMULATED = (
    "cosim/kernel",
    "cosim/engine",
    "cosim/devices",
    "memsys",
    "isa_x86",
    "isa_arm",
    "isa_riscv",
)
UNREPEATABLE = ("time", "random", "secrets", "uuid", "datetime")
UNREPEATABLE_EXCEPTIONS = {
    "cosim/engine/native/stencils.py": "host time of compiling, for the run's report",
    "cosim/engine/writer.py": "limits how long it waits for the memory system",
}
COMPILERS = ("njit", "jit", "vectorize", "guvectorize", "generated_jit")
COMPILER_HOME = "cosim/compiled.py"


def is_table(source: Source) -> bool:
    """Is this file one of the tables?"""
    return source.name.startswith(TABLES)


def everything() -> list[Source]:
    """Every Python file of the repository."""
    found = sources(*FOLDERS)
    assert len(found) >= 60, "the check looks in the wrong place"
    return found


def packages() -> list[Source]:
    """The files of the product itself."""
    found = sources(*PACKAGES)
    assert len(found) >= 50, "the check looks in the wrong place"
    return found


def test_layers_hold():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Contracts: [4-9] kept, 0 broken", done.stdout), done.stdout


def test_lines_are_short():
    found = {
        f"{source.name}:{number}": f"{len(line)} columns"
        for source in everything()
        if not is_table(source)
        for number, line in enumerate(source.lines, 1)
        if len(line) > LINE_COLUMNS_MAX
    }
    assert not unexcused(found, {})


def test_files_are_short():
    found = {
        source.name: f"{len(source.lines)} lines"
        for source in everything()
        if not is_table(source) and len(source.lines) > FILE_LINES_MAX
    }
    assert not unexcused(found, {})


def test_functions_are_short():
    found = {}
    seen = 0
    for source in everything():
        for function in source.functions():
            seen += 1
            length = (function.end_lineno or function.lineno) - function.lineno + 1
            if length > FUNCTION_LINES_MAX:
                found[f"{source.name}:{function.name}"] = f"{length} lines"
    assert seen >= 500
    assert not unexcused(found, LONG_FUNCTIONS)


def test_modules_are_named_by_a_noun():
    found = {
        source.name: "say what it is about"
        for source in everything()
        if source.name.rsplit("/", 1)[-1].removesuffix(".py") in MODULE_NAMES_BANNED
    }
    assert not unexcused(found, MODULE_NAME_EXCEPTIONS)


def test_banned_words_do_not_appear():
    found = {}
    for source in everything():
        for pattern, instead in WORDS_BANNED.items():
            if re.search(pattern, source.text):
                found[source.name] = f"{pattern}: {instead}"
    assert not unexcused(found, {})


def public(source: Source) -> list[tuple[str, ast.AST]]:
    """(name, node) of the module and of every public class, function and method of it."""
    found: list[tuple[str, ast.AST]] = [("module", source.tree)]

    def collect(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
                continue
            found.append((f"{prefix}{node.name}", node))
            if isinstance(node, ast.ClassDef) and not is_protocol(node):
                collect(node.body, f"{prefix}{node.name}.")

    collect(source.tree.body, "")
    return found


def is_protocol(node: ast.ClassDef) -> bool:
    """A typing.Protocol: its methods are described where they are implemented."""
    return any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases)


def test_public_things_have_docstrings():
    found = {}
    seen = 0
    for source in packages():
        if not source.text.strip():
            continue
        for name, node in public(source):
            seen += 1
            if ast.get_docstring(node) is None:  # type: ignore[arg-type]
                found[f"{source.name}:{name}"] = "no docstring"
    assert seen >= 400
    assert not unexcused(found, {})


def test_nothing_unrepeatable_where_state_is_simulated():
    found = {}
    looked = sources(*SIMULATED)
    assert len(looked) >= 30
    for source in looked:
        for line, name in source.imports():
            if name.split(".")[0] in UNREPEATABLE:
                found[source.name] = f"line {line} imports {name}"
    assert not unexcused(found, UNREPEATABLE_EXCEPTIONS)


def test_hot_code_is_compiled_by_one_decorator():
    found = {}
    decorated = 0
    for source in packages():
        for function in source.functions():
            names = {ast.unparse(d).split("(")[0].split(".")[-1] for d in function.decorator_list}
            decorated += bool(names & {"kernel", "inline_kernel"})
            if names & set(COMPILERS) and source.name != COMPILER_HOME:
                found[f"{source.name}:{function.name}"] = "use @kernel of cosim.compiled"
    assert decorated >= 10
    assert not unexcused(found, {})


def test_instruction_sets_are_known_by_name_in_their_packages_only():
    """Else nobody could add one without changing ours."""
    names = set(cosim.isa.BUNDLED)
    packages = {target.partition(":")[0] for target in cosim.isa.BUNDLED.values()}
    found = {}
    looked = sources("cosim", "memsys", "launch")
    assert len(looked) >= 50
    for source in looked:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Constant) and node.value in names:
                found[source.name] = f"line {node.lineno} says {node.value!r}"
        for line, name in source.imports():
            if name.split(".")[0] in packages:
                found[source.name] = f"line {line} imports {name}"
    excused = {
        "cosim/isa.py": "which packages come with the simulator",
        "cosim/remote/userfault.py": "the host's processor, not a node's",
        "launch/scenarios/attach_half_way.py": "an example names the node that joins",
    }
    assert not unexcused(found, excused)


@pytest.mark.parametrize("package", ["isa_x86", "isa_arm", "isa_riscv"])
def test_instruction_sets_mirror_each_other(package):
    names = {path.name for path in (ROOT / package).glob("*.py")}
    assert names == {path.name for path in (ROOT / "isa_x86").glob("*.py")}
    assert {"registers.py", "paging.py", "traps.py", "system_calls.py", "linker.py"} <= names
