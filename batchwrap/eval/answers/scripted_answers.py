"""The lab's model for these situations: a script that knows which calls are wanted in each."""

from __future__ import annotations

from typing import Any

from batchwrap.eval.answers.situations import BUILD, EDIT, SERVICES
from batchwrap.lab import Call, FileReader, Habit
from batchwrap.lab.transcript import calls_of, current_prompt


def answerer(habit: Habit) -> FileReader:
    """A scripted model that makes the wanted calls, and batches them by this habit."""
    return FileReader(_job, habit=habit)


def _job(files: dict[str, str], request: dict[str, Any]) -> list[Call]:
    """The edits of a plan, or the reads of files that the result of a list names."""
    messages = request["messages"]
    if BUILD in current_prompt(messages):
        return [Call("edit_file", {"path": path, **EDIT}) for path in files]
    lists = (call.result for call in calls_of(messages) if call.name == "list_files")
    named = [path for text in lists for path in (text or "").split() if path.startswith(SERVICES)]
    return [Call("read_file", {"path": path}) for path in named]
