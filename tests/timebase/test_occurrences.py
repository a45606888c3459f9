"""Is the machine held when the news of an occurrence arrives, and what is done then done then?"""

from cosim.broker import Broker
from cosim.core_time import End, Halt, Turn
from cosim.timebase import TimeBase
from tests.timebase.scenarios import TABLES
from tests.timebase.test_timebase import ONE, reply


def timebase(cores=2, limit_ps=0):
    """Cores of one node that have had their first turn; core 0 goes on, the others are off."""
    broker = Broker(dict.fromkeys(range(cores), "n"), {"n": TABLES[0]}, dict(ONE))
    found = TimeBase(broker, quantum_ps=2000, limit_ps=limit_ps)
    for core in range(cores):
        found.join(core, "n", 10**12)
    found.programs_live = 1
    for core in range(cores):
        turn = found.next_turn()
        assert turn.core == core
        found.turned(reply(turn, 10, "runnable" if core == 0 else "off"))
    return found


def test_the_news_takes_an_interrupts_time():
    base = timebase()
    turn = base.next_turn()
    base.occurred(500)
    base.turned(reply(turn, 600))
    turn = base.next_turn()
    assert turn.until_ps == 2500
    base.turned(reply(turn, 2500))
    assert base.next_turn() == Halt(2500)


def test_news_of_the_last_programs_end_arrives():
    base = timebase()
    turn = base.next_turn()
    base.occurred(500)
    base.turned(reply(turn, 600, "off", ended=1))
    assert base.next_turn() == Halt(2500)
    assert base.next_turn() == End("exited", 600)


def test_a_limit_goes_before_a_later_halt():
    base = timebase(limit_ps=1000)
    turn = base.next_turn()
    base.occurred(900)
    base.turned(reply(turn, 950, "off", ended=1))
    assert base.next_turn() == End("limit", 1000)


def test_a_core_that_gets_a_program_runs_from_that_time_on():
    base = timebase()
    base.halt_ps = 5000
    base.turned(reply(base.next_turn(), 5003))
    assert base.next_turn() == Halt(5000)
    base.wake(1, 5000)
    base.halt_ps = 1 << 63
    turn = base.next_turn()
    assert isinstance(turn, Turn) and (turn.core, turn.start_ps) == (1, 5000)


def test_an_interrupt_from_outside_travels_like_any_other():
    base = timebase()
    base.halt_ps = 5000
    base.turned(reply(base.next_turn(), 5000))
    assert base.next_turn() == Halt(5000)
    base.interrupt(0, 1, 5000)
    base.halt_ps = 1 << 63
    base.turned(reply(base.next_turn(), 5000, "off"))
    turn = base.next_turn()
    assert (turn.core, turn.start_ps) == (1, 7000)
    assert [row.source_core for row in turn.interrupts] == [0]
    assert base.statistics()["n.ipi.sent"] == base.statistics()["n.ipi.received"] == 1
