"""The plot of the demo: its lines, and that a picture comes out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

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
    """Without the name of an SVG the file is a PNG, also of arms that failed, at any limits."""
    plot.save(it, tmp_path / "tokens")
    assert (tmp_path / "tokens").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_drawing(theme: Literal["light", "dark"], tmp_path: Path) -> None:
    """A file with the name of an SVG is one, in the colors of the theme."""
    plot.save(result(), tmp_path / "tokens.svg", theme)
    drawn = (tmp_path / "tokens.svg").read_text("utf-8")
    assert "<svg" in drawn and plot.THEMES[theme].paper in drawn


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
