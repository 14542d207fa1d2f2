"""Runs the tests of a project that an agent works in; also as a tool for that agent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_TIMEOUT_S = 60
# The model may have edited the tests. So they get only the part of this process's environment that
# Python needs to run, without any keys.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")

SCHEMA: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "run_tests",
        "description": "Run all tests of the project and return what they print.",
        "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
    },
}


def run_tests(root: Path) -> tuple[bool, str]:
    """Run the tests of a project in a process of their own.

    Args:
        root: the project's folder; `unittest` finds the tests.

    Returns:
        Whether they passed, and what they printed. Tests that have not ended after a minute
        have failed.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-B", "-m", "unittest", "discover"],
            cwd=root,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return False, str(error)
    return done.returncode == 0, done.stdout
