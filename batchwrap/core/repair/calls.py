"""Repairs of tool calls and their end: small, named, counted; each has a switch.

A healthy message goes through as the same object. A new class of defect is a new function
here and a field of `Repair`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from batchwrap.core import chat
from batchwrap.core.tally import Tally
from batchwrap.options import Repair

# Nine alphanumerics: the one form of an id that every provider takes back (Mistral's rule).
_ID_LENGTH = 9


class CallRepair:
    """Repairs one choice's message, plain or streamed. Keep one for each choice."""

    def __init__(self, options: Repair, random_text: Callable[[int], str], tally: Tally) -> None:
        self._options = options
        self._random_text = random_text
        self._tally = tally
        self._arguments: dict[Any, str] = {}  # by the index that we gave
        self._ids: dict[Any, str] = {}
        self._given: dict[Any, int] = {}  # provider's index: ours, of the call it means now
        self._last: int | None = None

    def choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        """The repaired choice; the same object if it is healthy."""
        part = chat.part_of(choice)
        calls = chat.tool_calls(part)
        streamed = "delta" in choice
        repaired = [self._call(call, place, streamed) for place, call in enumerate(calls)]
        changed = any(new is not old for new, old in zip(repaired, calls, strict=True))
        if changed:
            holder = "delta" if streamed else "message"
            choice = {**choice, holder: {**part, "tool_calls": repaired}}
        has_called = bool(calls) or bool(self._arguments)
        if (
            self._options.finish_reason
            and choice.get("finish_reason") == "stop"
            and has_called
            and not chat.function_of(part)
        ):
            self._count("finish_reason")
            choice = {**choice, "finish_reason": "tool_calls"}
        return choice

    def _call(self, call: chat.ToolCall, place: int, streamed: bool) -> chat.ToolCall:
        if streamed and self._options.call_index and isinstance(call.get("index", 0), int | None):
            call = self._with_index(call)
        index = place if chat.index_of(call) is None else chat.index_of(call)
        opens = bool(chat.function_of(call).get("name"))
        if self._options.call_id and opens and not call.get("id") and index not in self._ids:
            self._count("call_id")
            call = {**call, "id": self._random_text(_ID_LENGTH)}
        if opens:
            self._ids.setdefault(index, str(call.get("id")))
        arguments = chat.function_of(call).get("arguments")
        if streamed:
            text = arguments if isinstance(arguments, str) else ""
            self._arguments[index] = self._arguments.get(index, "") + text
        return call

    def _with_index(self, call: chat.ToolCall) -> chat.ToolCall:
        """The call with an index that is its own.

        A delta without a name never opens a call. Under an index in use, only a new name
        with another id opens one, and only if the arguments so far are complete.
        """
        given = chat.index_of(call)
        known = self._given.get(given)
        opens = bool(chat.function_of(call).get("name"))
        if given is None:
            index = len(self._arguments) if opens or self._last is None else self._last
        elif known is None:
            index = given if given not in self._arguments else len(self._arguments)
        elif opens and self._is_another(call, known):
            index = max(self._arguments) + 1
        else:
            index = known
        self._given[given] = self._last = index
        if index == given:
            return call
        self._count("call_index")
        return {**call, "index": index}

    def _is_another(self, call: chat.ToolCall, known: int) -> bool:
        new_id = call.get("id")
        if not new_id or new_id == self._ids.get(known):
            return False
        try:
            return isinstance(orjson.loads(self._arguments.get(known, "")), dict)
        except orjson.JSONDecodeError:
            return False

    def _count(self, name: str) -> None:
        self._tally.add(f"repairs.{name}")
        self._tally.note("repaired", repair=name)
