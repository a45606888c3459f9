"""Does the README's scenario do what it says?"""

import re
from pathlib import Path

from launch import cli, sweeps

ROOT = Path(__file__).parents[2]


def test_the_scenario_of_the_readme_runs_and_can_be_swept(tmp_path):
    (text,) = re.findall(
        r'^```python\n("""slower\.py.*?)^```', (ROOT / "README.md").read_text(), re.M | re.S
    )
    file = tmp_path / "slower.py"
    file.write_text(text)
    words = ["bench", str(file), "--set", "cycles=600,900", "-q", "--out", str(tmp_path / "a")]
    assert cli.execute(words) == 0
    rows = sweeps.read(tmp_path / "a").rows
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert rows[0]["elapsed_ns"] < rows[1]["elapsed_ns"]
    assert rows[0]["arm.memory.remote"] > 1000
