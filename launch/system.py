"""What the machine is: its nodes, in order, and the settings that belong to it.

A machine is a TOML file (`launch/machines/` has examples with comments) or a list of node names in
Python.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cosim.isa
from cosim.engine.stream import CORE_STREAM_BYTES
from cosim.errors import InputError, suggest

MACHINES = Path(__file__).parent / "machines"
DEFAULT_MACHINE = "pair"
CORES_MAX = 64  # segments and sharer bitmaps are sized for it
HOST_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$")
NODE_NAME = re.compile(r"^[a-z][a-z0-9_]{0,31}$")
# Words that stand where a node's name stands in the names of settings and statistics.
RESERVED = frozenset(
    ("machine", "host", "memory", "cache", "cost", "time", "ipi", "futex", "kernel", "core")
    + ("message", "network", "dsm")
    + ("l1i", "l1d", "l2", "l3", "snoop_filter", "timebase", "supervisor", "memsys", "home")
)
NODE_KEYS = ("name", "isa", "cores", "host")
FILE_KEYS = ("node", "settings")

assert CORES_MAX * CORE_STREAM_BYTES < 1 << 25, "the stream segment should stay small"


@dataclass(frozen=True)
class Node:
    """One core complex: name, instruction set, number of cores; the host that runs it, "" for this
    one.
    """

    name: str
    isa: str
    cores: int = 1
    host: str = ""


@dataclass(frozen=True)
class System:
    """Nodes in machine order, and the settings that the machine file brings (names to given
    values)."""

    nodes: tuple[Node, ...]
    settings: Mapping[str, object] = field(default_factory=dict)
    source: str = "python"

    def __post_init__(self) -> None:
        """Raise InputError unless names are valid and unique, ISAs are known and the cores fit."""
        if not self.nodes:
            raise InputError(f"{self.source}: a machine needs at least one node")
        seen: set[str] = set()
        for node in self.nodes:
            _check_node(node, self.source)
            if node.name in seen:
                raise InputError(f"{self.source}: two nodes are called {node.name!r}")
            seen.add(node.name)
        cores = sum(node.cores for node in self.nodes)
        if cores > CORES_MAX:
            raise InputError(f"{self.source}: {cores} cores, a machine has at most {CORES_MAX}")

    def with_node(self, node: Node) -> "System":
        """The system with one node more, the last one."""
        return replace(self, nodes=(*self.nodes, node))

    @property
    def names(self) -> list[str]:
        """Node names in machine order."""
        return [node.name for node in self.nodes]

    @property
    def hosts(self) -> dict[str, str]:
        """The hosts of the nodes that run elsewhere, by node: a matter of place, not of what the
        machine is.
        """
        return {node.name: node.host for node in self.nodes if node.host}

    @property
    def isas(self) -> list[str]:
        """Instruction sets, each once, in the order of the nodes."""
        return list(dict.fromkeys(node.isa for node in self.nodes))

    def node(self, name: str) -> Node:
        """The node called `name`, or InputError with a suggestion."""
        for node in self.nodes:
            if node.name == name:
                return node
        hint = suggest(name, self.names) or f"; nodes are {', '.join(self.names)}"
        raise InputError(f"no node is called {name!r}{hint}")

    def rows(self) -> list[dict[str, object]]:
        """The nodes as plain data, as processes receive them (without clocks, which are
        settings)."""
        return [
            {"name": node.name, "isa": node.isa, "cores": node.cores, "index": index}
            for index, node in enumerate(self.nodes)
        ]


def _check_node(node: Node, source: str) -> None:
    if not isinstance(node.name, str) or not NODE_NAME.match(node.name):
        raise InputError(
            f"{source}: node name {node.name!r}: write a small letter, then small letters,"
            " digits or _"
        )
    if node.name in RESERVED:
        raise InputError(
            f"{source}: node name {node.name!r} has a meaning of its own; choose another"
        )
    known = cosim.isa.known()
    if node.isa not in known:
        hint = suggest(str(node.isa), known) or f"; known are {', '.join(sorted(known))}"
        raise InputError(f"{source}: node {node.name!r}: unknown isa {node.isa!r}{hint}")
    if isinstance(node.cores, bool) or not isinstance(node.cores, int) or node.cores < 1:
        raise InputError(
            f"{source}: node {node.name!r}: cores = {node.cores!r}, a whole number from 1 up"
        )
    if not isinstance(node.host, str) or (node.host and not HOST_NAME.match(node.host)):
        raise InputError(
            f"{source}: node {node.name!r}: host = {node.host!r}, the name or IPv4 address of the"
            ' host that runs it; for example host = "10.0.0.2"'
        )


def of_names(names: Sequence[str]) -> System:
    """One core for each name; the instruction set follows from how the name begins: x86, arm,
    riscv, or what an installed package adds.

    of_names(["x86", "arm", "x86b"]) has two x86-64 nodes around an AArch64 one.
    """
    isas = {cosim.isa.find(isa).node_name: isa for isa in cosim.isa.known()}
    nodes = []
    for name in names:
        starts = [start for start in isas if str(name).startswith(start)]
        if not starts:
            raise InputError(
                f"node {name!r}: the name says no instruction set; begin it with"
                f" {', '.join(isas)}, or use a machine file"
                f"{suggest(str(name), isas)}"
            )
        nodes.append(Node(name, isas[max(starts, key=len)]))
    return System(tuple(nodes))


def bundled() -> dict[str, Path]:
    """The machine files that come with Stramash, by bare name."""
    return {path.stem: path for path in sorted(MACHINES.glob("*.toml"))}


def load(machine: str = DEFAULT_MACHINE) -> System:
    """The system of a TOML file, given by path or by the bare name of a bundled one.

    Raises InputError, one line with the line number, when the file is missing, malformed or says
    something unknown.
    """
    path = Path(machine)
    if not path.is_file():
        files = bundled()
        if machine not in files:
            hint = suggest(machine, files) or f"; bundled machines: {', '.join(files)}"
            raise InputError(f"{machine}: no such machine file{hint}")
        path = files[machine]
    try:
        text = path.read_text()
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: {_toml_reason(str(error))}") from error
    return _system(path, text, content)


def _toml_reason(message: str) -> str:
    """Python's message with the place in front: `line 3, column 5: Invalid value`."""
    match = re.match(r"(.*) \((?:at )?(.*)\)$", message)
    return f"{match[2]}: {match[1]}" if match else message


