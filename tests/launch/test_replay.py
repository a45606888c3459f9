"""Does `stramash replay` drive the memory system with a file, compare honestly, and refuse what is
no trace?"""

import json

import numpy as np
import pytest

from cosim.errors import InputError, InvariantError
from launch import cli, replay
from tests.conventions.sources import ROOT

GOLDEN = ROOT / "tests" / "golden" / "gem5"
AS_GEM5 = {
    "memory.model": "fully-shared",
    "cache.remote_load_drops_owner_l1": "true",
    "cache.silent_shared_eviction": "true",
}


@pytest.fixture
def written(tmp_path):
    """Write a trace; arrays may be left out with None."""

    def write(**arrays):
        rows = {"core": np.array([0, 1], np.uint8), "op": np.array([0, 1], np.uint8)}
        rows |= {"paddr": np.array([0, 64], np.uint64), **arrays}
        path = tmp_path / "trace.npz"
        np.savez(path, **{name: value for name, value in rows.items() if value is not None})
        return path

    return write


@pytest.mark.parametrize("name", ["pingpong2", "prodcons2"])
def test_every_access_is_served_as_gem5_says(name):
    result = replay.replay_file(GOLDEN / f"{name}.npz", AS_GEM5)
    assert result["compared"] == {"different": 0, "first": None}
    assert sum(result["served_by"].values()) == result["accesses"]
    memory = json.loads((GOLDEN / f"{name}.stats.json").read_text())["memory"]
    assert result["gem5_names"]["memory"]["reads"] == memory["reads"]


def test_the_comparison_sees_a_single_wrong_access(tmp_path):
    with np.load(GOLDEN / "pingpong2.npz") as golden:
        arrays = {name: golden[name].copy() for name in golden.files}
    arrays["served_by"][777] ^= 1
    np.savez(tmp_path / "spoilt.npz", **arrays)
    result = replay.replay_file(tmp_path / "spoilt.npz", AS_GEM5)
    assert result["compared"] == {"different": 1, "first": 777}


def test_a_remote_load_leaves_the_owners_copy_by_default():
    """What golden/gem5's last table says of this rule: pingpong2 (+3390, -3390, 0, 0)."""
    ours = {name: value for name, value in AS_GEM5.items() if "drops" not in name}
    served = replay.replay_file(GOLDEN / "pingpong2.npz", ours)["served_by"]
    gem5 = replay.replay_file(GOLDEN / "pingpong2.npz", AS_GEM5)["served_by"]
    assert (served["l1"] - gem5["l1"], served["l2"] - gem5["l2"]) == (3390, -3390)
    assert served["memory_local"] == gem5["memory_local"]


def test_nodes_alternate_between_instruction_sets():
    trace = replay.Trace(np.arange(5), np.zeros(5), np.zeros(5), None)
    nodes = [(node.name, node.isa) for node in replay.machine_for(trace, None).nodes]
    assert nodes == [
        ("x86", "x86_64"),
        ("arm", "aarch64"),
        ("x86_1", "x86_64"),
        ("arm_1", "aarch64"),
        ("x86_2", "x86_64"),
    ]


def test_settings_and_machine_are_used(written):
    path = written(paddr=np.array([0, 4 << 30], np.uint64))
    shared = replay.replay_file(path, {"memory.model": "shared"})
    separated = replay.replay_file(path, {"memory.model": "separated"})
    assert shared["served_by"]["memory_remote"] == 1
    assert shared["cycles"] == 300 + 620
    assert separated["cores"] == ["x86.core0", "arm.core0"]
    twins = replay.replay_file(path, {}, machine="twins")
    assert twins["cores"] == ["left.core0", "left.core1", "right.core0", "right.core1"]


def test_results_of_each_access_can_be_saved(written, tmp_path, capsys):
    path, out = str(written()), tmp_path / "out.npz"
    assert cli.execute(["replay", path, "--out", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["accesses"] == 2 and "compared" not in answer
    with np.load(out) as saved:
        assert saved["served_by"].tolist() == [5, 5]
        assert int(saved["cycles"].sum()) == answer["cycles"]


def test_the_table_has_a_row_for_each_cache(capsys):
    assert cli.execute(["replay", str(GOLDEN / "pingpong2.npz"), "--memory", "fully-shared"]) == 0
    out = capsys.readouterr().out
    for cache in ("x86.core0.l1d", "arm.core0.l2", "machine.l3"):
        assert cache in out
    assert "other than the trace says" in out


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"op": None}, "no array 'op'; it has core, paddr"),
        ({"op": np.array([0], np.uint8)}, "'op' has 1 rows, 'core' has 2"),
        ({"op": np.array([0, 4])}, r"'op' holds 0\.\.4, allowed are 0\.\.3"),
        ({"core": np.array([0, 64])}, r"'core' holds 0\.\.64"),
        ({"core": np.array([-1, 0])}, r"'core' holds -1\.\.0"),
        ({"paddr": np.array([0.5, 1.0])}, "1-dimensional float64, not integers"),
        ({"paddr": np.zeros((2, 1), np.uint64)}, "2-dimensional uint64"),
        ({"core": np.array([], np.uint8)}, "'core' has 0 rows"),
        ({"core": np.array(["a", "b"])}, "not integers"),
    ],
)
def test_a_malformed_trace_is_one_line(written, arrays, message):
    with pytest.raises(InputError, match=message) as caught:
        replay.read(written(**arrays))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 but no more", b"\x93NUMPY", b"text"])
def test_what_is_no_npz_is_one_line(tmp_path, content):
    path = tmp_path / "trace.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not an NPZ file"):
        replay.read(path)


def test_an_address_without_memory_is_one_line(written):
    path = written(paddr=np.array([0, 1 << 40], np.uint64))
    with pytest.raises(InputError, match="access 1 is to 0x10000000000, where this machine has no"):
        replay.replay_file(path, {})


def test_a_broken_law_is_seen(monkeypatch):
    monkeypatch.setattr(replay, "_book", lambda trace, done: None)
    with pytest.raises(InvariantError, match="do not hold: x86.core0: "):
        replay.replay_file(GOLDEN / "pingpong2.npz", AS_GEM5)


def test_a_single_array_is_no_trace(tmp_path):
    path = tmp_path / "trace.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="not an NPZ file"):
        replay.read(path)


def test_a_missing_file_and_a_small_machine_are_one_line(written, tmp_path):
    with pytest.raises(InputError, match="No such file"):
        replay.read(tmp_path / "none.npz")
    many = written(core=np.array([0, 7], np.uint8))
    with pytest.raises(InputError, match="the trace has 8 cores, machine 'pair' has 2"):
        replay.replay_file(many, {}, machine="pair")
    assert len(replay.replay_file(many, {})["cores"]) == 8
