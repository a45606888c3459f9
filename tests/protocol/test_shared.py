"""Is a segment shared, sparse, and gone with its processes?"""

import os
import subprocess
import sys

import pytest

from cosim.errors import MachineError
from cosim.shared import Segment

ATTACH = """
import sys
from cosim.shared import Segment
segment = Segment.attach(sys.argv[1])
segment.array[7] = segment.array[6] + 1
print(segment.name, segment.size_bytes)
"""


def test_another_process_sees_and_changes_the_bytes():
    segment = Segment.create("physical", 8 << 30)
    segment.array[6] = 41
    command = [sys.executable, "-c", ATTACH, segment.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    output = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert output.split() == ["physical", str(8 << 30)] and segment.array[7] == 42
    assert os.stat(segment.path).st_blocks * 512 <= 1 << 20
    segment.close()
    segment.close()


def test_a_mapping_outlives_its_maker_and_its_views_outlive_close():
    first = Segment.create("x", 4096)
    second = Segment.attach(first.path)
    second.array[0] = 9
    first.close()
    view = second.array
    second.close()
    assert view[0] == 9


def test_a_segment_of_a_dead_process_is_an_error_in_one_line():
    with pytest.raises(MachineError, match="the process that made it is gone"):
        Segment.attach("/proc/999999999/fd/3")
