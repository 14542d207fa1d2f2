"""Dialects that frame a call with special tokens: Kimi K2, and DeepSeek up to V3.1.

https://github.com/MoonshotAI/Kimi-K2/issues/89
"""

from __future__ import annotations

import re

from batchwrap.core.repair.leaks.dialect import BAR, BARS, Leak, MarkupDialect, prefixes_of

_KIMI_OPEN = re.compile(r"(?:null)?(?:<\|tool_calls_section_begin\|>\s*)?")
_KIMI = re.compile(
    r"\s*<\|tool_call_begin\|>\s*([^\s<>|]+)\s*<\|tool_call_argument_begin\|>\s*(\{.*?)"
    r"<\|tool_call_end\|>",
    re.DOTALL,
)
_KIMI_END = re.compile(r"(?:\s*<\|tool_calls_section_end\|>)*")
_KIMI_ID = re.compile(r"(?:functions\.)?([\w.-]+):\d+")
_LOW = "[▁_]"  # the tokenizer's own character (U+2581), or the underscore of its transcripts


def _token(words: str) -> str:
    return f"<{BAR}{words.replace(' ', _LOW)}{BAR}>"


_DEEPSEEK_OPEN = re.compile(rf"(?:{_token('tool calls begin')}\s*)?")
_DEEPSEEK = re.compile(
    rf"\s*{_token('tool call begin')}\s*(?:"
    rf"function\s*{_token('tool sep')}\s*([\w.:-]+)\s*```(?:json)?\s*(\{{.*?)```\s*"
    rf"|([\w.:-]+)\s*{_token('tool sep')}\s*(\{{.*?)){_token('tool call end')}",
    re.DOTALL,
)
_DEEPSEEK_END = re.compile(rf"(?:\s*{_token('tool calls end')})*")


def _kimi(text: str, at: int) -> tuple[list[Leak], int] | None:
    opened = _KIMI_OPEN.match(text, at)
    calls: list[Leak] = []
    at = opened.end() if opened else at
    while (found := _KIMI.match(text, at)) is not None:
        # Kimi's ids contain the name: `functions.read_file:0`.
        named = _KIMI_ID.fullmatch(found[1])
        calls.append(Leak(named[1] if named else "", found[2].rstrip(), found[1]))
        at = found.end()
    closed = _KIMI_END.match(text, at)
    return (calls, closed.end()) if calls and closed else None


def _deepseek(text: str, at: int) -> tuple[list[Leak], int] | None:
    opened = _DEEPSEEK_OPEN.match(text, at)
    calls: list[Leak] = []
    at = opened.end() if opened else at
    while (found := _DEEPSEEK.match(text, at)) is not None:
        calls.append(Leak(found[1] or found[3], (found[2] or found[4]).rstrip()))
        at = found.end()
    closed = _DEEPSEEK_END.match(text, at)
    return (calls, closed.end()) if calls and closed else None


_KIMI_MARKERS = ("<|tool_calls_section_begin|>", "<|tool_call_begin|>")
KIMI = MarkupDialect(
    (*_KIMI_MARKERS, *(f"null{marker}" for marker in _KIMI_MARKERS)),
    re.compile(
        rf"(?:null)?(?:{prefixes_of(*_KIMI_MARKERS)}|<\|tool_calls_section_begin\|>\s*(?:<.*)?"
        rf"|<\|tool_call_begin\|>\s*+[\w.:-]*+\s*+(?:<.*)?)",
        re.DOTALL,
    ),
    ("<|tool_call_end|>", "<|tool_calls_section_end|>"),
    _kimi,
)
_DEEPSEEK_MARKERS = tuple(
    f"<{bar}tool{low}{word}{low}begin{bar}>"
    for bar in BARS
    for low in "▁_"
    for word in ("calls", "call")
)
DEEPSEEK = MarkupDialect(
    _DEEPSEEK_MARKERS,
    re.compile(
        rf"{prefixes_of(*_DEEPSEEK_MARKERS)}|{_token('tool calls begin')}\s*(?:<.*)?"
        rf"|{_token('tool call begin')}\s*+[\w.:-]*+\s*+(?:<.*)?",
        re.DOTALL,
    ),
    tuple(marker.replace("begin", "end") for marker in _DEEPSEEK_MARKERS),
    _deepseek,
)
DEEPSEEK_ENDS = ("<｜tool▁calls▁end｜>", "<｜｜tool▁calls▁end｜｜>")
