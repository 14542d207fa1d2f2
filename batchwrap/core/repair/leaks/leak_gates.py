"""Decides when leaked markup is a call. Unless all gates are open, it stays text.

The text of a file must never become a command (prompt injection). So markup that occurs in an
earlier message of the user or of a tool is not promoted, however the model quotes it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats import chat
from batchwrap.core.repair.arguments import repair_arguments
from batchwrap.core.repair.declared_tools import DeclaredTools
from batchwrap.core.repair.leaks.dialect import Leak
from batchwrap.core.repair.leaks.families import MARKERS
from batchwrap.core.tools.lenient import typed_text
from batchwrap.core.tools.schema import required_in, resolved, types_of

_TRUSTED = ("assistant", "system", "developer")
_ENDINGS = (None, "stop", "tool_calls")
# Line numbers, quotation marks and list marks, which tools and models put before lines.
_BEFORE_LINE = re.compile(r"^[ \t]*(?:\d+[ \t]*[\t:|→│]|[>|+*#-])*[ \t]?", re.MULTILINE)
_ESCAPED = re.compile(r"\\[nrt]|(?P<codes>(?:\\u[0-9a-fA-F]{4})+)")
_NOISE = re.compile(r"[\s\\\"'`]+")


@dataclass(frozen=True, slots=True, repr=False)
class Promoted:
    """A call to hand out: its tool, its arguments as JSON, its id (empty: one is generated)."""

    name: str
    arguments: str
    call_id: str


class Gates:
    """The gates of one exchange.

    Args:
        tools: what may be called.
        body: the agent's request.
    """

    def __init__(self, tools: DeclaredTools, body: chat.Body) -> None:
        self._tools = tools
        self._body = body
        self._foreign: list[str] | None = None

    @property
    def model(self) -> object:
        """The requested model."""
        return self._body.get("model")

    @property
    def may_call(self) -> bool:
        """Whether the request allows calls."""
        listed = self._body.get("tools")
        return bool(self._tools) and bool(listed) and self._body.get("tool_choice") != "none"

    def judge(
        self, leaks: Sequence[Leak], blocks: Sequence[str], finish_reason: object
    ) -> list[Promoted] | str:
        """The calls to hand out, or the name of the gate that is closed."""
        if not self.may_call:
            return "no_tools"
        # After any other reason, the answer may be incomplete.
        if finish_reason not in _ENDINGS:
            return f"finish_{finish_reason}"
        if self.stands_earlier(blocks, leaks):
            return "echo"
        made = [self._promoted(leak) for leak in leaks]
        wrong = next((one for one in made if isinstance(one, str)), None)
        if wrong is not None:
            return wrong
        return [one for one in made if not isinstance(one, str)]

    def is_truncated_call(self, block: str) -> bool:
        """Whether markup that breaks off belongs to a declared tool and is not a quotation."""
        names = any(name in block for name in self._tools)
        return self.may_call and names and not self.stands_earlier([block], [])

    def _promoted(self, leak: Leak) -> Promoted | str:
        if leak.name not in self._tools:
            return "tool_name_unknown"
        parameters = self._tools.parameters(leak.name)
        if isinstance(leak.given, str):
            dangerous = self._tools.is_dangerous(leak.name)
            repaired = repair_arguments(leak.given, parameters, dangerous=dangerous)
            if repaired.refused:
                return repaired.refused
            text = repaired.text
        else:
            typed = _typed(leak.given, parameters)
            if isinstance(typed, str):
                return typed
            text = orjson.dumps(typed).decode()
        given = orjson.loads(text)
        missing = sorted(required_in(parameters) - given.keys())
        if missing:
            return f"missing_required_arguments:{','.join(missing)}"
        return Promoted(leak.name, text, leak.call_id)

    def stands_earlier(self, blocks: Sequence[str], leaks: Sequence[Leak]) -> bool:
        """Whether the markup, or a call that means the same, occurs in a user's or tool's text."""
        if self._foreign is None:
            self._foreign = _foreign(self._body)
        wanted = [_bare(block) for block in blocks]
        meant = [[_bare(leak.name), *map(_bare, _leaves(leak.given))] for leak in leaks]
        for text in self._foreign:
            if any(block in text for block in wanted):
                return True
            # The same words without any markup are no quotation of a call.
            marked = any(marker in text for marker in _BARE_MARKERS)
            if marked and any(all(one in text for one in words) for words in meant):
                return True
        return False


def _foreign(body: chat.Body) -> list[str]:
    """The texts of the user and the tools, normalised by `_bare`."""
    messages = body.get("messages")
    found = []
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") not in _TRUSTED:
            content = message.get("content")
            said = "\n".join(chat.texts(content))
            if not said and content:  # a shape that nobody knows is searched as JSON
                said = fingerprint(content).decode(errors="replace")
            found.append(_bare(said))
    return found


def _bare(text: str) -> str:
    """A text without spaces, quotes, escapes, line numbers and marks before lines.

    These are what a quotation may change, so two texts are compared without them.
    """
    plain = _ESCAPED.sub(_unescaped, text)
    plain = html.unescape(plain) if "&" in plain else plain
    return _NOISE.sub("", _BEFORE_LINE.sub("", plain)).lower()


def _unescaped(found: re.Match[str]) -> str:
    if not found["codes"]:
        return "\n"
    units = b"".join(int(code, 16).to_bytes(2) for code in found["codes"].split("\\u")[1:])
    return units.decode("utf-16-be", "replace")


def _leaves(given: Any) -> list[str]:
    """The strings and numbers among the arguments."""
    if isinstance(given, str):
        try:
            value = orjson.loads(given)
        except orjson.JSONDecodeError:
            return [given]
        return _leaves(value) if isinstance(value, (dict, list)) else [given]
    if isinstance(given, dict):
        return [leaf for value in given.values() for leaf in _leaves(value)]
    if isinstance(given, list):
        return [leaf for value in given for leaf in _leaves(value)]
    return [str(given)]


def _typed(given: dict[str, Any], parameters: object) -> dict[str, Any] | str:
    """String values converted by the tool's schema; a reason if one of them does not fit."""
    schema = parameters if isinstance(parameters, dict) else {}
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    made: dict[str, Any] = {}
    for name, value in given.items():
        wanted = resolved(known.get(name), schema)
        types = types_of(wanted)
        value = _value(value, wanted, schema)
        if types and "string" not in types and isinstance(value, str):
            return f"does_not_fit:{name}"
        made[name] = value
    return made


def _value(value: Any, wanted: dict[str, Any], root: dict[str, Any]) -> Any:
    if isinstance(value, list):
        items = resolved(wanted.get("items"), root)
        return [_value(item, items, root) for item in value]
    if isinstance(value, dict):
        properties = wanted.get("properties")
        known = properties if isinstance(properties, dict) else {}
        return {name: _value(v, resolved(known.get(name), root), root) for name, v in value.items()}
    if not isinstance(value, str):
        return value
    text = typed_text(value.strip(), types_of(wanted))
    return value if text is None else orjson.loads(text)


_BARE_MARKERS = tuple(_bare(marker) for marker in MARKERS)
