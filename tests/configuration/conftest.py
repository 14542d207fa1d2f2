"""A working folder without a file above it that is found, and no variables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a test; what is found is `batchwrap.toml` in it."""
    for name in [it for it in os.environ if it.startswith("BATCHWRAP_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path
