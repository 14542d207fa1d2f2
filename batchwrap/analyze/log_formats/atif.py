"""Reads trajectories in the Agent Trajectory Interchange Format (ATIF), which Harbor writes.

A step of the agent is one answer, with its calls and their results. Steps that were copied from an
earlier trajectory are context here, and round trips there.
"""

from __future__ import annotations

from collections.abc import Iterator

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_messages import (
    Said,
    assistant,
    calls_of,
    count_of,
    dict_of,
    dicts_in,
    result,
    text_of,
    usage_from,
)
from batchwrap.core.formats import chat
from batchwrap.core.limits.cost import Usage

NAME = "ATIF"


def recognises(record: Record) -> bool:
    """Whether a record is a trajectory."""
    is_named = text_of(record.get("schema_version")).startswith("ATIF-")
    return is_named and isinstance(record.get("steps"), list)


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a trajectory."""
    for number, record in enumerate(records):
        name = text_of(record.get("trajectory_id")) or text_of(record.get("session_id"))
        session = f"{name or file}#{number}" if number or not name else name
        model = text_of(dict_of(record, "agent").get("model_name"))
        for place, step in enumerate(dicts_in(record.get("steps"))):
            yield from _said(step, place, session, model)


def _said(step: Record, place: int, session: str, model: str) -> Iterator[Said]:
    said = chat.text_of(step.get("message"))
    if step.get("source") != "agent" or step.get("is_copied_context") is True:
        role = "system" if step.get("source") == "system" else "user"
        yield Said(session=session, message={"role": role, "content": said}, source=NAME)
    else:
        made = dicts_in(step.get("tool_calls"))
        calls = calls_of(made, "tool_call_id", "function_name", "arguments")
        yield Said(
            session=session,
            message=assistant(said, calls, text_of(step.get("reasoning_content"))),
            source=NAME,
            model=text_of(step.get("model_name")) or model,
            usage=_usage(dict_of(step, "metrics")),
            answer=str(place),
        )
    for message in _results(step):
        yield Said(session=session, message=message, source=NAME)


def _results(step: Record) -> Iterator[chat.Message]:
    """The results of a step's calls. One without an id belongs to the call at its place."""
    calls = dicts_in(step.get("tool_calls"))
    ids = [one.get("tool_call_id") for one in calls]
    for place, one in enumerate(dicts_in(dict_of(step, "observation").get("results"))):
        at_its_place = ids[place] if place < len(ids) else None
        yield result(one.get("source_call_id") or at_its_place, chat.text_of(one.get("content")))


def _usage(metrics: Record) -> Usage | None:
    prompt, output = (count_of(metrics.get(f"{kind}_tokens")) for kind in ("prompt", "completion"))
    return usage_from(prompt, output, count_of(metrics.get("cached_tokens")))
