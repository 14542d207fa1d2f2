"""The tasks: small jobs on files whose results can be checked, one module for each kind."""

from __future__ import annotations

from collections.abc import Mapping

from batchwrap.eval.task_kinds import bug, chain, constant, header, question, rename, totals
from batchwrap.eval.task_kinds.task import Kind, Task

TASKS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        question.KIND,
        rename.KIND,
        bug.KIND,
        header.KIND,
        constant.KIND,
        totals.KIND,
        chain.KIND,
    )
}

__all__ = ["TASKS", "Kind", "Task"]