def _system(path: Path, text: str, content: Mapping[str, object]) -> System:
    _refuse_unknown(path, text, content, FILE_KEYS)
    rows = content.get("node", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(
            f"{path}: line {_line_of(text, 'node')}: write each node as a table [[node]]"
        )
    nodes = []
    for row in rows:
        _refuse_unknown(path, text, row, NODE_KEYS)
        for key in ("name", "isa"):
            if key not in row:
                raise InputError(
                    f"{path}: line {_line_of(text, 'node')}: a node without {key};"
                    ' example: name = "x86"'
                )
        nodes.append(Node(row["name"], row["isa"], row.get("cores", 1), row.get("host", "")))
    settings = content.get("settings", {})
    if not isinstance(settings, dict):
        raise InputError(
            f"{path}: line {_line_of(text, 'settings')}: write the settings as a table [settings]"
        )
    return System(tuple(nodes), _flatten(settings), str(path))


def _refuse_unknown(
    path: Path, text: str, table: Mapping[str, object], allowed: Sequence[str]
) -> None:
    for key in table:
        if key not in allowed:
            hint = suggest(key, allowed) or f"; allowed are {', '.join(allowed)}"
            raise InputError(f"{path}: line {_line_of(text, key)}: unknown key {key!r}{hint}")


def _line_of(text: str, key: str) -> int:
    """The first line that mentions `key` as a key or table; 1 when none does."""
    pattern = re.compile(rf"^\s*\[*\s*\"?{re.escape(key)}\"?\b")
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.match(line):
            return number
    return 1


def _flatten(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested TOML tables as dotted names: {"memory": {"model": "shared"}} -> {"memory.model":
    "shared"}."""
    flat: dict[str, object] = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat
