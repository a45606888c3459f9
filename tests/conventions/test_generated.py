"""Do documents made from tables say what the tables say now?  UPDATE_GOLDEN=1 rewrites them."""

import os
from pathlib import Path

import pytest

from cosim import wire
from cosim.protocol import control, outside, telemetry, turns
from memsys import coherence

ROOT = Path(__file__).parents[2]
DOCUMENTS = {
    "memsys/COHERENCE.md": coherence.describe,
    "cosim/PROTOCOLS.md": wire.documentation,
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_generated_document_is_fresh(name):
    assert all(protocol.PROTOCOL.messages for protocol in (control, outside, telemetry, turns))
    text = DOCUMENTS[name]()
    if os.environ.get("UPDATE_GOLDEN") == "1":
        (ROOT / name).write_text(text)
    assert (ROOT / name).read_text() == text, f"{name} is stale: UPDATE_GOLDEN=1 rewrites it"
