"""Are settings parsed, resolved and checked as the table says, and refused in one helpful line?"""

import pytest

from cosim import settings
from cosim.errors import InputError
from cosim.settings_table import TABLE

PAIR = [{"name": "x86", "isa": "x86_64"}, {"name": "arm", "isa": "aarch64"}]
KIB, MIB = 1 << 10, 1 << 20


def resolve(nodes=PAIR, **overrides):
    return settings.resolve({name.replace("__", "."): v for name, v in overrides.items()}, nodes)


def test_every_name_has_a_value_of_a_plain_type():
    values = resolve()
    assert list(values) == list(settings.names(["x86", "arm"]))
    assert all(type(value) in (int, str, bool) for value in values.values())
    assert len(values) > len(TABLE)


@pytest.mark.parametrize(
    ("preset", "x86", "arm", "riscv"),
    [
        ("paper", (4, 14, 50, 300, 640), (4, 9, 30, 300, 620), (3, 13, 38, 300, 620)),
        ("paper-small", (4, 12, 38, 300, 640), (4, 9, 38, 300, 780), (3, 13, 38, 300, 780)),
        ("artifact", (4, 14, 70, 360, 660), (4, 9, 50, 360, 660), (4, 9, 50, 360, 660)),
    ],
)
def test_presets_price_every_level(preset, x86, arm, riscv):
    values = resolve([*PAIR, {"name": "riscv", "isa": "riscv64"}], memory__preset=preset)
    for node, row in (("x86", x86), ("arm", arm), ("riscv", riscv)):
        levels = ("l1", "l2", "l3", "memory", "remote")
        assert tuple(values[f"cost.{node}.{level}"] for level in levels) == row


def test_the_small_arm_has_no_l3_unless_one_is_asked_for():
    assert resolve(memory__preset="paper-small")["cache.arm.l3.size"] == 0
    given = resolve(memory__preset="paper-small", cache__l3__size="8MiB")
    assert given["cache.arm.l3.size"] == given["cache.x86.l3.size"] == 8 * MIB


def test_a_node_overrides_all_nodes_and_all_nodes_override_the_preset():
    values = resolve(cache__l2__size="2MiB", cache__arm__l2__size="512KiB")
    assert (values["cache.x86.l2.size"], values["cache.arm.l2.size"]) == (2 * MIB, 512 * KIB)


def test_the_quantum_follows_the_smallest_latency():
    values = settings.resolve({"ipi.latency_ns.arm.x86": "700"}, PAIR)
    assert values["time.quantum_ns"] == 700
    assert values["ipi.latency_ns.x86.arm"] == 2000


def test_an_instruction_set_without_a_preset_counts_as_arm():
    values = settings.resolve({}, [{"name": "riscv", "isa": "riscv64"}])
    assert values["cost.riscv.remote"] == 620


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("memory.size", "4GiB", 4 << 30),
        ("memory.size", 1 << 32, 1 << 32),
        ("cache.l1d.size", "0.0625MiB", 64 * KIB),
        ("ipi.latency_ns", "2.5us", 2500),
        ("time.x86.frequency_hz", "2.1GHz", 2_100_000_000),
        ("time.ipc", "0.5", "1/2"),
        ("time.ipc", "6/4", "3/2"),
        ("kernel.slice_ns", "1_000_000", 1_000_000),
        ("kernel.levels", "4", 4),
        ("futex.direct", "off", False),
        ("futex.direct", True, True),
        ("kernel.costs.page_fault", "0", 0),
    ],
)
def test_values_are_parsed(name, text, value):
    assert settings.resolve({name: text}, PAIR)[name] == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "memory.modle",
            "shared",
            "no setting is called '.*'; did you mean 'memory.model'",
        ),
        ("xyzzy", "1", "`stramash config` lists them all"),
        ("cost.amr.l1", "4", "did you mean 'cost.arm.l1'"),
        (
            "memory.model",
            "share",
            "allowed are separated, shared, .*; did you mean 'shared'",
        ),
        ("cache.l1d.size", "32KB", "unknown unit 'KB', allowed are B, KiB"),
        ("cache.l1d.size", "big", "not a number of unit byte"),
        (
            "cache.l1d.size",
            "48KiB",
            r"49152 bytes / \(8 ways x 64 bytes\) = 96 sets, .* two",
        ),
        ("cache.l1d.size", "-4", "not a number"),
        ("cache.l1d.ways", "0", "from 1 up"),
        ("cache.arm.l2.ways", "3", "cache.arm.l2: .* not a power of two"),
        ("cache.snoop_filter.entries", "100", "snoop_filter: 100 entries / 16 ways"),
        ("cache.line", "128", "allowed are 64"),
        ("time.quantum_ns", "3us", "longer than the IPI latency from x86 to x86"),
        ("time.ipc", "0", "positive ratio"),
        ("time.ipc", "1/0", "positive ratio"),
        ("futex.direct", "maybe", "a flag is true or false"),
        ("memory.size", True, "not a number"),
        ("memory.size", "3000001", "whole number|not a multiple of a page"),
        ("memory.message_area", "5GiB", "more than half of"),
        ("kernel.costs.page_fualt", "1", "did you mean 'kernel.costs.page_fault'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(name, text, message):
    with pytest.raises(InputError, match=message) as caught:
        settings.resolve({name: text}, PAIR)
    assert "\n" not in str(caught.value)
