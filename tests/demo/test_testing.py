"""Tests that are run for an agent, in a process of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwrap.demo.project_tests import run_tests

TEST = """
import os
import unittest


class It(unittest.TestCase):
    def test_it(self) -> None:
        print(sorted(os.environ))
        self.assertEqual(1, {})
"""


def test_keys_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an agent has written never sees the keys of the environment."""
    monkeypatch.setenv("SOME_API_KEY", "secret")
    (tmp_path / "test_it.py").write_text(TEST.format(1))
    passed, printed = run_tests(tmp_path)
    assert passed
    assert "'PATH'" in printed
    assert "SOME_API_KEY" not in printed


def test_a_failure(tmp_path: Path) -> None:
    """Tests that fail have failed, and what they print is there to be read."""
    (tmp_path / "test_it.py").write_text(TEST.format(2))
    passed, printed = run_tests(tmp_path)
    assert not passed
    assert "1 != 2" in printed
