"""The text of a recorded request, which is the same in each run: what differs is numbered or named.

Ids are replaced by `<id 1>`, `<id 2>`, … in the order in which they come, times by `<time>` and
dates by `<date>`. What a list (messages, tools) has in common with the request before is one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from batchwrap.adapters.objects import as_dict

_INDENT = "  "
_HIDDEN = frozenset({"api_key", "headers", "extra_headers", "default_headers"})
_UUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
# Times before dates, which they begin with. A version such as gpt-5-2025-08-07 is no date.
_TIME = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?")
_DATE = re.compile(r"(?<![\w-])\d{4}-\d\d-\d\d(?![\w-])")
# What may be an id in a text; an ordinary word is none, since only ids that were seen are replaced.
_WORD = re.compile(rf"{_UUID}|[\w-]{{8,}}")


class ViewText:
    """Writes requests as text.

    Args:
        replace: texts that differ between runs, such as the path of a temporary folder, and what
            stands for each of them.
    """

    def __init__(self, replace: Mapping[str, str]) -> None:
        self._replace = replace
        self._ids: dict[str, str] = {}
        self._last: Mapping[str, Any] = {}

    def lines(self, body: Mapping[str, Any]) -> Iterator[str]:
        """The lines of a request."""
        # Versions of an SDK differ in the order of the fields; lists, which are long, come last.
        for name, value in sorted(body.items(), key=lambda it: (isinstance(it[1], list), it[0])):
            if name in _HIDDEN:
                continue
            before = self._last.get(name)
            shared = _shared(value, before)
            if isinstance(value, list) and shared:
                yield f"{name}:"
                yield f"{_INDENT}({shared} as before)"
                yield from self._list(value[shared:])
            else:
                yield from self._field(name, value)
        self._last = body

    def _field(self, name: str, value: Any) -> Iterator[str]:
        value = _plain(value)
        if isinstance(value, dict | list) and value:
            yield f"{name}:"
            inner = self._fields(value) if isinstance(value, dict) else self._list(value)
            yield from (line if isinstance(value, list) else f"{_INDENT}{line}" for line in inner)
        elif isinstance(value, str) and "\n" in value:
            yield f"{name}: |"
            yield from (f"{_INDENT}{line}".rstrip() for line in self._text(name, value).split("\n"))
        else:
            yield f"{name}: {self._single(name, value)}".rstrip()

    def _fields(self, table: Mapping[Any, Any]) -> Iterator[str]:
        for name, value in table.items():
            yield from self._field(str(name), value)

    def _list(self, values: list[Any]) -> Iterator[str]:
        for value in values:
            plain = _plain(value)
            lines = list(
                self._fields(plain)
                if isinstance(plain, dict) and plain
                else self._list(plain)
                if isinstance(plain, list) and plain
                else [self._single("", plain)]
            )
            for index, line in enumerate(lines):
                yield f"{'- ' if index == 0 else _INDENT}{line}"

    def _single(self, name: str, value: Any) -> str:
        if isinstance(value, str):
            return self._text(name, value)
        if value is None or isinstance(value, bool):
            return str(value).lower().replace("none", "null")
        if isinstance(value, int | float):
            return "<time>" if name in ("created", "created_at") else repr(value)
        return repr(value) if value in ({}, []) else f"<{type(value).__name__}>"

    def _text(self, name: str, text: str) -> str:
        if (name == "id" or name.endswith("_id")) and text:
            return self._ids.setdefault(text, f"<id {len(self._ids) + 1}>")
        if name == "model":
            return text
        for old, new in self._replace.items():
            text = text.replace(old, new)
        text = _DATE.sub("<date>", _TIME.sub("<time>", text))
        return _WORD.sub(self._word, text)

    def _word(self, found: re.Match[str]) -> str:
        word = found[0]
        if word not in self._ids and re.fullmatch(_UUID, word):
            self._ids[word] = f"<id {len(self._ids) + 1}>"
        return self._ids.get(word, word)


def _shared(value: Any, before: Any) -> int:
    """How many items two lists have in common at their beginning."""
    if not (isinstance(value, list) and isinstance(before, list)):
        return 0
    pairs = enumerate(zip(value, before, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(value), len(before)))


def _plain(value: Any) -> Any:
    """The dict form of an SDK's object; a tuple as a list."""
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, dict) else as_dict(value) or value
