"""The plot of the demo: its lines, and that a picture comes out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from batchwrap.demo import plot
from batchwrap.demo.book import TokensSpent
from batchwrap.demo.demo_report import DemoResult
from batchwrap.demo.run import RealEndpoint
from tests.demo.results import arm, real, result

SPENT = [TokensSpent(1.0, 10), TokensSpent(2.0, 5), TokensSpent(70.0, 1)]


def test_tokens_so_far() -> None:
    """The line starts at nothing, rises with each answer, and goes on to the arm's end."""
    assert plot.total(SPENT, 80.0) == ([0.0, 1.0, 2.0, 70.0, 80.0], [0, 10, 15, 16, 16])


def test_tokens_of_the_last_minute() -> None:
    """What was used counts for 60 s."""
    assert plot.trailing(SPENT, 80.0) == (
        [0.0, 1.0, 2.0, 61.0, 62.0, 70.0, 80.0],
        [0, 10, 15, 5, 0, 1, 1],
    )


@pytest.mark.parametrize(
    "it",
    [
        result(),
        result(bare=arm("bare", {"spent": (), "refused_at_s": ()}, wall_s=0.0)),
        real(),
        result(
            endpoint=RealEndpoint(base_url="", model="m", api_key="", limits="cerebras/code-max")
        ),
    ],
    ids=["lab", "nothing", "auto", "preset"],
)
def test_a_picture_is_written(it: DemoResult, tmp_path: Path) -> None:
    """The file is a PNG whatever its name, also of arms that failed, with limits known or not."""
    plot.save(it, tmp_path / "tokens")
    assert (tmp_path / "tokens").read_bytes().startswith(b"\x89PNG")


def test_without_the_extra() -> None:
    """Where matplotlib is missing the error names the extra."""
    code = """
import sys
sys.modules["matplotlib"] = None
from batchwrap.demo import plot
try:
    plot.new_figure()
except ImportError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install "batchwrap[plot]"' in ran.stdout
