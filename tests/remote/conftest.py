"""The two hosts, made once."""

import pytest

from tests.remote.two_hosts import two_hosts


@pytest.fixture(scope="session")
def cabled():
    with two_hosts() as made:
        yield made


@pytest.fixture
def hosts(cabled):
    yield cabled
    cabled.mend()
