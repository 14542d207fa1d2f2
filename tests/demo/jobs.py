"""What the simulated model of the demo does."""

from __future__ import annotations

from typing import Any

from batchwrap.demo.project import NEW_NAME, OLD_NAME, rename_calls
from batchwrap.lab import Call


def job(files: dict[str, str], _: dict[str, Any]) -> list[Call]:
    edits = rename_calls(files, OLD_NAME, NEW_NAME)
    return [*(Call(name, arguments) for name, arguments in edits), Call("run_tests", {})]
