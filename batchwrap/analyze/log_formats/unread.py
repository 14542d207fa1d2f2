"""Formats that are recognised but not read, each with what can be read instead."""

from __future__ import annotations

from collections.abc import Callable

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_messages import dict_of, dicts_in


def unread_format(record: Record) -> str | None:
    """What a record belongs to, and what to read instead; None if it is unknown."""
    return next((said for said, is_it in _FORMATS.items() if is_it(record)), None)


def _has(*keys: str) -> Callable[[Record], bool]:
    return lambda record: all(key in record for key in keys)


def _is_goose(record: Record) -> bool:
    listed = dicts_in(record.get("conversation", record.get("messages"))) or [record]
    kinds = {part.get("type") for one in listed[:20] for part in dicts_in(one.get("content"))}
    return not kinds.isdisjoint(("toolRequest", "toolResponse"))


def _is_parts(record: Record) -> bool:
    listed = dicts_in(record.get("messages")) or [record]
    kinds = {part.get("type") for one in listed[:20] for part in dicts_in(one.get("parts"))}
    return any(str(kind).startswith(("tool-", "dynamic-tool", "step-start")) for kind in kinds)


_PROMPTS = "which has no answers"
_FORMATS: dict[str, Callable[[Record], bool]] = {
    f"the prompt history of Claude Code, {_PROMPTS}: read ~/.claude/projects": _has(
        "display", "pastedContents"
    ),
    f"the prompt history of Codex, {_PROMPTS}: read ~/.codex/sessions": lambda record: (
        set(record) == {"session_id", "ts", "text"}
    ),
    f"the prompt log of Gemini CLI, {_PROMPTS}: read the folder chats beside it": _has(
        "sessionId", "messageId", "message", "type"
    ),
    "a session of an older Copilot CLI: read ~/.copilot/session-state": _has(
        "sessionId", "startTime", "timeline"
    ),
    "a session of Goose": _is_goose,
    "a session of Continue": lambda record: any(
        "contextItems" in one for one in dicts_in(record.get("history"))[:1]
    ),
    "messages of the Vercel AI SDK's interface: log the messages of the model instead": _is_parts,
    "an HTTP archive (HAR): log requests and answers as JSON lines instead": lambda record: (
        "entries" in dict_of(record, "log")
    ),
    "an export of ChatGPT": _has("mapping", "current_node"),
    "a run of LangSmith: export it as OpenTelemetry instead": _has("run_type", "inputs"),
    "an observation of Langfuse: export it as OpenTelemetry instead": _has(
        "traceId", "startTime", "level"
    ),
    "requests to Gemini's API": _has("contents"),
}
