"""Reads trajectories of SWE-agent (``.traj``): thoughts, actions and observations.

If the model made tool calls, they are in the history. Otherwise an action is text and counts as a
shell command. batchwrap cannot batch such texts, and the report says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_messages import Said, assistant, call, dict_of, dicts_in, result, text_of

NAME = "SWE-agent"


def recognises(record: Record) -> bool:
    """Whether a record is a trajectory."""
    steps = dicts_in(record.get("trajectory"))
    return bool(steps) and "action" in steps[0] and "observation" in steps[0]


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a trajectory."""
    for record in records:
        session = text_of(record.get("instance_id")) or text_of(record.get("environment")) or file
        model = text_of(dict_of(record, "replay_config", "agent", "model").get("name"))
        history = dicts_in(record.get("history"))
        if any(message.get("tool_calls") for message in history):
            yield from _of_history(history, session, model)
        else:
            yield from _of_steps(record, history, session, model)


def _of_history(history: list[Record], session: str, model: str) -> Iterator[Said]:
    for message in history:
        ids = message.get("tool_call_ids")
        if message.get("role") == "tool" and isinstance(ids, list) and ids:
            message = result(ids[0], message.get("content"))
        yield Said(session=session, message=message, source=NAME, model=model)


def _of_steps(record: Record, history: list[Record], session: str, model: str) -> Iterator[Said]:
    for message in history:
        if message.get("role") == "assistant":
            break
        yield Said(session=session, message=message, source=NAME)
    for place, step in enumerate(dicts_in(record.get("trajectory"))):
        action, call_id = text_of(step.get("action")).strip(), f"step-{place}"
        calls = [call(call_id, "bash", {"command": action})] if action else []
        message = assistant(text_of(step.get("thought")), calls)
        yield Said(session=session, message=message, source=NAME, model=model, as_text=True)
        if calls:
            message = result(call_id, text_of(step.get("observation")))
            yield Said(session=session, message=message, source=NAME)
