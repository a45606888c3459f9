"""Do the memory system's segments, port, statistics and digest do what the other processes need?"""

import ctypes

import numpy as np
import pytest

from cosim import settings
from cosim.engine.stream import CORE_STREAM_BYTES, CoreStream, Kind, Mode, Word, record
from cosim.errors import InputError, MachineError
from cosim.shared import Segment
from memsys import port
from memsys.server import MemorySystem
from tests.coherence.machines import machine, nodes_of

NODES = nodes_of(1, 1)
PORT = ctypes.CFUNCTYPE(*[ctypes.c_uint64] * 5)


@pytest.fixture
def system():
    found = MemorySystem(settings.resolve({}, NODES), NODES)
    yield found
    found.close()


def write(system, core, count, kind=Kind.STORE):
    """Put records into a core's ring; number of the last."""
    header, ring = system.streams[core].header, system.streams[core].ring
    first = int(header[Word.HEAD])
    for number in range(first, first + count):
        ring[number % len(ring)] = record(kind, Mode.USER, 8, number * 24)
    return first + count


def test_records_are_consumed_here_and_through_the_port_alike(system):
    other = MemorySystem(settings.resolve({}, NODES), NODES)
    for _ in range(30):
        system.streams[1].header[Word.HEAD] = write(system, 1, 2000)
        other.streams[1].header[Word.HEAD] = head = write(other, 1, 2000)
        assert system.consume() == 2000
        arrays = [Segment.attach(other.paths[name]).array for name in ("hierarchy", "stream")]
        address, argument, keep = port.attach(*arrays)
        assert PORT(address)(argument, 1, head, 0) == system.streams[1].header[Word.CYCLES]
        assert keep
    assert other.consume() == 0
    assert other.pending() == {"x86.core0": 0, "arm.core0": 0}
    assert (system.state.counters == other.state.counters).all()
    assert system.digest() == other.digest()
    other.close()


def test_statistics_have_the_fixed_names(system):
    system.streams[0].header[Word.HEAD] = write(system, 0, 100, Kind.FETCH)
    system.streams[0].header[Word.FETCHES_USER] = 500
    system.consume()
    found = system.statistics()
    for node in ("x86", "arm"):
        for name in ("data_references_user", "data_references_kernel", "l1d.splits"):
            assert f"{node}.core0.{name}" in found
        for level in ("l1i", "l1d", "l2"):
            for outcome in ("accesses", "hits", "misses"):
                assert f"{node}.core0.{level}.{outcome}" in found
        for name in ("l3.accesses", "l3.hits", "l3.misses", "memory.local", "memory.remote",
                     "snoops.data.sent", "snoops.invalidate.received", "write_backs.remote",
                     "snoops.back_invalidate.sent", "l3_transfers", "devices.local"):  # fmt: skip
            assert f"{node}.{name}" in found
    assert found["x86.core0.l1i.accesses"] == 500
    assert found["x86.core0.l1i.hits"] == 500 - found["x86.core0.l1i.misses"]
    assert found["x86.core0.l1i.misses"] == 38  # 100 fetches 24 bytes apart


def test_one_l3_of_all_nodes_is_the_machines():
    found = MemorySystem(settings.resolve({"memory.model": "fully-shared"}, NODES), NODES)
    names = found.statistics()
    assert "machine.l3.hits" in names and "x86.l3.hits" not in names
    found.close()


def test_what_is_collected_settles_everything(system):
    system.streams[0].header[Word.HEAD] = write(system, 0, 5000)
    system.streams[0].header[Word.FETCHES_USER] = 5000
    answer = system.collected()
    assert answer["reports"]["violations"] == []
    assert answer["statistics"]["x86.core0.data_references_user"] == 5000
    system.state.counters[0, 0] += 1
    assert len(system.collected()["reports"]["violations"]) == 1


def test_the_digest_is_of_content_and_counters(system):
    memory = system.segments["physical"].array
    empty = system.digest()
    memory[6 << 30] = 0  # written, but zero
    assert system.digest() == empty
    memory[6 << 30] = 1
    there = system.digest()
    memory[6 << 30], memory[5 << 30] = 0, 1
    elsewhere = system.digest()
    memory[5 << 30] = 0
    assert len({empty, there, elsewhere}) == 3
    assert system.digest() == empty
    system.state.counters[0, 0] += 1
    assert system.digest() != empty


def test_a_segment_without_a_hierarchy_is_refused():
    with pytest.raises(MachineError, match="holds no hierarchy"):
        port.attach(np.zeros(4096, np.uint8), np.zeros(CORE_STREAM_BYTES, np.uint8))


def test_streams_do_not_share_words(system):
    stream = system.segments["stream"].array
    first, second = CoreStream(stream, 0), CoreStream(stream, 1)
    assert second.header_address - first.header_address == CORE_STREAM_BYTES


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"cache__l2__size": 3 << 20}, "which is not a power of two"),
        ({"cache__x86__l3__ways": 7}, r"cache.x86.l3.* which is not a power of two"),
    ],
)
def test_geometry_that_cannot_be_is_one_line(overrides, message):
    with pytest.raises(InputError, match=message):
        machine(1, 1, **overrides)


def test_variants_are_fed_what_the_machine_is():
    other = settings.resolve({"cache.l2.size": "64KiB", "memory.model": "separated"}, NODES)
    nodes = [{**node, "frequency_hz": 10**9} for node in NODES]
    alone = MemorySystem(other, nodes)
    fed = MemorySystem(settings.resolve({}, NODES), nodes, [other, other])
    for system in (alone, fed):
        for _ in range(20):
            system.streams[1].header[Word.HEAD] = write(system, 1, 3000)
            assert system.consume() == 3000
        arrays = [system.segments[name].array for name in system.paths if name != "physical"]
        arrays.sort(key=lambda array: array is not system.segments["hierarchy"].array)
        address, argument, keep = port.attach(*arrays)
        PORT(address)(argument, 1, write(system, 1, 700), 0)
        assert keep
    reports = fed.collected()["reports"]
    expected = alone.collected()
    assert len(reports["also"]) == 2
    for report in reports["also"]:
        assert report["violations"] == []
        assert report["digest"] == expected["reports"]["digest"] != reports["digest"]
        for name, value in expected["statistics"].items():
            assert report["statistics"][name] == value
    fed.streams[0].header[Word.HEAD] = write(fed, 0, 10)
    with pytest.raises(InputError, match=r"x86.core0 and arm.core0 did something"):
        fed.collected()
    alone.close()
    fed.close()
