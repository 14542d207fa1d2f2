"""Converts Gemini's contents, which have parts, to chat messages.

Gemini CLI and Qwen Code write them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_messages import (
    assistant,
    call,
    count_of,
    dict_of,
    dicts_in,
    result,
    text_of,
    usage_from,
)
from batchwrap.core.formats import chat
from batchwrap.core.limits.cost import Usage
from batchwrap.core.parse import rendered


def messages_of(content: Record) -> Iterator[tuple[chat.Message, bool]]:
    """The chat messages for a content, each with whether it is a failed result."""
    parts = dicts_in(content.get("parts"))
    text = text_in([part for part in parts if part.get("thought") is not True])
    if content.get("role") == "model":
        calls = [
            call(_id_of(one), one.get("name"), one.get("args"))
            for one in (dict_of(part, "functionCall") for part in parts)
            if one
        ]
        thoughts = text_in([part for part in parts if part.get("thought") is True])
        yield assistant(text, calls, thoughts), False
        return
    answered = [dict_of(part, "functionResponse") for part in parts]
    yield from (response_of(one) for one in answered if one)
    if text or not any(answered):
        yield {"role": "user", "content": text}, False


def response_of(response: Record) -> tuple[chat.Message, bool]:
    """The result for a function's response, and whether it failed."""
    given = dict_of(response, "response")
    output = given.get("output", given.get("error", given))
    text = output if isinstance(output, str) else rendered(output).decode()
    return result(_id_of(response), text), bool(given.get("error"))


def text_in(parts: object) -> str:
    """The text of parts, or of a content that is a text or one part."""
    if isinstance(parts, str):
        return parts
    listed = [parts] if isinstance(parts, dict) else dicts_in(parts)
    return "\n".join(filter(None, (text_of(part.get("text")) for part in listed)))


def usage_of(usage: Record) -> Usage | None:
    """The tokens of a request in Gemini's words; None if there are none."""
    prompt = count_of(usage.get("promptTokenCount"))
    output = (usage.get(f"{kind}TokenCount") for kind in ("candidates", "thoughts"))
    cached = count_of(usage.get("cachedContentTokenCount"))
    return usage_from(prompt, sum(map(count_of, output)), cached)


def _id_of(one: Record) -> Any:
    # Gemini's own API gives calls no ids. Then a response belongs to the call of its name.
    return one.get("id") or one.get("name")
