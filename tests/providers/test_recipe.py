"""A provider is added as CONTRIBUTING tells it, in a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

import pytest

from batchwrap.providers import plan

ROOT = Path(__file__).parents[2]
FIRST_CASE = "CASES = [\n"


def recipe() -> dict[str, str]:
    """The blocks of the recipe, by their language."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = text.partition("### A provider, or a plan")[2].partition("\n### ")[0]
    blocks = re.findall(r"^ +```(\w+)\n(.*?)^ +```$", section, re.DOTALL | re.MULTILINE)
    assert [language for language, _ in blocks] == ["toml", "python"]
    return {language: dedent(block) for language, block in blocks}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its tests."""
    for name in ("batchwrap", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.sqlite"))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy2(ROOT / name, tmp_path)
    return tmp_path


def test_a_provider_is_added_as_told(copy: Path) -> None:
    """One file and one case, and no other line; then the tests of the case pass."""
    blocks = recipe()
    (copy / "batchwrap" / "providers" / "acme.toml").write_text(blocks["toml"], "utf-8")
    cases = copy / "tests" / "providers" / "cases.py"
    before = cases.read_text("utf-8")
    assert before.count(FIRST_CASE) == 1
    added = FIRST_CASE + indent(blocks["python"].rstrip(), "    ") + ",\n"
    cases.write_text(before.replace(FIRST_CASE, added), "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "tests/providers/test_providers.py"]
    command += ["-k", "acme or has_a_case", "-p", "no:cacheprovider"]
    env = {**os.environ, "PYTHONPATH": str(copy)}
    done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True)
    assert "4 passed" in done.stdout, done.stdout


def test_the_plan_of_the_recipe(tmp_path: Path) -> None:
    """Its file is taken from outside, too, and the plan is used by the file's name."""
    file = tmp_path / "acme.toml"
    file.write_text(recipe()["toml"], "utf-8")
    assert [str(limit) for limit in plan(f"{file}#pro").limits] == [
        "50 requests per 60 s",
        "1,000,000 tokens per 60 s",
    ]
