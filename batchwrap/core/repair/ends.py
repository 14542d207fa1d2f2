"""Why answers end: the words of hosts for the reasons of the format, and for failures."""

from __future__ import annotations

import re

# What hosts call the ends that the format names otherwise.
_ENDS = {
    "length": "max_tokens max_length model_length length_limit max_output_tokens",
    "tool_calls": "tool_use tool_call tool-calls tools",
    "content_filter": "content-filter safety sensitive recitation prohibited_content",
    "stop": "end eos eot end_turn end_of_turn end_of_text end_of_sequence eos_token stop_sequence"
    " stop_token stopped completed complete finished done success normal finish_reason_stop",
}
_MEANT = {name: end for end, names in _ENDS.items() for name in names.split()}
_REASONS = frozenset({*_ENDS, "function_call"})
# What went wrong where an answer ends so, in the words of `faults`.
FAILED = {
    "insufficient_system_resource": "server_overloaded",
    "overloaded": "server_overloaded",
    "network_error": "server_error",
    "error": "server_error",
    "internal_error": "server_error",
    "malformed_function_call": "tool_generation_failed",
}
# Of a full context or a spent budget of tokens each host makes a word of its own
# (model_context_window_exceeded, MAX_CONTEXT_LENGTH, kvCacheFull): something full, and what is.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_FULL = frozenset(
    {"exceeded", "exceeds", "exceed", "full", "overflow", "limit", "max", "maximum", "length"}
    | {"reached", "exhausted", "overflowed", "insufficient", "out", "long"}
)
_OF_TOKENS = frozenset(
    {"context", "ctx", "window", "token", "tokens", "prompt", "input", "output", "cache"}
)
_OTHER_LIMITS = frozenset({"rate", "quota", "minute", "day", "request", "requests", "credit"})
_ALONE = frozenset({"truncated", "length"})
_LONGEST = 100  # characters of a reason that are looked at


def meant_by(reason: str) -> str:
    """The reason of the format that a host's word stands for; the word itself if none does."""
    known = _MEANT.get(reason.lower())
    if known is not None:
        return known
    if reason.lower() in _REASONS:
        return reason.lower()
    words = {word.lower() for word in _WORD.findall(reason[:_LONGEST])}
    is_full = (words & _FULL and words & _OF_TOKENS) or words & _ALONE
    if is_full and not words & _OTHER_LIMITS:
        return "length"
    return reason.lower() if reason.isupper() else reason
