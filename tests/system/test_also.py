"""Are the results of memory systems that share one execution those of separate runs?  Is every run
refused whose path may depend on time?
"""

from pathlib import Path

import numpy as np
import pytest

from cosim.errors import InputError
from launch import Machine
from launch.results import RunFolder
from launch.statistics import NOT_SIMULATED

GUESTS = Path(__file__).parent / "guests"
WANDER, CLOCKS = GUESTS / "wander.c", GUESTS / "clocks.c"
# Of a manifest: how it was asked for.
NOT_COMPARED = ("also", "command")
INSTRUCTIONS = {"time.guest_clock": "instructions"}
LARGER = {"cache.l3.size": "32MiB"}


def simulated(run):
    return {k: v for k, v in run.statistics.items() if not k.startswith(NOT_SIMULATED)}


def check_equal(fed, alone):
    """Every simulated statistic, every digest, region and console of two runs."""
    assert simulated(fed) == simulated(alone)
    manifests = [
        {k: v for k, v in run.manifest.items() if k not in NOT_COMPARED} for run in (fed, alone)
    ]
    assert manifests[0] == manifests[1]
    assert fed.consoles == alone.consoles
    assert fed.digest == alone.digest


def check(program, variants, on=(), arguments=(), settings=None, **options):
    """Run once for all, and once for each; the run for all."""
    given = dict(settings or {})
    with Machine(settings=given, also=variants, **options) as machine:
        fed = machine.run(program, on, arguments)
    assert fed.exit_status == 0, fed.console
    assert len(fed.also) == len(variants)
    for own, found in zip(({}, *variants), (fed, *fed.also), strict=True):
        with Machine(settings={**given, **own}, **options) as machine:
            check_equal(found, machine.run(program, on, arguments))
    return fed


