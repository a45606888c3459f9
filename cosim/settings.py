"""Settings: from what a user writes to values that fit together.  The table is in
cosim/settings_table.py.

`resolve` makes of defaults, preset and overrides one flat dictionary in which every name has a
value: plain integers, booleans and strings, so that it can be sent and stored.

Precedence, weakest first: the default of the row, the preset, the value for all nodes, the value
for one node.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import cosim.isa
from cosim.errors import InputError, suggest
from cosim.kernel.costs import COSTS
from cosim.presets import DEFAULT_PRESET, Processor
from cosim.settings_table import TABLE, Setting, Value
from cosim.units import LINE_BYTES, PAGE_BYTES, GiB, KiB, MiB

LEVELS = ("l1i", "l1d", "l2", "l3")
PRESET_COSTS = ("l1", "l2", "l3", "memory", "remote")


SUFFIXES = {
    "byte": {"": 1, "B": 1, "KiB": KiB, "MiB": MiB, "GiB": GiB, "TiB": GiB * KiB},
    "ns": {"": 1, "ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9},
    "Hz": {"": 1, "Hz": 1, "kHz": 10**3, "MHz": 10**6, "GHz": 10**9},
}
FLAGS = {"true": True, "yes": True, "on": True, "1": True}
FLAGS |= {"false": False, "no": False, "off": False, "0": False}
NUMBER = re.compile(r"^([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-z]*)$")
INTEGER_MAX = (1 << 62) - 1  # leaves room for sums in signed 64 bits


def names(nodes: Sequence[str]) -> dict[str, Setting]:
    """Every setting of a machine with these node names, by its full name, in the order of the
    table."""
    found: dict[str, Setting] = {}
    for row in TABLE:
        for concrete in _concrete(row.name, nodes):
            cost = COSTS.get(concrete.removeprefix("kernel.costs."))
            found[concrete] = row if cost is None else row._replace(meaning=cost.meaning)
    return found


def _concrete(name: str, nodes: Sequence[str]) -> list[str]:
    if "<node>" in name:
        return [name.replace("<node>", node) for node in nodes]
    if "<source>" in name:
        pairs = [(source, target) for source in nodes for target in nodes]
        return [name.replace("<source>", s).replace("<target>", t) for s, t in pairs]
    if "<primitive>" in name:
        return [name.replace("<primitive>", primitive) for primitive in COSTS]
    return [name]


def parse(name: str, row: Setting, given: object) -> Value:
    """The value of setting `name` from what a user gave: text, or an integer or boolean from Python
    or TOML.

    Raises InputError, one line, saying what is allowed.
    """
    if row.kind == "flag":
        return _flag(name, given)
    if row.kind == "choice":
        return _choice(name, row, given)
    if row.kind == "rational":
        return _rational(name, given)
    return _integer(name, row, given)


def _flag(name: str, given: object) -> bool:
    value = FLAGS.get(str(given).lower())
    if value is None:
        raise InputError(f"{name}={given}: a flag is true or false")
    return value


def _choice(name: str, row: Setting, given: object) -> Value:
    for choice in row.choices:
        if str(given) == str(choice):
            return choice
    allowed = ", ".join(str(choice) for choice in row.choices)
    hint = suggest(str(given), [str(choice) for choice in row.choices])
    raise InputError(f"{name}={given}: allowed are {allowed}{hint}")


def _rational(name: str, given: object) -> str:
    try:
        value = Fraction(str(given).replace(" ", ""))
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if value <= 0 or max(value.numerator, value.denominator) > 1_000_000:
        raise InputError(
            f"{name}={given}: write a positive ratio of small integers, as 1, 3/2 or 0.5"
        )
    return str(value)


def _integer(name: str, row: Setting, given: object) -> int:
    suffixes = SUFFIXES.get(row.unit, {"": 1})
    match = NUMBER.match(str(given).strip())
    if isinstance(given, bool) or match is None:
        example = f"{row.default or 1}"
        kinds = ", ".join(suffix for suffix in suffixes if suffix)
        raise InputError(
            f"{name}={given}: not a number of unit {row.unit} (for example {example})"
            + (f"; units: {kinds}" if kinds else "")
        )
    digits, suffix = match.groups()
    if suffix not in suffixes:
        kinds = ", ".join(known for known in suffixes if known) or "none"
        raise InputError(f"{name}={given}: unknown unit {suffix!r}, allowed are {kinds}")
    exact = Fraction(digits.replace("_", "")) * suffixes[suffix]
    if exact.denominator != 1 or not row.least <= exact <= INTEGER_MAX:
        raise InputError(
            f"{name}={given}: must be a whole number of {row.unit} from {row.least} up"
        )
    return int(exact)


def resolve(
    overrides: Mapping[str, object], nodes: Sequence[Mapping[str, object]]
) -> dict[str, Value]:
    """Every setting with its value, flat and sorted as the table is.

    overrides: full name to value (text, int or bool).  nodes: {"name", "isa", ...} in machine
    order. Raises InputError for an unknown name, a bad value or values that do not fit together.
    """
    node_names = [str(node["name"]) for node in nodes]
    known = names(node_names)
    given: dict[str, Value] = {}
    for name, value in overrides.items():
        if name not in known:
            raise InputError(_unknown(name, known))
        given[name] = parse(name, known[name], value)
    preset = str(given.get("memory.preset", DEFAULT_PRESET))
    values: dict[str, Value] = {}
    for name, row in known.items():
        if name in given:
            values[name] = given[name]
        elif row.default is not None:
            values[name] = row.default
    for node in nodes:
        _resolve_node(values, given, str(node["name"]), str(node["isa"]), preset)
    _resolve_time(values, node_names)
    for primitive, cost in COSTS.items():
        values.setdefault(f"kernel.costs.{primitive}", cost.instructions)
    check(values, node_names)
    return {name: values[name] for name in known}


def _unknown(name: str, known: Iterable[str]) -> str:
    hint = suggest(name, known)
    return f"no setting is called {name!r}{hint or '; `stramash config` lists them all'}"


def _processor(isa: str, preset: str) -> Processor:
    """The ISA's processor under a preset; the default preset's, where it has none of its own."""
    rows = {row.preset: row for row in cosim.isa.find(isa).processors.PROCESSORS}
    return rows.get(preset) or rows[DEFAULT_PRESET]


def _resolve_node(
    values: dict[str, Value], given: Mapping[str, Value], node: str, isa: str, preset: str
) -> None:
    """Fill in what is still open for one node: preset numbers, then the values for all nodes."""
    numbers = _processor(isa, preset)
    for cost in PRESET_COSTS:
        values.setdefault(f"cost.{node}.{cost}", getattr(numbers, cost))
    values.setdefault(f"cost.{node}.l3_transfer", values[f"cost.{node}.l3"])
    values.setdefault(f"time.{node}.frequency_hz", numbers.frequency_hz)
    if "cache.l3.size" not in given:
        values.setdefault(f"cache.{node}.l3.size", numbers.l3_size_bytes)
    for level in LEVELS:
        for dimension in ("size", "ways"):
            values.setdefault(
                f"cache.{node}.{level}.{dimension}", values[f"cache.{level}.{dimension}"]
            )


def _resolve_time(values: dict[str, Value], nodes: Sequence[str]) -> None:
    """Latencies of every pair of nodes, and the quantum that they allow."""
    pairs = [f"ipi.latency_ns.{source}.{target}" for source in nodes for target in nodes]
    for pair in pairs:
        values.setdefault(pair, values["ipi.latency_ns"])
    values.setdefault("time.quantum_ns", min(int(values[pair]) for pair in pairs))


def check(values: Mapping[str, Value], nodes: Sequence[str]) -> None:
    """Raise InputError when values that are each allowed do not fit together."""
    for level in LEVELS:
        _check_geometry(values, f"cache.{level}")
        for node in nodes:
            _check_geometry(values, f"cache.{node}.{level}")
    _check_snoop_filter(values)
    for source in nodes:
        for target in nodes:
            latency = int(values[f"ipi.latency_ns.{source}.{target}"])
            if int(values["time.quantum_ns"]) > latency:
                raise InputError(
                    f"time.quantum_ns={values['time.quantum_ns']} is longer than the IPI latency"
                    f" from {source}"
                    f" to {target} ({latency} ns): an interrupt would be late; lower the quantum"
                )
    for name in ("memory.size", "memory.message_area", "memory.shared_window", "memory.block"):
        if int(values[name]) % PAGE_BYTES:
            raise InputError(
                f"{name}={values[name]} is not a multiple of a page ({PAGE_BYTES} bytes)"
            )
    used = int(values["memory.message_area"]) + int(values["memory.shared_window"])
    if used * 2 > int(values["memory.size"]):
        raise InputError(
            f"memory.message_area + memory.shared_window = {used} bytes take more than half of"
            f" memory.size={values['memory.size']}"
        )


def _check_geometry(values: Mapping[str, Value], cache: str) -> None:
    size, ways = int(values[f"{cache}.size"]), int(values[f"{cache}.ways"])
    if size == 0:
        return
    sets, rest = divmod(size, ways * LINE_BYTES)
    if rest or sets & (sets - 1) or sets == 0:
        found = f"{size / (ways * LINE_BYTES):g}"
        raise InputError(
            f"{cache}: {size} bytes / ({ways} ways x {LINE_BYTES} bytes) = {found} sets,"
            " which is not a power of two"
        )


def _check_snoop_filter(values: Mapping[str, Value]) -> None:
    entries, ways = (int(values[f"cache.snoop_filter.{name}"]) for name in ("entries", "ways"))
    sets, rest = divmod(entries, ways)
    if entries and (rest or sets & (sets - 1)):
        raise InputError(
            f"cache.snoop_filter: {entries} entries / {ways} ways = {entries / ways:g} sets,"
            " which is not a power of two"
        )
