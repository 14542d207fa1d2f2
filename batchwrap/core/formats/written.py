"""A tool call while the model writes it: everything that it holds, and whether it is complete.

A call is more than id, name and arguments. Providers add fields of their own (Gemini's
`extra_content` with a signature), and a custom call has a raw input in place of arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.growing import Growing
from batchwrap.core.json_scanner import JsonScanner
from batchwrap.core.parse import rendered

# The forms of a call, and the field of each that is written piece by piece.
_FORMS = {"function": "arguments", "custom": "input"}
_OWN = frozenset({"index", "id", "type", *_FORMS})


class Written:
    """Puts the fragments of one call together.

    Args:
        first: its first fragment, which has the id and the name.
    """

    __slots__ = ("_call", "_fields", "_form", "_has_text", "_json", "_key", "_text", "_typed")

    def __init__(self, first: chat.ToolCall) -> None:
        self._form = next((form for form in _FORMS if isinstance(first.get(form), dict)), "")
        self._form = self._form or "function"
        self._key = _FORMS[self._form]
        given = first.get(self._form)
        self._fields = dict(given) if isinstance(given, dict) else {}
        text = self._fields.get(self._key)
        self._has_text = isinstance(text, str)
        self._text = Growing(text if isinstance(text, str) else _json(text))
        self._call = {name: value for name, value in first.items() if name != "index"}
        self._typed = bool(first.get("type"))
        if not self._typed:
            self._call["type"] = self._form
        self._json: JsonScanner | None = None

    def take(self, delta: Mapping[str, Any]) -> str:
        """Take in one more fragment; returns the text that it adds."""
        given = delta.get(self._form)
        fields = dict(given) if isinstance(given, dict) else {}
        text = fields.pop(self._key, None)
        self._call.update(extras_of(delta))
        if delta.get("id") and not self._call.get("id"):
            self._call["id"] = delta["id"]
        for name, value in fields.items():
            if value is not None and not (name == "name" and self._fields.get("name")):
                self._fields[name] = value
        if not isinstance(text, str) or not text:
            return ""
        self.add(text)
        return text

    def add(self, text: str) -> None:
        """Add a piece of its arguments, or of the input of a custom call."""
        self._has_text = True
        self._text.add(text)
        if self._json is not None:
            self._json.feed(text)

    @property
    def call(self) -> chat.ToolCall:
        """The call as far as it is written; always the same object."""
        if self._has_text:
            self._fields[self._key] = self.text
        if self._fields:
            self._call[self._form] = self._fields
        return self._call

    @property
    def given(self) -> chat.ToolCall:
        """A copy of the call, with its type only where the model's own has one."""
        call = dict(self.call)
        if self._fields:
            call[self._form] = dict(self._fields)
        if not self._typed:
            del call["type"]
        return call

    @property
    def is_call(self) -> bool:
        """Whether it names what it calls."""
        return isinstance(self._fields.get("name"), str)

    def name(self, call_id: str) -> None:
        """Give it an id, if it has none that another message could refer to."""
        own = self._call.get("id")
        if not isinstance(own, str) or not own:
            self._call["id"] = call_id

    @property
    def call_id(self) -> str:
        """Its id; empty where it has none."""
        return str(self._call.get("id") or "")

    @property
    def text(self) -> str:
        """Its arguments, or the input of a custom call, as far as they are written."""
        return self._text.text

    def correct(self, text: str) -> None:
        """Replace its arguments, where what came of them is no JSON."""
        if self._has_text and text != self.text:
            self._text = Growing(text)

    @property
    def is_complete(self) -> bool:
        """Whether its arguments are a complete JSON value, so that another call may follow.

        Nobody can tell that of the raw input of a custom call. Once asked, it is followed piece
        by piece: nothing is looked at twice.
        """
        if self._json is None:
            self._json = JsonScanner()
            self._json.feed(self.text)
        return self._form == "function" and self._json.is_closed

    @property
    def extras(self) -> dict[str, Any]:
        """Its fields beside those that every call has."""
        return extras_of(self._call)


def extras_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a call, or of a fragment, beside those that every call has."""
    if len(call) <= len(_OWN) and call.keys() <= _OWN:
        return {}
    return {n: value for n, value in call.items() if n not in _OWN and value is not None}


def _json(value: object) -> str:
    """Arguments that came as an object, as text."""
    return "" if value is None else rendered(value).decode()