def refused(program, on=(), arguments=(), also=(LARGER,), **options):
    """What a run says that cannot be, and its folder as far as there is one."""
    with Machine(also=also, **options) as machine, pytest.raises(InputError) as caught:
        machine.run(program, on, arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- equality ---


def test_a_program_under_other_caches_models_and_costs():
    variants = [
        LARGER,
        {"memory.model": "fully-shared", "cache.l2.size": "256KiB"},
        {"memory.model": "separated", "cost.x86.memory": 777, "cache.inclusion": "nine"},
    ]
    fed = check("hello", variants, "x86")
    times = [run.statistics["machine.virtual_time_ns"] for run in (fed, *fed.also)]
    assert times[3] > times[0]
    assert "machine.l3.accesses" in fed.also[1].statistics
    assert "x86.l3.accesses" not in fed.also[1].statistics


def test_a_benchmark_with_clocks_that_count_instructions():
    fed = check("is", [{"cache.l2.size": "128KiB"}, LARGER], "x86", ["S"], INSTRUCTIONS)
    misses = [run.statistics["x86.core0.l2.misses"] for run in (fed, *fed.also)]
    assert misses[0] == misses[2] < misses[1]
    small, main = (run.manifest["regions"]["x86"][0] for run in (fed.also[0], fed))
    assert small["instructions_user"] == main["instructions_user"]
    assert small["cycles"] > main["cycles"]


@pytest.mark.parametrize(
    "on,options",
    [
        ("arm", {}),  # its console goes through the other node
        ("arm", {"settings": {"engine": "native"}}),
        ("riscv", {"machine": "trio"}),
        ("x86", {"os": "fused"}),
        ("x86", {"os": "multi-shm", "ideal_kernel": True}),
    ],
)
def test_other_nodes_engines_and_designs(on, options):
    check("hello", [{"cache.l1d.size": "8KiB"}, {"memory.model": "separated"}], on, **options)


def random_variant(random, node):
    """A memory system: geometry, protocol and costs."""

    def either(*values):
        return values[random.integers(len(values))]

    found = {
        "memory.model": either("separated", "shared", "fully-shared"),
        "cache.inclusion": either("inclusive", "nine"),
        "cache.silent_shared_eviction": either("true", "false"),
        "cache.snoop_filter.entries": either(0, 4096),
        f"cost.{node}.memory": int(random.integers(50, 900)),
        f"cost.{node}.l2": int(random.integers(5, 40)),
        f"cost.{node}.fetch_hit": int(random.integers(3)),
    }
    for level, lines in (("l1i", 64), ("l1d", 64), ("l2", 1024), ("l3", 8192)):
        ways = int(either(1, 2, 4, 8, 16))
        found[f"cache.{level}.ways"] = ways
        found[f"cache.{level}.size"] = 64 * ways * int(either(1, 2, 4)) * max(1, lines // ways // 2)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_random_memory_systems(seed):
    random = np.random.default_rng([20261126, seed])
    node = ("x86", "arm")[seed % 2]
    variants = [random_variant(random, node) for _ in range(3)]
    main = random_variant(random, node)
    fed = check(WANDER, variants, node, [seed + 1, 40], main)
    assert len({run.digest for run in (fed, *fed.also)}) == 4
    assert len(fed.also[0].manifest["regions"][node]) == 3


def test_each_folder_is_a_run_that_can_be_repeated(tmp_path):
    with Machine(also=[LARGER], out=tmp_path / "run") as machine:
        fed = machine.run("hello", "x86", stdin=b"something")
    (also,) = fed.also
    assert also.folder == tmp_path / "run" / "also-1"
    assert Machine.repeat(also.folder, out=tmp_path / "again").digest == also.digest
    assert Machine.repeat(fed.folder, out=tmp_path / "main").digest == fed.digest
    with Machine(out=tmp_path / "run") as machine:  # another run in the same place
        assert not machine.run("hello", "x86").also
    assert not also.folder.exists()


# --- refusals ---


@pytest.mark.parametrize(
    "given,words",
    [
        ({"kernel.levels": 4}, "--also kernel.levels=4: may change what programs do; allowed are"),
        ({"time.ipc": 2}, r"allowed are cache\.\*, cost\.\*, memory.model, memory.preset"),
        ({"memory.preset": "artifact"}, r"frequency_hz=\d+ \(changed by memory.preset\)"),
        ({"cache.l3.size": "3MiB"}, "3072 sets, which is not a power of two"),
        ({"cache.l4.size": "3MiB"}, "no setting is called 'cache.l4.size'"),
        ({}, "--also: no setting"),
    ],
)
def test_settings_that_cannot_differ_are_refused_at_once(given, words):
    with pytest.raises(InputError, match=words):
        Machine(also=[given])


def test_what_is_known_before_the_run_is_refused_before(tmp_path):
    out = tmp_path / "never"
    with Machine(also=[LARGER], out=out) as machine, pytest.raises(InputError, match="2 programs"):
        machine.run("hello", ("x86", "arm"))
    assert "a time limit" in refused("hello", limit="5ms", out=out)
    place = "cosim.kernel.fused.services:SERVICES"
    assert "not one of ours" in refused("hello", os=place, out=out)
    assert not out.exists()
    with pytest.raises(InputError, match="always separated"):
        Machine(os="multi-tcp", also=[{"memory.model": "shared"}])


@pytest.mark.parametrize(
    "words,program,arguments,options",
    [
        ("x86.core0: a program reads a clock", CLOCKS, [], {}),
        ("waits for a time", CLOCKS, ["sleep"], {"settings": INSTRUCTIONS}),
        ("two threads can run on one core", "threads", [2, 10], {}),
        ("sends an interrupt", "is", ["S"], {"os": "fused", "settings": INSTRUCTIONS}),
        ("sends an interrupt", "is", ["S"], {"os": "multi-shm", "settings": INSTRUCTIONS}),
        ("looks at it", "hello", [], {"os": "fused", "settings": {"message.notify": "poll"}}),
    ],
)
def test_what_only_the_run_shows_ends_it_without_results(
    words, program, arguments, options, tmp_path
):
    out = tmp_path / "run"
    assert words in refused(program, "x86", arguments, out=out, **options)
    assert RunFolder.read(out).manifest["ended"]["reason"] == "failed"
    assert not list(out.glob("also-*"))


# --- clocks that count instructions ---


def test_clocks_that_count_instructions_do_not_see_the_caches():
    def shown(clock, size):
        settings = {"time.guest_clock": clock, "cache.l2.size": size}
        with Machine(settings=settings) as machine:
            return machine.run(CLOCKS, "x86", ["sleep"]).console.splitlines()

    small, large = (shown("instructions", size) for size in ("64KiB", "1MiB"))
    assert small[:2] == large[:2]
    assert small[0] != small[1]
    small, large = (shown("cycles", size) for size in ("64KiB", "1MiB"))
    assert small[:2] != large[:2]
