"""Does every table accept exactly its own messages?"""

import re

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cosim.protocol  # noqa: F401  (declares the protocols)
from cosim import wire
from cosim.transport import decode
from cosim.wire import ERROR, Field, Message, Protocol, Type
from tests.protocol.messages import JUNK, messages, smallest

ALL = sorted(
    (
        (protocol.name, message)
        for protocol in wire.PROTOCOLS.values()
        for message in protocol.messages.values()
    ),
    key=lambda pair: (pair[0], pair[1].kind),
)
assert len(ALL) > 30


@pytest.mark.parametrize(("protocol", "message"), ALL, ids=[f"{p}.{m.kind}" for p, m in ALL])
def test_valid_messages_survive_the_wire(protocol, message):
    @settings(max_examples=15, deadline=None, database=None)
    @given(messages(message))
    def check(one):
        assert message.invalid(one) is None
        assert decode(msgpack.packb(one)) == one

    check()


@pytest.mark.parametrize(("protocol", "message"), ALL, ids=[f"{p}.{m.kind}" for p, m in ALL])
def test_missing_unknown_and_mistyped_keys_have_a_reason(protocol, message):
    good = smallest(message)
    assert message.invalid(good) is None
    assert "unknown key" in message.invalid({**good, "surprise": 1})
    assert "unknown key" in message.invalid({**good, 5: 1})
    for item in message.fields:
        without = {key: value for key, value in good.items() if key != item.name}
        assert message.invalid(without) == f"{message.kind}.{item.name}: missing"
        refused = [junk for junk in JUNK if message.invalid({**good, item.name: junk})]
        assert len(refused) >= 8, f"{message.kind}.{item.name} accepts almost anything"
        for junk in refused:
            assert item.name in message.invalid({**good, item.name: junk})


@pytest.mark.parametrize(("kind", "low", "high", "good", "bad"), [
    (Type.INT, 0, 5, [0, 5], [-1, 6, True, False, 1.0, "1", None]),
    (Type.BOOL, 0, 0, [True, False], [0, 1, None]),
    (Type.TEXT, 1, 3, ["a", "äb"], ["", "abcd", "ää", b"a", 1, "\ud800"]),
    (Type.BYTES, 1, 2, [b"a"], [b"", b"abc", "a"]),
    (Type.INTS, 1, 2, [[0], [2**64 - 1, 1]], [[], [1, 2, 3], [-1], [2**64], [True], (1,)]),
    (Type.COUNTERS, 0, 2, [{}, {"a": -1}], [{"a": True}, {1: 1}, {"a": 1, "b": 1, "c": 1}, {
        "a": 1.0}, []]),
    (Type.TREE, 0, 3, [{}, {"a": [1, None]}, {"a": 1.5}], [[], {1: 1}, {"a": {"b": [1]}}, {
        "a": object()}]),
])  # fmt: skip
def test_each_type_has_exact_limits(kind, low, high, good, bad):
    item = Field("x", kind, "", (low, high), "")
    for value in good:
        assert item.invalid(value) is None, value
    for value in bad:
        assert item.invalid(value).startswith("x: "), value


def test_rows_say_which_row_is_wrong():
    row = (Field("n", Type.INT, "", (0, 9), ""),)
    table = Message("m", "", (Field("rows", Type.ROWS, "", (0, 3), "", row),))
    assert table.invalid({"kind": "m", "rows": [{"n": 1}]}) is None
    assert (
        table.invalid({"kind": "m", "rows": [{"n": 1}, {"n": 10}]})
        == "m.rows[1].n: 10, allowed 0..9"
    )
    assert table.invalid({"kind": "m", "rows": [{"n": 1, "o": 1}]}) == "m.rows[0].'o': unknown key"
    assert table.invalid({"kind": "m", "rows": [7]}) == "m.rows[0]: int, expected map"


@settings(max_examples=300, deadline=None, database=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=10,
))  # fmt: skip
def test_no_data_at_all_makes_a_check_raise(anything):
    for protocol in wire.PROTOCOLS.values():
        for role in protocol.roles:
            reason = protocol.invalid(anything, role)
            assert isinstance(reason, str) and reason


def test_a_role_may_send_only_its_own_messages():
    control = cosim.protocol.control.PROTOCOL
    stop = {"kind": "stop"}
    assert control.invalid(stop, "supervisor") is None
    assert control.invalid(stop, "node") == "stop: not for role 'node' to send"
    ready = {"kind": "ready", "segments": {}, "endpoints": {}, "facts": {}}
    for role in ("memsys", "timebase", "node"):
        assert control.invalid(ready, role) is None
        assert control.invalid({"kind": "error", "reason": "no"}, role) is None


def test_every_answer_belongs_to_another_role():
    for protocol in wire.PROTOCOLS.values():
        for role, sent in protocol.roles.items():
            for message in sent:
                assert not message.answer or message.answer not in protocol.sendable[role] - {
                    ERROR.kind
                }


def test_a_changed_table_changes_the_digest():
    before = wire.digest()
    assert re.fullmatch("[0-9a-f]{16}", before)
    Protocol(
        "digest-test", 1, "", {"a": (Message("m", "", (Field("n", Type.INT, "", (0, 9), ""),)),)}
    )
    changed = wire.digest()
    Protocol(
        "digest-test", 1, "", {"a": (Message("m", "", (Field("n", Type.INT, "", (0, 8), ""),)),)}
    )
    assert len({before, changed, wire.digest()}) == 3
    del wire.PROTOCOLS["digest-test"]
    assert wire.digest() == before


def test_tables_that_contradict_themselves_are_refused():
    with pytest.raises(ValueError, match="used twice"):
        Message("m", "", (Field("n", Type.BOOL, "", (), ""), Field("n", Type.BOOL, "", (), "")))
    with pytest.raises(ValueError, match="answer 'gone' is not declared"):
        Protocol("broken", 1, "", {"a": (Message("m", "", answer="gone"),)})
    assert "broken" not in wire.PROTOCOLS


def test_the_documentation_names_every_message_and_field():
    text = wire.documentation()
    for _, message in ALL:
        assert f"#### `{message.kind}`" in text
        for item in message.fields:
            assert f"`{item.name}`" in text
            for inner in item.of:
                assert f"`{item.name}[].{inner.name}`" in text
