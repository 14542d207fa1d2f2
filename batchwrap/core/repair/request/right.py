"""Whether a history needs mending at all: one quick look, since nearly none does.

It says no too often rather than too rarely; `history` then finds out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from batchwrap.core.formats import chat
from batchwrap.core.repair.request.profiles import MISTRAL_ID, Profile


def is_right(messages: Sequence[chat.Message], profile: Profile) -> bool:
    """Whether calls and results are paired, in order, with ids and arguments that are taken."""
    taken: set[str] = set()
    waiting: set[str] = set()
    answered = True  # whether the newest turn has any result
    for message in messages:
        role = message.get("role")
        if role == "tool":
            given = message.get("tool_call_id")
            if type(given) is not str or given not in waiting:
                return False
            content = message.get("content")
            if type(content) is not str and not is_content(content):
                return False
            waiting.discard(given)
            answered = True
            continue
        if waiting:
            return False
        if role == "assistant":
            ids = _ids(message, profile)
            if ids is None or not taken.isdisjoint(ids):
                return False
            taken.update(ids)
            waiting, answered = set(ids), not ids
    return not (waiting and answered)


def is_content(content: object) -> bool:
    """Whether a tool's result is a text, or a list of parts as the format has them."""
    return isinstance(content, str) or (
        isinstance(content, list)
        and all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content)
    )


def _ids(message: chat.Message, profile: Profile) -> list[str] | None:
    """The ids of an assistant message's calls; None if something is to be mended."""
    calls = message.get("tool_calls")
    if not calls:
        return [] if message.get("content") else None
    if type(calls) is not list or "content" not in message:
        return None
    content = message["content"]
    if (content is None and not profile.null_content) or (
        content == "" and not profile.empty_content
    ):
        return None
    if len(calls) == 1:  # as nearly all are
        only = _id(calls[0], profile)
        return None if only is None else [only]
    ids = [_id(call, profile) for call in calls]
    found = [one for one in ids if one is not None]
    return found if len(set(found)) == len(calls) else None


def _id(call: Any, profile: Profile) -> str | None:
    """The id of a call; None if something is to be mended."""
    if type(call) is not dict or type(call.get("function")) is not dict:
        return None
    given, text = call.get("id"), call["function"].get("arguments")
    if type(given) is not str or not given or type(text) is not str:
        return None
    if profile.ids == "mistral" and MISTRAL_ID.fullmatch(given) is None:
        return None
    try:
        return given if type(orjson.loads(text)) is dict else None
    except orjson.JSONDecodeError:
        return None
