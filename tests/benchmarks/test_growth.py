"""The work of each hot path grows with its input, and not faster."""

from __future__ import annotations

import pytest

from benchmarks.growth import PATHS
from benchmarks.growth_paths import Path
from tests.work import assert_linear


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_linear(path: Path) -> None:
    """Four times the input is at most six times the calls, and six times what is allocated."""
    assert_linear(path.make, max(16, path.size // 5))
