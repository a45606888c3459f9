"""Does an interrupt of any instruction set arrive as the same function in any other, at the right
time?
"""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isa_arm.interrupts as arm
import isa_riscv.interrupts as riscv
import isa_x86.interrupts as x86
from cosim.broker import Broker, Function, latencies
from cosim.errors import InputError, ProtocolError

TABLES = {"x86": x86, "arm": arm}
NODES = {0: "x86", 1: "x86", 2: "arm", 3: "arm", 40: "arm"}
LATENCY_PS = {
    ("x86", "x86"): 1000,
    ("x86", "arm"): 2000,
    ("arm", "x86"): 3000,
    ("arm", "arm"): 4000,
}


def row(source, target, function, **more):
    native = TABLES[NODES[source]].encode_send(target, function)
    return {"target_core": target, "native": native, "function": int(function), "sent_ps": 100,
            "payload": 7, "acknowledge": False, **more}  # fmt: skip


@pytest.mark.parametrize("function", Function)
@pytest.mark.parametrize(("source", "target"), list(itertools.product(NODES, NODES)))
def test_every_function_between_every_pair(source, target, function):
    broker = Broker(NODES, TABLES, LATENCY_PS, network_ps=37_500)
    broker.check_send(source, row(source, target, function))
    interrupt = broker.send(source, row(source, target, function))
    assert TABLES[NODES[target]].decode_receive(interrupt.native) == function == interrupt.function
    latency_ps = LATENCY_PS[NODES[source], NODES[target]]
    assert interrupt.at_ps == 100 + (37_500 if function == Function.NETWORK else latency_ps)
    assert (interrupt.source_core, interrupt.target_core, interrupt.payload) == (source, target, 7)


def test_the_words_are_the_manuals():
    # Independent of the tables: written out from the manuals' bit positions.
    assert x86.encode_send(5, Function.RESCHEDULE) == 5 << 32 | 1 << 14 | 0xFD
    assert x86.encode_receive(Function.CALL_FUNCTION) == 0xFC
    assert arm.encode_send(2, Function.MESSAGE) == 2 << 24 | 1 << 2
    assert arm.encode_send(16 + 3, Function.MIGRATE) == 3 << 24 | 1 << 16 | 1 << 3
    assert (
        arm.encode_send(0x123456, Function.RESCHEDULE) == 1 << 48 | 0x23 << 32 | 0x45 << 16 | 1 << 6
    )
    assert riscv.encode_send(7, Function.CALL_FUNCTION) == 7 << 32 | 1 << 31 | 1 << 1
    assert riscv.encode_receive(Function.MESSAGE) == 1 << 8
    assert len(set(x86.VECTORS)) == len(set(arm.INTIDS)) == len(set(riscv.BITS)) == len(Function)
    assert all(32 <= vector < 256 for vector in x86.VECTORS) and all(
        0 <= i < 16 for i in arm.INTIDS
    )


@pytest.mark.parametrize("isa", [x86, arm, riscv])
def test_every_core_number_returns(isa):
    for core in (0, 1, 15, 16, 17, 63, 255, 256, 4096, 65535):
        for function in Function:
            assert isa.decode_send(isa.encode_send(core, function)) == (core, function)


@pytest.mark.parametrize("isa", [x86, arm, riscv])
@settings(max_examples=300, deadline=None, database=None)
@given(word=st.integers(0, 2**64 - 1))
def test_any_word_is_decoded_exactly_or_refused(isa, word):
    try:
        core, function = isa.decode_send(word)
    except ProtocolError:
        return
    assert isa.encode_send(core, function) == word


@pytest.mark.parametrize(("isa", "good", "bits"), [
    # NMI-like modes, logical, level, shorthand
    (x86, x86.encode_send(1, 0), (8, 11, 12, 14, 15, 18, 20)),
    # two targets, unknown INTID, broadcast, ranges
    (arm, arm.encode_send(1, 0), (0, 27, 28, 40, 44, 56)),
    # no bit, two bits, an unknown one too, not set
    (riscv, riscv.encode_send(1, 0), (0, 1, 5, 30, 31)),
])  # fmt: skip
def test_other_uses_of_the_registers_are_refused(isa, good, bits):
    for bit in bits:
        with pytest.raises(ProtocolError):
            isa.decode_send(good ^ 1 << bit)


def test_unknown_arrivals_are_refused():
    with pytest.raises(ProtocolError, match="vector 0x20"):
        x86.decode_receive(0x20)
    with pytest.raises(ProtocolError, match="INTID 9"):
        arm.decode_receive(9)


def test_word_and_message_must_agree():
    broker = Broker(NODES, TABLES, LATENCY_PS)
    with pytest.raises(
        ProtocolError, match="says core 2, function 0; the message says core 3, function 0"
    ):
        broker.check_send(0, row(0, 2, 0, target_core=3))
    with pytest.raises(ProtocolError, match="there is no core 9"):
        broker.check_send(0, row(0, 9, 0))


def test_an_acknowledgement_goes_back_once_to_the_sender():
    broker = Broker(NODES, TABLES, LATENCY_PS)
    interrupt = broker.send(0, row(0, 2, Function.CALL_FUNCTION, acknowledge=True))
    with pytest.raises(ProtocolError):
        broker.check_acknowledges(2, [interrupt.id])  # not delivered yet
    broker.delivered(interrupt)
    for core, numbers in ((3, [interrupt.id]), (2, [interrupt.id] * 2), (2, [99])):
        with pytest.raises(ProtocolError, match="which nobody waits for"):
            broker.check_acknowledges(core, numbers)
    broker.check_acknowledges(2, [interrupt.id])
    answer = broker.acknowledge(2, interrupt.id, 5000)
    assert (answer.function, answer.target_core, answer.payload) == (
        Function.ACKNOWLEDGE,
        0,
        interrupt.id,
    )
    assert answer.at_ps == 5000 + LATENCY_PS["arm", "x86"] and not answer.acknowledge
    assert x86.decode_receive(answer.native) == Function.ACKNOWLEDGE
    broker.delivered(answer)
    assert broker.statistics() == {"x86.ipi.sent": 1, "arm.ipi.sent": 1, "x86.ipi.received": 1,
                                   "arm.ipi.received": 1}  # fmt: skip


def test_latencies_per_pair():
    found = latencies({"ipi.latency_ns": 2000, "ipi.latency_ns.x86.arm": 500}, ["x86", "arm"])
    assert found == {("x86", "x86"): 2_000_000, ("x86", "arm"): 500_000, ("arm", "x86"): 2_000_000,
                     ("arm", "arm"): 2_000_000}  # fmt: skip
    with pytest.raises(InputError, match="no node 'ar'; did you mean 'arm'"):
        latencies({"ipi.latency_ns": 2000, "ipi.latency_ns.x86.ar": 500}, ["x86", "arm"])
    with pytest.raises(InputError, match="0 ns, allowed from 1"):
        latencies({"ipi.latency_ns": 0}, ["x86"])
