"""Rewrites arguments that are almost JSON as JSON, without changing the content of any string.

Valid text is copied to the byte, and only defects around the strings are corrected. So a valid
object stays unchanged, and the part of a stream that was handed out before a defect stays valid. If
the meaning is not certain, the text is refused: half a file, or a file with a guessed quote in it,
is worse than an error.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from batchwrap.core.tools.schema import resolved, types_of

_SPACE = re.compile(r"[ \t\r\n]*")
_COMMENT = re.compile(r"//[^\n]*|#[^\n]*|/\*.*?\*/", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+-])")
_WORD = re.compile(r"(?:true|false|null|True|False|None)\b")
_WORDS = {"True": "true", "False": "false", "None": "null"}
_ESCAPE = r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})'
# The part of a string that is copied unchanged, with its escapes, by the kind of its quotes.
_RUN = {
    '"': re.compile(rf'(?:[^"\\\x00-\x1f]++|{_ESCAPE})*+'),
    "'": re.compile(rf"(?:[^\"'\\\x00-\x1f]++|{_ESCAPE})*+"),
}
_FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\r?\n")
_THOUGHT = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
# What servers leave after the object: superfluous brackets, and their own end marks.
_AFTER = re.compile(
    r"(?:[\s}\]]|```|</?tool_calls?>|</function>|</parameter>|</s>|\[/TOOL_CALLS\]|<\|[a-z_]{2,30}\|>"
    r"|<｜[a-zA-Z▁]{2,30}｜>)*+"
)
_INTEGER = re.compile(r"-?(?:0|[1-9]\d*)")
DEEPEST = 60
# The worst text of this length takes half a second. A longer one is handed on unchanged.
MOST_CHARACTERS = 1_000_000
_MOST_ENCODINGS = 3


class NotUnderstood(Exception):
    """The text has no certain meaning. `reason` is an identifier such as ``"truncated"``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def rewrite(text: str, parameters: object, *, bold: bool = False) -> str:
    """The JSON object that a text represents, as close to the text as possible.

    Args:
        text: the arguments of a tool call.
        parameters: the tool's JSON schema, which shows where a text should be a list or a number.
        bold: also drop a closed ``<think>`` block before the object, and keep the backslash of
            escapes that JSON does not have (``\\d``). For read-only tools.

    Raises:
        NotUnderstood: the text is cut off, or has no meaning or more than one.
    """
    if len(text) > MOST_CHARACTERS:
        raise NotUnderstood("too_long" if text.rstrip().endswith("}") else "truncated")
    schema = parameters if isinstance(parameters, dict) else {}
    for _ in range(_MOST_ENCODINGS):
        inner = _unwrapped(text, bold=bold)
        # Some models encode the arguments as a JSON string, sometimes more than once.
        if not inner.startswith('"'):
            return _Rewriter(inner, schema, bold=bold).document()
        text = _decoded(inner)
    raise NotUnderstood("not_an_object")


def _unwrapped(text: str, *, bold: bool) -> str:
    """The text without a byte order mark, a code fence, or reasoning around the object."""
    plain = text.removeprefix("\ufeff")
    thought = _THOUGHT.match(plain) if bold else None
    stripped = (plain[thought.end() :] if thought else plain).lstrip()
    fence = _FENCE.match(stripped)
    if fence is not None:
        return stripped[fence.end() :].strip().removesuffix("```").rstrip()
    return plain if stripped.startswith("{") and thought is None else stripped


def _decoded(text: str) -> str:
    """The content of a JSON string. Raw control characters in it are kept."""
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        raise NotUnderstood("truncated" if text.count('"') == 1 else "not_an_object") from None
    return str(value)


