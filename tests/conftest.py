"""What every suite shares: run folders go to a temporary place, and nothing of a machine is left
behind."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def runs_in_a_temporary_folder(tmp_path_factory):
    """`./runs` stays a user's own."""
    os.environ["STRAMASH_RUNS"] = str(tmp_path_factory.mktemp("runs"))
    yield
    del os.environ["STRAMASH_RUNS"]
