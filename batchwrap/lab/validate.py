"""The rules of a strict provider for chat requests, with the wording of OpenAI.

Most rules are about tool calls: in a rewritten conversation each call must have a result, each
result a call, and each id must be one that the provider itself could have made.
"""

from __future__ import annotations

import re
from typing import Any

from batchwrap.lab.dialects import LabResponse, error

MAX_ID_LENGTH = 40

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_ID = re.compile(r"[A-Za-z0-9_-]+")
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _Refused(Exception):
    """Raised by a check, with the answer."""

    def __init__(self, message: str, param: str, code: str | None = None) -> None:
        super().__init__(message)
        self.answer = error(400, message, param=param, code=code)


def check(body: Any) -> LabResponse | None:
    """The 400 for a request, which names the culprit; None for a valid request."""
    try:
        _check_body(body)
        _check_tools(body.get("tools"))
        _check_messages(body["messages"])
    except _Refused as refused:
        return refused.answer
    return None


def _check_body(body: Any) -> None:
    if not isinstance(body, dict):
        raise _Refused("We could not parse the JSON body of your request.", "body")
    if not isinstance(body.get("messages"), list):
        raise _Refused("Missing required parameter: 'messages'.", "messages", "missing_required")
    if not body["messages"]:
        raise _Refused("[] is too short - 'messages'", "messages", "empty_array")
    for name in ("n", "max_tokens", "max_completion_tokens"):
        value = body.get(name)
        # Not isinstance: True is an int.
        if value is not None and (type(value) is not int or value < 1):
            raise _Refused(f"Invalid '{name}': {value!r} is no integer above 0.", name)


def _check_tools(tools: Any) -> None:
    if tools is not None and not isinstance(tools, list):
        raise _Refused("Invalid type for 'tools': expected an array.", "tools", "invalid_type")
    names: set[str] = set()
    for at, tool in enumerate(tools or ()):
        place = f"tools[{at}].function.name"
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name):
            raise _Refused(f"Invalid '{place}': {name!r} is no tool name.", place, "invalid_value")
        if name in names:
            raise _Refused(f"Invalid '{place}': {name!r} is there twice.", place, "duplicate_name")
        names.add(name)


def _check_messages(messages: list[Any]) -> None:
    """Check the conversation, with the ids of the last turn that have no result yet."""
    called: set[str] = set()  # of the last turn only: a later message cannot answer it any more
    open_ids: list[str] = []
    for at, message in enumerate(messages):
        place = f"messages[{at}]"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in _ROLES:
            raise _Refused(f"Invalid value for '{place}.role': {role!r}.", f"{place}.role")
        if role == "tool":
            call_id = message.get("tool_call_id")
            if call_id not in called:
                raise _Refused(
                    f"Invalid parameter: {place} with role 'tool' must be a response to a "
                    f"preceding message with 'tool_calls'; nothing called {call_id!r}.",
                    f"{place}.tool_call_id",
                )
            open_ids = [other for other in open_ids if other != call_id]
            continue
        # Any other message ends the turn: no call of it may be left without a result.
        _check_answered(open_ids, place)
        open_ids = _call_ids(message, place) if role == "assistant" else []
        called = set(open_ids)
    _check_answered(open_ids, "messages")


def _check_answered(open_ids: list[str], place: str) -> None:
    if open_ids:
        raise _Refused(
            "An assistant message with 'tool_calls' must be followed by tool messages "
            "responding to each 'tool_call_id'. The following tool_call_ids did not have "
            f"response messages: {', '.join(open_ids)}",
            place,
        )


def _call_ids(message: dict[str, Any], place: str) -> list[str]:
    calls = message.get("tool_calls")
    if calls is None:
        return []
    place = f"{place}.tool_calls"
    if not isinstance(calls, list) or not calls:
        raise _Refused(f"Invalid '{place}': a list of calls, not empty.", place, "empty_array")
    ids: list[str] = []
    for at, call in enumerate(calls):
        _check_call(call, f"{place}[{at}]")
        if call["id"] in ids:
            raise _Refused(
                f"Duplicate value for '{place}[{at}].id': {call['id']!r}.",
                f"{place}[{at}].id",
                "duplicate_value",
            )
        ids.append(call["id"])
    return ids


def _check_call(call: Any, place: str) -> None:
    call_id = call.get("id") if isinstance(call, dict) else None
    if not isinstance(call_id, str) or not _ID.fullmatch(call_id):
        raise _Refused(
            f"Invalid '{place}.id': {call_id!r} does not match the pattern '^[a-zA-Z0-9_-]+$'.",
            f"{place}.id",
            "invalid_value",
        )
    # Agents store derived ids and send them back, so these must fit, too.
    if len(call_id) > MAX_ID_LENGTH:
        raise _Refused(
            f"Invalid '{place}.id': string too long. Expected a string with maximum length "
            f"{MAX_ID_LENGTH}, but got {call_id!r} with length {len(call_id)} instead.",
            f"{place}.id",
            "string_above_max_length",
        )
    function = call.get("function")
    for name in ("name", "arguments"):
        if not isinstance(function, dict) or not isinstance(function.get(name), str):
            place = f"{place}.function.{name}"
            raise _Refused(f"Invalid type for '{place}': expected a string.", place, "invalid_type")
