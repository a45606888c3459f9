"""Messages as tables: what a message carries, who may send it, and why a given one is not valid.

A message on the wire is a MessagePack map with the key `kind` and exactly the fields of its table.
Tables are data only; this module checks received maps against them, digests them for the handshake
(two processes with different tables refuse to talk) and renders them as PROTOCOLS.md.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

U64_MAX = (1 << 64) - 1
I64_MAX = (1 << 63) - 1
NESTING_MAX = (
    8  # depth of a TREE field: reports are shallow, a deeper one is an attack or a mistake
)
TREE_ITEMS_MAX = 100_000  # values in one TREE field, all levels together


class Type(StrEnum):
    """What a field holds; `range` of the field means something else for each."""

    INT = "int"  # range: (smallest, largest); a bool is not an int
    BOOL = "bool"  # no range
    TEXT = "text"  # range: (fewest, most) bytes as UTF-8
    CHOICE = "choice"  # range: the allowed words
    BYTES = "bytes"  # range: (fewest, most) bytes
    INTS = "ints"  # list of u64; range: (fewest, most) items
    COUNTERS = "counters"  # map of names to integers; range: (fewest, most) entries
    ROWS = "rows"  # list of maps, each with the fields `of`; range: (fewest, most) rows
    TREE = "tree"  # any plain data; range: (0, most levels), plain values counted as a level


@dataclass(frozen=True)
class Field:
    """One field of a message: name, type, unit, range (see Type), meaning, and the row table of
    ROWS.
    """

    name: str
    type: Type
    unit: str
    range: tuple
    meaning: str
    of: "tuple[Field, ...]" = ()
    # Why a value cannot be this field, or None.
    invalid: Callable[[Any], str | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "invalid", _check_of(self))


def _outside(item: Field, count: int, noun: str) -> str | None:
    low, high = item.range
    if low <= count <= high:
        return None
    return f"{item.name}: {count} {noun}, allowed {low}..{high}"


def _invalid_int(item: Field, value: Any) -> str | None:
    if type(value) is not int:
        return f"{item.name}: {type(value).__name__}, expected int"
    low, high = item.range
    if low <= value <= high:
        return None
    return f"{item.name}: {value}, allowed {low}..{high}"


def _invalid_bool(item: Field, value: Any) -> str | None:
    return None if type(value) is bool else f"{item.name}: {type(value).__name__}, expected bool"


def _invalid_text(item: Field, value: Any) -> str | None:
    if type(value) is not str:
        return f"{item.name}: {type(value).__name__}, expected text"
    try:
        return _outside(item, len(value.encode()), "bytes")
    except UnicodeEncodeError:
        return f"{item.name}: text with a lone surrogate, expected UTF-8"


def _invalid_choice(item: Field, value: Any) -> str | None:
    if type(value) is str and value in item.range:
        return None
    return f"{item.name}: {_short(value)}, allowed {', '.join(item.range)}"


def _invalid_bytes(item: Field, value: Any) -> str | None:
    if type(value) is not bytes:
        return f"{item.name}: {type(value).__name__}, expected bytes"
    return _outside(item, len(value), "bytes")


def _invalid_ints(item: Field, value: Any) -> str | None:
    if type(value) is not list:
        return f"{item.name}: {type(value).__name__}, expected list"
    for number in value:
        if type(number) is not int or not 0 <= number <= U64_MAX:
            return f"{item.name}: {_short(number)} in the list, expected u64"
    return _outside(item, len(value), "items")


def _invalid_counters(item: Field, value: Any) -> str | None:
    if type(value) is not dict:
        return f"{item.name}: {type(value).__name__}, expected map"
    for name, number in value.items():
        if type(name) is not str or type(number) is not int or not -I64_MAX <= number <= U64_MAX:
            return f"{item.name}: entry {_short(name)} = {_short(number)}, expected text = integer"
    return _outside(item, len(value), "entries")


def _invalid_rows(item: Field, value: Any) -> str | None:
    if type(value) is not list:
        return f"{item.name}: {type(value).__name__}, expected list"
    reason = _outside(item, len(value), "rows")
    if reason:
        return reason
    for index, row in enumerate(value):
        if type(row) is not dict:
            return f"{item.name}[{index}]: {type(row).__name__}, expected map"
        reason = invalid_fields(item.of, row, 0)
        if reason:
            return f"{item.name}[{index}].{reason}"
    return None


def _invalid_tree(item: Field, value: Any) -> str | None:
    if type(value) is not dict:
        return f"{item.name}: {type(value).__name__}, expected map"
    level, depth, items = [value], 0, 0
    while level:
        depth, items = depth + 1, items + len(level)
        if depth > min(item.range[1], NESTING_MAX) or items > TREE_ITEMS_MAX:
            return f"{item.name}: too deep or too large ({depth} levels, {items} values)"
        inner: list[Any] = []
        for node in level:
            if type(node) is dict:
                if not all(type(key) is str for key in node):
                    return f"{item.name}: a key is not text"
                inner.extend(node.values())
            elif type(node) is list:
                inner.extend(node)
            elif node is not None and type(node) not in (int, str, bool, bytes, float):
                return f"{item.name}: a {type(node).__name__} is not plain data"
        level = inner
    return None


_CHECKS: dict[Type, Callable[[Field, Any], str | None]] = {
    Type.INT: _invalid_int,
    Type.BOOL: _invalid_bool,
    Type.TEXT: _invalid_text,
    Type.CHOICE: _invalid_choice,
    Type.BYTES: _invalid_bytes,
    Type.INTS: _invalid_ints,
    Type.COUNTERS: _invalid_counters,
    Type.ROWS: _invalid_rows,
    Type.TREE: _invalid_tree,
}


def _check_of(item: Field) -> Callable[[Any], str | None]:
    """The check of a field.

    Two messages of a turn are checked at both ends: numbers that are right, most of what they hold,
    are let through at once, and only wrong ones are looked at again.
    """
    check = _CHECKS[item.type]
    if item.type is not Type.INT:
        return partial(check, item)
    low, high = item.range

    def check_int(value: Any) -> str | None:
        return None if type(value) is int and low <= value <= high else check(item, value)

    return check_int


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def invalid_fields(fields: tuple[Field, ...], row: dict, extra: int) -> str | None:
    """Why the map `row` does not have exactly `fields` (and `extra` keys checked elsewhere), or
    None.
    """
    for item in fields:
        name = item.name
        if name not in row:
            return f"{name}: missing"
        reason = item.invalid(row[name])
        if reason:
            return reason
    if len(row) != len(fields) + extra:
        known = {item.name for item in fields} | ({"kind"} if extra else set())
        return f"{_short(next(key for key in row if key not in known))}: unknown key"
    return None


@dataclass(frozen=True)
class Message:
    """One kind of message: its fields, and the kind that answers it ('' when none does)."""

    kind: str
    doc: str
    fields: tuple[Field, ...] = ()
    answer: str = ""

    def __post_init__(self) -> None:
        names = [item.name for item in self.fields]
        if len(set(names)) != len(names) or "kind" in names:
            raise ValueError(f"message {self.kind!r}: a field name is used twice: {names}")

    def invalid(self, message: dict) -> str | None:
        """Why the received map `message` is not a valid message of this kind, or None."""
        reason = invalid_fields(self.fields, message, 1)
        return f"{self.kind}.{reason}" if reason else None


ERROR = Message("error", "Answer to a message that was refused; never answered itself.", (
    Field("reason", Type.TEXT, "", (1, 2000), "what was wrong with the message, or why it has no "
                                              "place now"),
))  # fmt: skip

PROTOCOLS: "dict[str, Protocol]" = {}  # every declared protocol by name


@dataclass(frozen=True)
class Protocol:
    """A protocol: which role sends which messages.  Every role may send `error`.

    includes: roles that may also send what other roles send (a node sends every component's
    messages). Declaring one registers it; ValueError when a role or an answer is not declared.
    """

    name: str
    version: int
    doc: str
    roles: dict[str, tuple[Message, ...]]
    includes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    messages: dict[str, Message] = field(init=False, repr=False)
    sendable: dict[str, frozenset[str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        messages = {item.kind: item for sent in self.roles.values() for item in sent}
        messages[ERROR.kind] = ERROR
        for item in messages.values():
            if item.answer and item.answer not in messages:
                raise ValueError(f"protocol {self.name!r}: answer {item.answer!r} is not declared")
        sendable = {}
        for role in self.roles:
            sent = [self.roles[name] for name in (role, *self.includes.get(role, ()))]
            sendable[role] = frozenset(m.kind for row in sent for m in row) | {ERROR.kind}
        object.__setattr__(self, "messages", messages)
        object.__setattr__(self, "sendable", sendable)
        PROTOCOLS[self.name] = self

    def invalid(self, message: Any, sender: str) -> str | None:
        """Why `message` is not one that the role `sender` may send, or None."""
        if type(message) is not dict:
            return f"{type(message).__name__}, expected a map"
        kind = message.get("kind")
        if type(kind) is not str or kind not in self.messages:
            return f"kind: {_short(kind)} is not a message of protocol {self.name!r}"
        if kind not in self.sendable[sender]:
            return f"{kind}: not for role {sender!r} to send"
        return self.messages[kind].invalid(message)


def _field_facts(fields: Iterable[Field]) -> list:
    return [(f.name, str(f.type), f.unit, f.range, _field_facts(f.of)) for f in fields]


def digest() -> str:
    """16 hex digits naming all declared tables; sent in `hello`, equal in every process of a
    machine.
    """
    facts = []
    for name in sorted(PROTOCOLS):
        protocol = PROTOCOLS[name]
        for role in sorted(protocol.roles):
            for item in protocol.roles[role]:
                facts.append((name, protocol.version, role, item.kind, _field_facts(item.fields)))
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def documentation() -> str:
    """PROTOCOLS.md: every protocol, role, message and field, rendered from the tables."""
    lines = ["# Protocols", "", "Generated from `cosim/protocol/`; do not edit.", ""]
    for name in sorted(PROTOCOLS):
        protocol = PROTOCOLS[name]
        lines += [f"## {name} (version {protocol.version})", "", protocol.doc, ""]
        for role, messages in protocol.roles.items():
            includes = ", ".join(protocol.includes.get(role, ()))
            lines += [
                f"### Sent by: {role}" + (f" (and all of: {includes})" if includes else ""),
                "",
            ]
            for item in messages:
                lines += _message_documentation(item)
    lines += ["## Sent by everyone, in every protocol", "", *_message_documentation(ERROR)]
    return "\n".join(lines)


def _message_documentation(item: Message) -> list[str]:
    answer = f" Answered by `{item.answer}`." if item.answer else ""
    lines = [f"#### `{item.kind}`", "", item.doc + answer, ""]
    if item.fields:
        lines += ["| field | type | range | unit | meaning |", "|---|---|---|---|---|"]
        lines += _field_rows(item.fields, "")
        lines.append("")
    return lines


def _field_rows(fields: tuple[Field, ...], prefix: str) -> list[str]:
    rows = []
    for f in fields:
        allowed = " ".join(f.range) if f.type is Type.CHOICE else "..".join(str(n) for n in f.range)
        rows.append(f"| `{prefix}{f.name}` | {f.type} | {allowed} | {f.unit} | {f.meaning} |")
        rows += _field_rows(f.of, f"{prefix}{f.name}[].")
    return rows
