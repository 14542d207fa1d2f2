"""The task to rename a function in 13 files until the project's tests pass, as in the demo."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from batchwrap.demo.project import (
    NEW_NAME,
    OLD_NAME,
    project_in,
    rename_calls,
    rename_program,
    template,
)
from batchwrap.eval.task_kinds.task import Files, Kind, Task, listing
from batchwrap.lab import Call

_OPENING = f"Please rename the function {OLD_NAME} to {NEW_NAME}"


def _make(_: Random) -> Task:
    return Task(
        prompt=project_in(Path()).prompt, files=dict(template()), check=_check, has_tests=True
    )


def _check(root: Path, _: str) -> str | None:
    return None if project_in(root).renamed() else "not renamed everywhere, or the tests fail"


def _job(files: Files, _: dict[str, Any]) -> list[Call]:
    edits = rename_calls(files, OLD_NAME, NEW_NAME)
    return [*(Call(name, arguments) for name, arguments in edits), Call("run_tests", {})]


def _program(request: dict[str, Any]) -> str:
    return listing(request) + rename_program(OLD_NAME, NEW_NAME) + 'print("It is renamed.")\n'


KIND = Kind(
    name="rename",
    about="a function renamed in 13 files, with tests",
    opening=_OPENING,
    make=_make,
    job=_job,
    program=_program,
    afterwards=(Call("run_tests", {}),),
)
