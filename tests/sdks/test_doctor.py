"""`batchwrap doctor` tries the SDKs that are there."""

from __future__ import annotations

import pytest

from batchwrap.cli import checkup


@pytest.mark.parametrize("name", ["Groq", "Cerebras", "Anthropic", "OpenAI", "httpx2.Client"])
def test_tried(name: str) -> None:
    """Each is tried against the simulated provider, and works."""
    found = {one.name: one for one in checkup.adapters()}
    assert found[name].state == "ok", found[name]
