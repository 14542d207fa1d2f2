"""Why answers end: the words of hosts for the reasons of the format, and for failures."""

from __future__ import annotations

# What hosts call the ends that the format names otherwise.
_ENDS = {
    "length": "max_tokens max_length model_length length_limit max_output_tokens"
    " model_context_window_exceeded",
    "tool_calls": "tool_use tool_call tool-calls tools",
    "content_filter": "content-filter safety sensitive recitation prohibited_content",
    "stop": "end eos end_turn eos_token stop_sequence stop_token completed complete finished done"
    " normal finish_reason_stop",
}
# A word in any case, and the reason that it stands for.
MEANT = {name: end for end, names in _ENDS.items() for name in names.split()}
# What went wrong where an answer ends so, in the words of `faults`.
FAILED = {
    "insufficient_system_resource": "server_overloaded",
    "overloaded": "server_overloaded",
    "network_error": "server_error",
    "error": "server_error",
    "internal_error": "server_error",
    "malformed_function_call": "tool_generation_failed",
}
