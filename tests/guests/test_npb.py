"""Do the bundled NAS Parallel Benchmarks make the official keys, and notice when they do not?"""

import pytest

from tests.guests.emulation import ISAS, PRETEND, run, spoiled

# log2 of how many keys, and of how many values a key can have
CLASSES = {"S": (16, 11), "W": (20, 16)}
ITERATIONS = 10
WORD = (1 << 64) - 1


def expected_checksum(letter):
    """The checksum of the sorted keys, from the specification alone."""
    keys_log2, values_log2 = CLASSES[letter]
    seed, keys = 314159265, []
    for _ in range(1 << keys_log2):
        total = 0
        for _ in range(4):
            seed = seed * 5**13 % 2**46
            total += seed
        keys.append(int(total / 2**46 * 2**values_log2 / 4))
    for iteration in range(1, ITERATIONS + 1):
        keys[iteration] = iteration
        keys[iteration + ITERATIONS] = 2**values_log2 - iteration
    checksum = 0xCBF29CE484222325
    for key in sorted(keys):
        checksum = (checksum ^ key) * 0x100000001B3 & WORD
    return f"{checksum:016x}"


def results(ran):
    """The table at the end: name to value."""
    pairs = (line.split("=") for line in ran.lines if line.count(" = ") == 1)
    return {name.strip(): value.strip() for name, value in pairs}


@pytest.mark.parametrize("threads", [1, 3, 6])
def test_is_with_threads_makes_the_same_of_the_same_keys(threads):
    ran = run("is_threads", "S", threads, flags=("-I", str(PRETEND), "-pthread"))
    found = results(ran)
    assert (ran.status, ran.errors) == (0, "")
    assert found["Verification"] == "SUCCESSFUL"
    assert found["Checksum"] == expected_checksum("S")
    assert found["Calls away"] == str(ITERATIONS * max(threads - 2, 0))  # two cores are at home


def test_a_reduction_is_right_on_every_team():
    flags = ("-I", str(PRETEND), "-pthread")
    ran = [run("reduce", threads, 1000, 3, flags=flags) for threads in (1, 2, 5, 6, 13)]
    assert [(r.status, r.errors) for r in ran] == [(0, "")] * 5
    assert {r.output.split("sum ")[1] for r in ran} == {f"{3 * 1000 * 999 // 2 + 6 * 1000}\n"}


@pytest.mark.parametrize("arguments", [["S", 0], ["S", 65], ["S", "x"], ["X"], ["S", 1, 1]])
def test_is_with_threads_refuses_other_arguments(arguments):
    ran = run("is_threads", *arguments, flags=("-I", str(PRETEND), "-pthread"))
    assert ran.status == 2 and "usage" in ran.errors and not ran.output


def timeless(ran):
    """The output without what a clock said."""
    return [line for line in ran.lines if not line.startswith((" Time", " Mop/s"))]


@pytest.mark.parametrize(("letter", "isa"), [("S", "x86_64"), ("S", "aarch64"), ("W", "x86_64")])
def test_is_passes_the_official_verification(letter, isa):
    ran = run("is", letter, isa=isa)
    found = results(ran)
    assert (ran.status, ran.errors) == (0, "")
    assert found["Class"] == letter and found["Size"] == str(2 ** CLASSES[letter][0])
    assert found["Verification"] == "SUCCESSFUL"
    assert found["Calls away"] == "0"
    assert found["Checksum"] == expected_checksum(letter)
    assert [int(line) for line in ran.lines if line.strip().isdigit()] == [*range(1, 11)]


@pytest.mark.needs_qemu
def test_is_prints_the_same_on_every_isa():
    first, *others = (timeless(run("is", isa=isa)) for isa in ISAS)
    assert others == [first] * len(others) and len(first) > ITERATIONS


def test_is_ranks_where_it_is_told():
    flags = ("-I", str(PRETEND))
    away = {
        arguments: results(run("is", *arguments, flags=flags))
        for arguments in [("S",), ("S", "tour"), ("S", 2), ("S", "home"), ("S", -1), ("S", 0)]
    }
    # With three nodes: on the second, the third, at home, and so on.
    assert [table["Calls away"] for table in away.values()] == ["7", "7", "10", "0", "0", "0"]
    assert len({table["Checksum"] for table in away.values()}) == 1


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("uint64_t seed = 314159265", "uint64_t seed = 314159267", "Failed partial verification"),
        ("bucketed[i];\n    for", "bucketed[i];\n    keys[7] = 0;\n    for", "out of sort: 1"),
    ],
    ids=["keys", "order"],
)
def test_is_notices_what_is_wrong(old, new, complaint, tmp_path):
    ran = run(spoiled(tmp_path, "is", old, new))
    assert ran.status == 1
    assert results(ran)["Verification"] == "UNSUCCESSFUL"
    assert complaint in ran.output


# Classes to run, iterations; the official verification values of NPB 3.3 are in the sources.
FLOATING = {
    "cg": (("S", "W"), 15),
    "mg": (("S", "W"), 4),
    "ft": (("S",), 6),
}


@pytest.mark.parametrize(
    ("guest", "letter"), [(guest, letter) for guest, row in FLOATING.items() for letter in row[0]]
)
def test_floating_point_kernels_pass_the_official_verification(guest, letter):
    ran = run(guest, letter)
    found = results(ran)
    assert (ran.status, ran.errors) == (0, "")
    assert found["Class"] == letter and found["Iterations"] == str(FLOATING[guest][1])
    assert found["Verification"] == "SUCCESSFUL"
    assert found["Calls away"] == "0"


@pytest.mark.needs_qemu
@pytest.mark.parametrize("guest", FLOATING)
def test_floating_point_kernels_give_the_same_bits_on_every_isa(guest):
    first, *others = (timeless(run(guest, isa=isa)) for isa in ISAS)
    assert others == [first] * len(others) and "Checksum" in first[-1]


@pytest.mark.parametrize("guest", FLOATING)
def test_floating_point_kernels_work_where_they_are_told(guest):
    flags = ("-I", str(PRETEND))
    home, away = (results(run(guest, "S", node, flags=flags)) for node in ("home", 2))
    assert home["Checksum"] == away["Checksum"]
    assert home["Calls away"] == "0" and int(away["Calls away"]) >= 1


@pytest.mark.parametrize("guest", ("is", *FLOATING))
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["X"], "usage"),
        (["SS"], "usage"),
        (["S", "there"], "usage"),
        (["S", "-2"], "usage"),
        (["S", "1", "1"], "usage"),
        (["S", "3"], "no node 3"),
    ],
)
def test_other_arguments_are_refused(arguments, message, guest):
    ran = run(guest, *arguments)
    assert ran.status == 2 and message in ran.errors and not ran.output
