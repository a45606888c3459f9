"""Every test of the engine runs with every engine (an ISA without rows has only one)."""

import pytest

from tests.engine import bare


@pytest.fixture(autouse=True, params=["unicorn", "native", "checked"])
def engine(request, monkeypatch):
    """Name of the engine that machines of this test get."""
    monkeypatch.setattr(bare, "ENGINE", request.param)
    return request.param
