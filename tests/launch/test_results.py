"""Does a run folder hold what the run was and what came out, and does the digest see every part of
it?"""

import json
import os
import re

import pytest

from cosim.errors import InputError
from launch import results
from tests.launch import runs

NODES = ("x86", "arm")


def digest(**changes):
    return results.complete(runs.outcome(**changes), NODES)["machine.digest"]


def test_a_folder_is_read_back_as_it_was_written(tmp_path):
    run = runs.write(tmp_path)
    assert run.nodes == ["x86", "arm"]
    assert run.statistics["x86.core0.instructions_user"] == 1_000_000
    assert run.console() == run.console("x86") == b"hello\n"
    assert run.console("arm") == b""
    assert run.manifest["ended"]["laws"]["held"]
    assert run.manifest["settings"]["memory.model"] == "shared"
    assert run.manifest["versions"]["unicorn"]
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_derived_numbers():
    complete = results.complete(runs.outcome(), NODES)
    assert complete["machine.runtime_cycles"] == 2_100_000 + 400
    assert complete["machine.virtual_time_ns"] == 1_000_000
    assert complete["host.mips"] == pytest.approx((1_050_000 + 20) / 0.5 / 1e6, abs=1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_digest": "00fe"},
        {"registers": {"x86": [1, 2, 1 << 127], "arm": [4]}},
        {"registers": {"x86": [1, 2, 1 << 127, 3], "arm": []}},
        {"statistics": {**runs.STATISTICS, "x86.memory.local": 4_001}},
        {"statistics": {**runs.STATISTICS, "x86.new": 0}},
        {"consoles": {"x86": b"hell\n", "arm": b"o"}},
        {"transcript": b"Hello\n"},
        {"virtual_time_ps": 1_000_001_000},
    ],
)
def test_the_digest_sees_every_simulated_part(changes):
    assert digest(**changes) != digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"host_seconds": 9.0},
        {"statistics": dict(reversed(runs.STATISTICS.items()))},
        {"registers": {"arm": [3], "x86": [1, 2, 1 << 127]}},
    ],
)
def test_the_digest_sees_nothing_else(changes):
    assert digest(**changes) == digest()


def test_the_text_has_a_line_for_each_statistic_with_unit_and_meaning(tmp_path):
    run = runs.write(tmp_path)
    lines = (tmp_path / "stats.txt").read_text().splitlines()
    assert len(lines) == len(run.statistics)
    for line, (name, value) in zip(lines, run.statistics.items(), strict=True):
        match = re.fullmatch(r"(\S+) +(\S+)(  # .+)?", line)
        assert match and (match[1], match[2]) == (name, str(value))
        assert match[3], f"{name} has no meaning"


def test_the_artifact_layout(tmp_path):
    runs.write(tmp_path)
    blocks = (tmp_path / "artifact.txt").read_text().split("\n\n")
    assert [block.splitlines()[0] for block in blocks[:2]] == ["x86:", "Arm:"]
    numbers = dict(line.split(": ") for line in blocks[0].splitlines()[1:])
    assert numbers["L1 Cache Hit Rate"] == "97.80%"
    assert numbers["L2 Cache Hits"] == "4500"
    assert numbers["Remote Memory Hits"] == "500"
    assert numbers["DEBUG broadcast"] == "5"
    assert numbers["Number of Instructions"] == "1050000"
    assert numbers["Runtime"] == "2100000"
    assert blocks[2].strip() == "Final Runtime: 2100400"


def test_fault_reports_have_a_file_of_their_own(tmp_path):
    runs.write(tmp_path)
    assert not (tmp_path / "faults.txt").exists()
    runs.write(tmp_path, programs=[{**runs.PROGRAM, "signal": 11, "report": "SIGSEGV at main"}])
    assert "SIGSEGV at main" in (tmp_path / "faults.txt").read_text()


def test_the_configuration_digest_ignores_places_and_sees_settings():
    rows = [{"name": "hello", "path": "/a", "digest": "d"}]
    moved = [{"name": "hello", "path": "/b", "digest": "d"}]
    plain = results.configuration_digest(runs.configuration(), rows)
    assert plain == results.configuration_digest(runs.configuration(), moved)
    other = runs.configuration(**{"cache.l2.ways": 8})
    assert plain != results.configuration_digest(other, rows)


def test_a_file_that_cannot_be_written_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        results.put(tmp_path / "no" / "file", b"")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "manifest.json").unlink(), "it has no manifest.json"),
        (lambda path: (path / "stats.json").unlink(), "it has no stats.json"),
        (lambda path: (path / "stats.json").write_text("{"), "cannot be read"),
        (lambda path: (path / "manifest.json").write_text(json.dumps({"format": 99})), "format 99"),
    ],
)
def test_a_spoilt_folder_is_refused_in_one_line(tmp_path, spoil, message):
    runs.write(tmp_path)
    spoil(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        results.RunFolder.read(tmp_path)
    assert "\n" not in str(caught.value)