class _Rewriter:
    """A recursive-descent parser that writes each part of the text as it reads it."""

    def __init__(self, text: str, schema: dict[str, Any], *, bold: bool) -> None:
        self._text = text
        self._root = schema
        self._bold = bold
        self._at = 0
        self._out: list[str] = []

    def document(self) -> str:
        """The rewritten text of one object, which may be followed by end marks only."""
        self._skip()
        if self._peek() != "{":
            raise NotUnderstood(self._no_object())
        self._object(self._root, 0)
        end = _AFTER.match(self._text, self._at)
        assert end is not None
        if end.end() < len(self._text):
            several = self._text[end.end()] == "{"
            raise NotUnderstood("several_objects" if several else "text_after_object")
        rest = self._text[self._at :]
        return "".join([*self._out, rest if rest.isspace() else ""])

    def _no_object(self) -> str:
        """The reason why the text does not begin with an object."""
        rest = self._text[self._at :]
        if not rest:
            return "empty"
        return "text_before_object" if "{" in rest and rest[0] != "[" else "not_an_object"

    def _object(self, schema: Any, depth: int) -> None:
        """Rewrite an object, whose schema shows the types of its values."""
        properties = schema.get("properties") if isinstance(schema, dict) else None
        known: dict[str, Any] = properties if isinstance(properties, dict) else {}
        seen: set[str] = set()
        self._take("{")
        while self._more("}", first=not seen):
            key = self._key()
            if key in seen:  # parsers differ in which of the two values they use
                raise NotUnderstood("duplicate_key")
            seen.add(key)
            self._skip()
            self._take(":")
            self._value(resolved(known.get(key), self._root), depth + 1)
        self._take("}")

    def _array(self, schema: Any, depth: int) -> None:
        """Rewrite a list, whose schema shows the type of its items."""
        items = resolved(schema.get("items"), self._root) if isinstance(schema, dict) else {}
        first = True
        self._take("[")
        while self._more("]", first=first):
            self._value(items, depth + 1)
            first = False
        self._take("]")

    def _more(self, closer: str, *, first: bool) -> bool:
        """Whether another member follows. A comma before the closing bracket is dropped."""
        self._skip()
        if self._peek() == closer:
            return False
        if first:
            return True
        if self._peek() != ",":
            raise NotUnderstood(self._no_comma())
        self._at += 1
        # White space and comments may follow a superfluous comma, so it is removed afterwards.
        comma = len(self._out)
        self._out.append(",")
        self._skip()
        if self._peek() == closer:
            del self._out[comma]
            return False
        return True

    def _no_comma(self) -> str:
        """The reason why a required comma is missing."""
        before = "".join(self._out[-3:]).rstrip()[-1:]
        if before == '"' and self._peek() not in "\"'{[}]":
            return "unescaped_quote"
        return "missing_comma"

    def _key(self) -> str:
        """Rewrite the name of a field; returns the name."""
        if self._peek() not in "\"'":
            raise NotUnderstood(self._no_key())
        token = self._string()
        self._out.append(token)
        return str(_loaded(token))

    def _no_key(self) -> str:
        """The reason why a field has no quoted name."""
        value = self._text[self._at :].partition(":")[2].lstrip()
        quoted = value[:1] in ('"', "'", "{", "[") or _NUMBER.match(value) or _WORD.match(value)
        return "unquoted_key" if quoted else "unquoted_value"

    def _value(self, schema: dict[str, Any], depth: int) -> None:
        """Rewrite any value."""
        if depth > DEEPEST:
            raise NotUnderstood("too_deep")
        self._skip()
        mark = self._peek()
        if mark == "{":
            self._object(schema, depth)
        elif mark == "[":
            self._array(schema, depth)
        elif mark in "\"'":
            self._out.append(_typed(self._string(), types_of(schema)))
        else:
            self._literal()

    def _literal(self) -> None:
        """Rewrite a number or a word. Python's words become those of JSON."""
        found = _NUMBER.match(self._text, self._at) or _WORD.match(self._text, self._at)
        if found is None:
            rest = self._text[self._at :]
            cut = re.fullmatch(r"-?[\d.]*(?:[eE][+-]?\d*)?|[a-zA-Z]{1,4}", rest)
            raise NotUnderstood("truncated" if cut else "unquoted_value")
        self._at = found.end()
        self._out.append(_WORDS.get(found[0], found[0]))

    def _string(self) -> str:
        """The string that begins here, as JSON."""
        quote = self._peek()
        pieces, at = ['"'], self._at + 1
        while True:
            run = _RUN[quote].match(self._text, at)
            assert run is not None
            pieces.append(run[0])
            mark = self._text[run.end() : run.end() + 1]
            if not mark:
                raise NotUnderstood("truncated")
            if mark == quote:
                self._at = run.end() + 1
                return "".join([*pieces, '"'])
            piece, at = self._inside(mark, run.end(), quote)
            pieces.append(piece)

    def _inside(self, mark: str, at: int, quote: str) -> tuple[str, int]:
        """The JSON for a special character in a string, and the position after it."""
        if mark != "\\":  # a raw control character, or the other kind of quote
            return (json.dumps(mark)[1:-1], at + 1)
        following = self._text[at + 1 : at + 2]
        if not following or (following == "u" and len(self._text) < at + 6):
            raise NotUnderstood("truncated")
        if following == quote == "'":
            return "'", at + 2
        if self._bold and following not in "ux":
            return "\\\\", at + 1
        raise NotUnderstood("invalid_escape")

    def _skip(self) -> None:
        """Copy white space and drop comments."""
        while True:
            space = _SPACE.match(self._text, self._at)
            assert space is not None
            if space[0]:
                self._out.append(space[0])
            self._at = space.end()
            comment = _COMMENT.match(self._text, self._at)
            if comment is None:
                return
            self._at = comment.end()

    def _take(self, mark: str) -> None:
        """Copy a character that must be here."""
        if self._peek() != mark:
            raise NotUnderstood("missing_colon" if mark == ":" else "unexpected_character")
        self._at += 1
        self._out.append(mark)

    def _peek(self) -> str:
        """The next character. At the end of the text the arguments are cut off, or empty."""
        if self._at >= len(self._text):
            raise NotUnderstood("truncated" if self._out and self._text.strip() else "empty")
        return self._text[self._at]


def _typed(token: str, types: set[str]) -> str:
    """The string as a value of a type that the schema requires, if it is exactly such a value."""
    text = None if not types or "string" in types else typed_text(_loaded(token), types)
    return token if text is None else text


def _loaded(token: str) -> str:
    """The content of a JSON string; lone surrogates are kept."""
    return str(json.loads(token))


def typed_text(said: str, types: set[str]) -> str | None:
    """The JSON value that a text exactly represents, if the schema does not allow texts.

    Args:
        said: the text.
        types: the JSON types that the schema names.

    Returns:
        The value as JSON text; None if it has none of these types, or texts are allowed.
    """
    if "string" in types:
        return None
    if types & {"array", "object"} and _holds(said, types):
        return said
    if "integer" in types and _INTEGER.fullmatch(said):
        return said
    if "number" in types and _NUMBER.fullmatch(said):
        return said
    if "boolean" in types and said in ("true", "false", "True", "False"):
        return said.lower()
    return None


def _holds(text: str, types: set[str]) -> bool:
    """Whether a text is the JSON of a list or an object, if the types allow it."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return (isinstance(value, list) and "array" in types) or (
        isinstance(value, dict) and "object" in types
    )
