"""Reads exports of OpenCode (``opencode export``): messages with parts, calls with results.

A message may have several steps. Each step is a request of its own, with its tokens at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_messages import (
    Said,
    assistant,
    call,
    count_of,
    dict_of,
    dicts_in,
    result,
    text_of,
    usage_from,
)
from batchwrap.core.limits.cost import Usage

NAME = "OpenCode"
_Part = dict[str, Any]


def recognises(record: Record) -> bool:
    """Whether a record is an export."""
    return isinstance(record.get("info"), dict) and any(
        isinstance(message.get("info"), dict) and isinstance(message.get("parts"), list)
        for message in dicts_in(record.get("messages"))
    )


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of an export."""
    for record in records:
        session = text_of(dict_of(record, "info").get("id")) or file
        for message in dicts_in(record.get("messages")):
            yield from _said(dict_of(message, "info"), dicts_in(message.get("parts")), session)


def _said(info: _Part, parts: list[_Part], session: str) -> Iterator[Said]:
    if info.get("role") != "assistant":
        message = {"role": "user", "content": _text(parts)}
        yield Said(session=session, message=message, source=NAME)
        return
    model = "/".join(filter(None, (text_of(info.get(key)) for key in ("providerID", "modelID"))))
    steps = _steps(parts)
    for place, (step, tokens) in enumerate(steps):
        tools = [part for part in step if part.get("type") == "tool"]
        calls = [
            call(part.get("callID"), part.get("tool"), dict_of(part, "state", "input"))
            for part in tools
        ]
        # The tokens of the whole message are those of its step only if there is just one.
        only = dict_of(info, "tokens") if len(steps) == 1 else {}
        yield Said(
            session=session,
            message=assistant(_text(step), calls, _text(step, "reasoning")),
            source=NAME,
            model=model,
            usage=_usage(tokens or only),
            answer=f"{info.get('id')}/{place}",
            everywhere=True,
        )
        for part in tools:
            yield _result(part, session)


def _result(part: _Part, session: str) -> Said:
    state = dict_of(part, "state")
    failed = state.get("status") == "error"
    content = text_of(state.get("error" if failed else "output"))
    message = result(part.get("callID"), content)
    return Said(session=session, message=message, source=NAME, failed=failed)


def _steps(parts: list[_Part]) -> list[tuple[list[_Part], _Part]]:
    """The parts and the tokens of each step."""
    steps: list[tuple[list[_Part], _Part]] = []
    step: list[_Part] = []
    for part in parts:
        if part.get("type") == "step-finish":
            steps.append((step, dict_of(part, "tokens")))
            step = []
        elif part.get("type") in ("text", "reasoning", "tool"):
            step.append(part)
    return [*steps, (step, {})] if step or not steps else steps


def _text(parts: list[_Part], kind: str = "text") -> str:
    return "\n".join(text_of(part.get("text")) for part in parts if part.get("type") == kind)


def _usage(tokens: _Part) -> Usage | None:
    cached = count_of(dict_of(tokens, "cache").get("read"))
    written = count_of(dict_of(tokens, "cache").get("write"))
    prompt = count_of(tokens.get("input")) + cached + written
    output = count_of(tokens.get("output")) + count_of(tokens.get("reasoning"))
    return usage_from(prompt, output, cached)
