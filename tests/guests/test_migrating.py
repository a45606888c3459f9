"""Do the guests that check migration pass where nothing migrates, and fail where it goes wrong?"""

import pytest

from tests.guests.emulation import ISAS, PRETEND, run, spoiled

PRETENDING = ("-I", str(PRETEND))


@pytest.mark.parametrize("isa", ISAS)
def test_migrate_passes_without_another_node(isa):
    ran = run("migrate", isa=isa)
    assert ran.status == 0 and not ran.errors
    assert ran.output.count("PASS node -1: ") == 8 and "FAIL" not in ran.output


def test_migrate_visits_every_other_node():
    ran = run("migrate", flags=PRETENDING)
    assert ran.status == 0 and "FAIL" not in ran.output
    for node in (1, 2):
        assert ran.output.count(f"PASS node {node}: ") == 8


@pytest.mark.parametrize("arguments", [(), (7, 3, 20), (8, 1, 9), (0, 16, 10)])
def test_torture_computes_the_same_everywhere(arguments):
    found = [run("torture", *arguments, isa=isa) for isa in ISAS]
    found.append(run("torture", *arguments, flags=PRETENDING))
    assert {(ran.status, ran.errors) for ran in found} == {(0, "")}
    # The first line names the nodes.
    first, *others = (ran.lines[1:] for ran in found)
    assert others == [first] * len(others)
    assert first[-1] == "PASS" and len(first) == (arguments[1] if arguments else 4) + 1


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("ERRNO_LOST", "errno set by a call was lost"),
        ("RESULT_LOST", "a call did not come back"),
        ("NOT_MOVED", "a call ran on the wrong node"),
        ("NOT_BACK", "a call came back to another node"),
    ],
)
def test_torture_notices_a_migration_that_goes_wrong(fault, complaint):
    ran = run("torture", flags=(*PRETENDING, f"-DFAULT={fault}"))
    assert ran.status == 1 and ran.lines[-1] == "FAIL"
    assert complaint in ran.output


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("half_bytes(region), PROT_READ)", "0, PROT_READ)", "wrote to a protected page"),
        ("~region->seed, count)", "region->seed, count)", ", expected "),
        ("account[i].sum +=", "account[i].sum =", "accounts hold"),
        ("token.turn++", "token.value ^= 1, token.turn++", ", expected "),
    ],
    ids=["protection", "memory", "account", "token"],
)
def test_torture_notices_what_is_wrong(old, new, complaint, tmp_path):
    ran = run(spoiled(tmp_path, "torture", old, new))
    assert ran.status == 1 and ran.lines[-1] == "FAIL"
    assert complaint in ran.output


@pytest.mark.parametrize("arguments", [("x",), (1, 0), (1, 17), (1, 1, 0)])
def test_torture_refuses_other_arguments(arguments):
    ran = run("torture", *arguments)
    assert ran.status == 2 and ran.errors.startswith("usage: torture") and not ran.output
