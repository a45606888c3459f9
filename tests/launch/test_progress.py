"""Is progress shown when it is worth it, and never mixed with anything else?"""

import io

import pytest

from launch.progress import Display
from launch.supervisor import Progress


def state(seconds, phase="run", instructions=0):
    return Progress(
        phase=phase,
        host_seconds=seconds,
        virtual_time_ps=5_000_000_000,
        instructions=instructions,
        cycles=0,
        doing={"memsys": "compiling the kernels"},
    )


@pytest.mark.parametrize(
    ("seconds", "lines"),
    [((0.1, 1.9), 0), ((3.0, 5.0), 0), ((3.0, 11.0, 12.0), 1), ((11.0, 22.0), 2)],
)
def test_a_log_gets_a_line_every_ten_seconds(seconds, lines):
    output = io.StringIO()
    display = Display(output)
    for moment in seconds:
        display(state(moment))
    display.close()
    assert output.getvalue().count("\n") == lines


def test_a_line_has_instructions_speed_and_virtual_time():
    output = io.StringIO()
    display = Display(output)
    display(state(1.0))
    display(state(11.0, instructions=300_000_000))
    assert output.getvalue() == "300.0 M instructions · 30.0 MIPS · 5.000 ms virtual · 11 s\n"


def test_the_start_says_what_takes_its_time():
    output = io.StringIO()
    Display(output)(state(10.0, phase="start"))
    assert output.getvalue() == "start … memsys: compiling the kernels\n"


def test_quiet_is_quiet():
    output = io.StringIO()
    Display(output, quiet=True)(state(100.0))
    assert output.getvalue() == ""


def test_guest_output_passes_through():
    seen = []
    Display(io.StringIO()).around(lambda: seen.append("guest"))
    assert seen == ["guest"]
