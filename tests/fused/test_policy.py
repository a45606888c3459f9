"""Can a page-fault policy be exchanged, and is the README's example right?"""

import re
import sys

import pytest

from launch import multi_isa
from tests.conventions.sources import ROOT
from tests.fused import scripts
from tests.fused.machine import Machine
from tests.fused.test_random_programs import GUEST, ISAS


@pytest.fixture
def services(tmp_path, monkeypatch):
    """SERVICES of the README's replicate.py."""
    text = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(\"\"\"replicate.py.*?)```", text, re.DOTALL)
    (tmp_path / "replicate.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    import replicate

    yield replicate.SERVICES
    del sys.modules["replicate"]


@pytest.mark.parametrize("seed", range(6))
def test_random_programs_see_no_difference(services, seed):
    models = scripts.make(300 + seed, 3, 100, 2)
    machine = Machine(ISAS, services=services)
    used = []
    for _ in range(2):
        machine.load(multi_isa.build(GUEST, ISAS), seed % 2, *[model.script for model in models])
        (ended,) = machine.run()
        assert ended["status"] == 0
        *texts, counted = machine.output.splitlines()
        assert texts == [model.text for model in models]
        assert counted == f"counted {sum(model.locks for model in models)}"
        used.append([kernel.frames.used for kernel in machine.kernels])
        machine.forget_output()
    assert used[0] == used[1], "frames were lost"
    assert sum(kernel.page_policy.counts["copied"] for kernel in machine.kernels) > 0


def test_a_design_of_the_user_runs_from_the_command_line(services, capfd):
    from launch import cli

    status = cli.execute(["run", "--quiet", "is:S", "--os", "replicate:SERVICES", "--out", "run"])
    assert status == 0
    assert "SUCCESSFUL" in capfd.readouterr().out
