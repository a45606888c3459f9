"""Valid messages of every kind, and ways to spoil them, drawn by hypothesis or by a seeded
generator.
"""

import random
from typing import Any

from hypothesis import strategies as st

from cosim.wire import U64_MAX, Field, Message, Type

WORDS = st.dictionaries(st.text(max_size=8), st.integers(-(2**63) + 1, U64_MAX), max_size=4)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), U64_MAX)
    | st.text(max_size=8)
    | st.binary(max_size=8)
)


def values(item: Field) -> st.SearchStrategy:
    """Valid values of a field."""
    low, high = item.range if item.type is not Type.CHOICE and item.range else (0, 0)
    few = min(high, max(low, 3))
    match item.type:
        case Type.INT:
            return st.integers(low, high) | st.sampled_from((low, high))
        case Type.BOOL:
            return st.booleans()
        case Type.TEXT:
            return st.text(alphabet="abcxyz.-/ 0123", min_size=low, max_size=min(high, low + 12))
        case Type.CHOICE:
            return st.sampled_from(item.range)
        case Type.BYTES:
            return st.binary(min_size=low, max_size=min(high, low + 12))
        case Type.INTS:
            return st.lists(st.integers(0, U64_MAX), min_size=low, max_size=few)
        case Type.COUNTERS:
            return WORDS
        case Type.ROWS:
            return st.lists(maps(item.of), min_size=low, max_size=few)
    return st.dictionaries(st.text(max_size=8), LEAVES, max_size=3)


def maps(fields: tuple[Field, ...]) -> st.SearchStrategy:
    """Maps with exactly these fields."""
    return st.fixed_dictionaries({item.name: values(item) for item in fields})


def messages(message: Message) -> st.SearchStrategy:
    """Valid messages of a kind."""
    return maps(message.fields).map(lambda fields: {"kind": message.kind, **fields})


def smallest(message: Message) -> dict:
    """The plainest valid message of a kind, without hypothesis."""
    return {"kind": message.kind, **{item.name: _smallest(item) for item in message.fields}}


def _smallest(item: Field) -> Any:
    low = item.range[0] if item.range else 0
    plain = {Type.INT: low, Type.BOOL: False, Type.CHOICE: low, Type.COUNTERS: {}, Type.TREE: {}}
    if item.type in plain:
        return plain[item.type]
    if item.type is Type.ROWS:
        return [{inner.name: _smallest(inner) for inner in item.of}] * int(low)
    return {Type.TEXT: "a" * int(low), Type.BYTES: b"a" * int(low), Type.INTS: [0] * int(low)}[
        item.type
    ]


JUNK = (
    None,
    True,
    -1,
    U64_MAX,
    1.5,
    "",
    "x" * 5000,
    b"\xff",
    [],
    [[[]]],
    {},
    {"kind": "hello"},
    [None],
)


def spoiled(message: dict, chance: random.Random) -> dict:
    """The message with one thing changed; mostly invalid, sometimes still valid."""
    result = dict(message)
    key = chance.choice(sorted(result))
    match chance.randrange(4):
        case 0:
            del result[key]
        case 1:
            result[chance.choice(("extra", "", "kind ", "sequence"))] = chance.choice(JUNK)
        case 2:
            result[key] = chance.choice(JUNK)
        case _:
            result["kind"] = chance.choice(("", "hello", "stop", "turned", "KIND", 7))
    return result
