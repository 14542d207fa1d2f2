"""Patterns for the words of providers' errors, and for the numbers in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from batchwrap.core.limits.prose import seconds_in_prose

# An error states its cause in its first lines; the rest is not searched.
MOST_WORDS = 4_000
_STATUS_DIGITS = 3
_DIGITS = 20  # of a number: more are no tokens, and Python refuses to read thousands

CONTEXT = re.compile(
    r"context[ _-]?(length|window|limit|size)|maximum context|prompt is too long"
    r"|too many (input )?tokens"
    r"|(exceed|beyond|over).{0,40}(token limit|context)|input (is |length )?too long"
    r"|tokens.{0,20}\+.{0,20}max_new_tokens|token count.{0,30}exceeds"
    r"|range of input length|maximum prompt length|prompt exceeds max|request too long: input"
    r"|reduce the length of the (messages|prompt|input)|model token limit"
    r"|(prompt|input|request).{0,30}exceeds?.{0,30}(maximum|max|limit).{0,20}token",
    re.IGNORECASE | re.DOTALL,
)
OUTPUT = re.compile(
    r"max(_completion|_output)?_tokens['\"`]?\s*(or [^ ]+ )?(is |are |must be |value |)"
    r"(too large|too big|at most|exceeds|less than)|max_tokens.{0,40}too (large|big)"
    r"|max(_completion|_output)?_tokens['\"]?:? \d+ ?>",
    re.IGNORECASE,
)
RATE = re.compile(
    r"rate.?limit|too many requests|per[ _-](minute|hour|day|second)|quota", re.IGNORECASE
)
A_MINUTE = re.compile(r"per[ _-]minute|\b[TR]PM\b", re.IGNORECASE)
TOOL = re.compile(
    r"tool_use_failed|failed to call a function|not present in the tools list"
    r"|not in request\.tools|tool call validation failed",
    re.IGNORECASE,
)
_STRAINED = (
    r"overload|capacity|unavailable|insufficient_system_resource|temporarily|upstream|gateway"
)
# The server has no room for the request now, or did not reach what is behind it.
STRAINED = re.compile(rf"{_STRAINED}|try again|timed? ?out|loading model|\bbusy\b", re.IGNORECASE)
BUSY = re.compile(rf"{_STRAINED}|internal.?(server.?)?error", re.IGNORECASE)
_MARKED = re.compile(r"\[?\bHTTP(?:/\d\.\d)?[ :]\s*([45]\d\d)\b\]?|status(?: code)?:? ([45]\d\d)\b")
_NUMBER = rf"(?<![\d,])(\d[\d,]{{0,{_DIGITS - 1}}}+)(?!\d)"
_NUMBERS = {
    "limit": re.compile(
        r"(?:limit(?: is|:)?|maximum context length(?: is| of)?|maximum of|at most) ?:? ?"
        rf"{_NUMBER}",
        re.IGNORECASE,
    ),
    "requested": re.compile(
        r"(?:requested:?|current length is|you requested|resulted in|requested about) ?\(?"
        rf"{_NUMBER}",
        re.IGNORECASE,
    ),
    "input": re.compile(
        rf"{_NUMBER} (?:tokens )?in the (?:messages|prompt|input)"
        rf"|(?:has|request has) {_NUMBER} input",
        re.IGNORECASE,
    ),
}
# "210000 tokens > 200000 maximum", "(1200000) exceeds the maximum … (1048576)", "Given: 9 … <= 8"
_OVER = re.compile(
    rf"{_NUMBER}\)? ?(?:tokens)? ?(?:>|exceeds?)[^\d]{{0,80}}\(?{_NUMBER}", re.IGNORECASE
)
_FIELD = re.compile(r"property '([^']+)' is unsupported|Unrecognized request argument[^:]*: (\w+)")
_ID_FORM = re.compile(r"tool call id .{0,80}length of 9", re.IGNORECASE)


def status_in(error: Mapping[str, Any], text: str) -> int | None:
    """The HTTP status that an error contains, in a field or in its message."""
    for name in ("status_code", "status", "code", "http_code"):
        value = error.get(name)
        if isinstance(value, str) and len(value) == _STATUS_DIGITS and value.isdecimal():
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    marked = _MARKED.search(text)
    return int(marked[1] or marked[2]) if marked else None


def wait_in(words: str, headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait, in a header or in words."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    return seconds_in_prose(words[:MOST_WORDS], None)


def numbers_in(words: str) -> dict[str, int]:
    """``limit``, ``requested`` and ``input`` (tokens), as far as the message contains them."""
    found = {name: pattern.search(words) for name, pattern in _NUMBERS.items()}
    told = {
        name: int(next(group for group in match.groups() if group).replace(",", ""))
        for name, match in found.items()
        if match is not None
    }
    over = _OVER.search(words)
    if over is not None and "limit" not in told:
        told |= {"requested": int(over[1].replace(",", "")), "limit": int(over[2].replace(",", ""))}
    return told


def hint_in(words: str) -> str:
    """What would repair the request, if the message says it; otherwise empty."""
    if _ID_FORM.search(words):
        return "tool_call_id_format"
    unknown = _FIELD.search(words)
    return f"drop_field:{unknown[1] or unknown[2]}" if unknown else ""
