"""Finish reasons: maps the words of hosts to those of the API, and finds failures.

Agents run calls only at ``tool_calls`` and end at ``stop``; an unknown reason is an error to many.
https://github.com/can1357/oh-my-pi/pull/8563
"""

from __future__ import annotations

import re

# What hosts write for each finish reason of the API.
_ENDS = {
    "length": "max_tokens max_length model_length length_limit max_output_tokens",
    "tool_calls": "tool_use tool_call tool-calls tools",
    "content_filter": "content-filter safety sensitive recitation prohibited_content",
    "stop": "end eos eot end_turn end_of_turn end_of_text end_of_sequence eos_token stop_sequence"
    " stop_token stopped completed complete finished done success normal finish_reason_stop",
}
_MEANT = {name: end for end, names in _ENDS.items() for name in names.split()}
_REASONS = frozenset({*_ENDS, "function_call"})
# Reasons that report a failure, with the `Fault.kind` of each.
# https://github.com/diegosouzapw/OmniRoute/pull/8210
FAILED = {
    "insufficient_system_resource": "server_overloaded",
    "overloaded": "server_overloaded",
    "network_error": "server_error",
    "error": "server_error",
    "internal_error": "server_error",
    "malformed_function_call": "tool_generation_failed",
}
# For a full context or a spent token budget each host has its own word
# (model_context_window_exceeded, MAX_CONTEXT_LENGTH, kvCacheFull). So the words in it are read:
# one that says "full", and one that names what is full.
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
_LONGEST = 100  # characters of a reason that are read


def standard_reason(reason: str) -> str:
    """The API's finish reason for a host's word; the word itself if it is unknown."""
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
