"""Dialects that write a call as tags with values between them: Qwen3-Coder, GLM, MiniMax,
and DeepSeek's DSML.

Models write values as they are, so no XML parser reads them and nothing is unescaped.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from batchwrap.core.repair.leaks.dialect import (
    BAR,
    BARS,
    Leak,
    MarkupDialect,
    one_newline_less,
    prefixes_of,
    skip_space,
)

_TAG = r"[\w.:-]+"
_DSML = f"{BAR}DSML{BAR} ?"
_CALLS = "(?:(?:tool|function)_)?calls"
_M3 = re.escape("]<]minimax[>[")


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.DOTALL)


# The outer tag is optional: the model often leaves it out.
# https://github.com/ollama/ollama/issues/16686
_QWEN = _pattern(rf"(?:<tool_call>\s*)?<function=({_TAG})>")
_QWEN_PART = _pattern(
    rf"\s*<parameter=({_TAG})>(.*?)</parameter>(?=\s*(?:<parameter=|</function>))"
)
_QWEN_END = _pattern(r"\s*</function>(?:\s*</tool_call>)?")
_GLM = _pattern(rf"<tool_call>\s*({_TAG})\s*(?=<)")
# ``<arg_value>`` is optional, too. https://github.com/vllm-project/vllm/issues/49248
_GLM_PART = _pattern(
    r"\s*<arg_key>([^<]*)</arg_key>\s*+(?:<arg_value>)?+(.*?)</arg_value>"
    r"(?=\s*(?:<arg_key>|</tool_call>))"
)
_GLM_END = _pattern(r"\s*</tool_call>")
# MiniMax's tags, and DeepSeek's, which have the same form with a special token in each.
# https://github.com/sgl-project/sglang/issues/40236
_INVOKE = {
    "": _pattern(r'\s*<invoke name="([^"]+)">'),
    _DSML: _pattern(rf'\s*<{_DSML}invoke name="([^"]+)">'),
}
_PART = {
    "": _pattern(
        r'\s*<parameter name="([^"]+)"()>(.*?)</parameter>(?=\s*(?:<parameter name|</invoke>))'
    ),
    _DSML: _pattern(
        rf'\s*<{_DSML}parameter name="([^"]+)"(?: string="(\w+)")?>(.*?)</{_DSML}parameter>'
        rf"(?=\s*(?:<{_DSML}parameter name|</{_DSML}invoke>))"
    ),
}
_INVOKED = {"": _pattern(r"\s*</invoke>"), _DSML: _pattern(rf"\s*</{_DSML}invoke>")}
_MINIMAX = _pattern(r"<minimax:tool_call>")
_MINIMAX_END = _pattern(r"\s*</minimax:tool_call>")
_DSML_OPEN = _pattern(rf"(?:<{_DSML}{_CALLS}>)?")
_DSML_END = _pattern(rf"(?:\s*</{_DSML}{_CALLS}>)?")
# https://github.com/ml-explore/mlx-lm/pull/1416
_M3_OPEN = _pattern(rf"{_M3}<tool_call>")
_M3_INVOKE = _pattern(rf'\s*{_M3}<invoke name="([^"]+)">')
_M3_INVOKED = _pattern(rf"\s*{_M3}</invoke>")
_M3_END = _pattern(rf"\s*{_M3}</tool_call>")
_M3_PART = _pattern(rf"\s*{_M3}<({_TAG})>(.*?){_M3}</\1>")

Found = tuple[list[Leak], int] | None


def _qwen(text: str, at: int) -> Found:
    opened = _QWEN.match(text, at)
    return _one(text, opened, _QWEN_PART, _QWEN_END) if opened else None


def _glm(text: str, at: int) -> Found:
    opened = _GLM.match(text, at)
    return _one(text, opened, _GLM_PART, _GLM_END, strip=False) if opened else None


def _one(
    text: str,
    opened: re.Match[str],
    part: re.Pattern[str],
    end: re.Pattern[str],
    *,
    strip: bool = True,
) -> Found:
    """Reads one call: a head with its name, its parameters, an end."""
    given: dict[str, Any] = {}
    at = opened.end()
    while (found := part.match(text, at)) is not None:
        key = found[1].strip()
        if key in given:
            return None
        given[key] = one_newline_less(found[2]) if strip else found[2]
        at = found.end()
    closed = end.match(text, at)
    return ([Leak(opened[1], given)], closed.end()) if closed else None


def _minimax(text: str, at: int) -> Found:
    return _invokes(text, _MINIMAX.match(text, at), "", _MINIMAX_END)


def _dsml(text: str, at: int) -> Found:
    return _invokes(text, _DSML_OPEN.match(text, at), _DSML, _DSML_END)


def _invokes(text: str, opened: re.Match[str] | None, kind: str, end: re.Pattern[str]) -> Found:
    """Reads a block of calls: for each a head, parameters and an end."""
    calls: list[Leak] = []
    at = opened.end() if opened else 0
    while opened is not None and (head := _INVOKE[kind].match(text, at)) is not None:
        given: dict[str, Any] = {}
        at = head.end()
        while (found := _PART[kind].match(text, at)) is not None:
            if found[1] in given:
                return None
            # DSML says of each value whether it is a string; all others are JSON.
            given[found[1]] = _as_json(found[3]) if found[2] == "false" else found[3]
            at = found.end()
        closed = _INVOKED[kind].match(text, at)
        if closed is None:
            return None
        calls.append(Leak(head[1], given))
        at = closed.end()
    ended = end.match(text, at) if calls else None
    return (calls, ended.end()) if ended else None


def _m3(text: str, at: int) -> Found:
    opened = _M3_OPEN.match(text, at)
    calls: list[Leak] = []
    at = opened.end() if opened else at
    while opened is not None and (head := _M3_INVOKE.match(text, at)) is not None:
        closed = _M3_INVOKED.search(text, head.end())
        given = _m3_parts(text[head.end() : closed.start()]) if closed else None
        if closed is None or given is None:
            return None
        calls.append(Leak(head[1], given))
        at = closed.end()
    ended = _M3_END.match(text, at) if calls else None
    return (calls, ended.end()) if ended else None


def _m3_parts(text: str, depth: int = 0) -> dict[str, Any] | None:
    """The values in a text that consists of tags; a list where every tag is an item."""
    given: dict[str, Any] = {}
    at = 0
    while (found := _M3_PART.match(text, at)) is not None:
        inner = _m3_value(found[2], depth + 1)
        if found[1] == "item":
            given.setdefault("item", []).append(inner)
        elif found[1] in given:
            return None
        else:
            given[found[1]] = inner
        at = found.end()
    return given if skip_space(text, at) == len(text) else None


def _m3_value(text: str, depth: int) -> Any:
    parts = _m3_parts(text, depth) if depth < 20 and _M3_PART.match(text) else None
    if not parts:
        return one_newline_less(text)
    return parts["item"] if set(parts) == {"item"} else parts


def _as_json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


QWEN = MarkupDialect(
    ("<tool_call>", "<function="),
    _pattern(
        rf"{prefixes_of('<tool_call>')}|(?:<tool_call>\s*)?(?:{prefixes_of('<function=')}"
        r"|<function=[\w.:-]*|<function=[\w.:-]+>\s*(?:<.*)?)"
    ),
    ("</function>", "</tool_call>"),
    _qwen,
    holds_json=False,
)
GLM = MarkupDialect(
    ("<tool_call>",),
    _pattern(rf"{prefixes_of('<tool_call>')}|<tool_call>\s*(?:[\w.:-]*|[\w.:-]+\s*(?:<.*)?)"),
    ("</tool_call>",),
    _glm,
    holds_json=False,
)
MINIMAX = MarkupDialect(
    ("<minimax:tool_call>",),
    _pattern(rf"{prefixes_of('<minimax:tool_call>')}|<minimax:tool_call>\s*(?:<.*)?"),
    ("</minimax:tool_call>",),
    _minimax,
    holds_json=False,
)
MINIMAX_M3 = MarkupDialect(
    ("]<]minimax[>[<tool_call>",),
    _pattern(rf"{prefixes_of(']<]minimax[>[<tool_call>')}|{_M3}<tool_call>\s*(?:\].*)?"),
    ("]<]minimax[>[</tool_call>",),
    _m3,
    holds_json=False,
)
_MARKS = tuple(f"{bar}DSML{bar}{space}" for bar in BARS for space in ("", " "))
_BLOCKS = ("tool_calls>", "function_calls>", "calls>")
DSML = MarkupDialect(
    tuple(f"<{bar}DSML{bar}" for bar in BARS),
    _pattern(
        rf"{prefixes_of(*(f'<{mark}' for mark in _MARKS))}"
        rf"|<{_DSML}(?:{prefixes_of(*_BLOCKS, 'invoke name=')}|{_CALLS}>\s*(?:<.*)?|invoke name=.*)"
    ),
    tuple(f"</{mark}{end}" for mark in _MARKS for end in ("invoke>", *_BLOCKS)),
    _dsml,
    holds_json=False,
)
