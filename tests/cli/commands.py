"""Run the command line: in this process, in one of its own, and on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from typing import Any, BinaryIO

import pytest
from typer.testing import CliRunner

from batchwrap.cli.app import app


def invoke(*arguments: str, env: dict[str, str] | None = None) -> Any:
    return CliRunner().invoke(app, arguments, env=env, prog_name="batchwrap")


def subprocess_of(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments], capture_output=True, text=True, **options
    )


def shown_on_a_terminal(*arguments: str, columns: int = 80) -> str:
    """All that a Python process writes to a terminal of a width, both streams together."""
    pty = pytest.importorskip("pty")
    here, there = pty.openpty()
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdout=there,
        stderr=there,
        env={**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "xterm"},
    ):
        os.close(there)
        with os.fdopen(here, "rb") as terminal:
            return _all_of(terminal).decode()


def _all_of(terminal: BinaryIO) -> bytes:
    """What a terminal shows until its last program is gone, which Linux tells as an error."""
    shown = b""
    with suppress(OSError):
        while part := terminal.read1():  # type: ignore[attr-defined]
            shown += part
    return shown
