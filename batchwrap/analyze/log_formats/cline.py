"""Reads tasks of Cline and Roo Code: ``api_conversation_history.json`` and ``ui_messages.json``.

The history has Anthropic's messages, with more beside them. Older versions write calls as XML in
the text (`text_calls`). What the user saw (``ui_messages.json``) has the tokens of each request and
its calls, but neither most results nor how the calls were made. As XML, an answer can have only one
call, so calls count as text unless an answer of the task has several. Where both files are in a
folder, only the history is read (`files`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_formats.blocks import as_chat
from batchwrap.analyze.log_messages import (
    Said,
    assistant,
    call,
    count_of,
    dict_of,
    dicts_in,
    result,
    text_of,
    usage_from,
)
from batchwrap.core.limits.cost import Usage

NAME = "Cline and Roo Code"
_MARKS = ("<environment_details>", "<task>", "<user_message>")
_TOOLS = {
    "appliedDiff": "apply_diff",
    "editedExistingFile": "replace_in_file",
    "listFilesRecursive": "list_files",
    "listFilesTopLevel": "list_files",
    "newFileCreated": "write_to_file",
    "readFile": "read_file",
    "searchFiles": "search_files",
}


def recognises(record: Record) -> bool:
    """Whether a record is a history, or a message of those that the user saw."""
    if record.get("type") in ("ask", "say"):
        return "ts" in record and text_of(record.get(str(record["type"]))) != ""
    messages = dicts_in(record.get("messages"))
    texts = [text_of(part.get("text")) for part in _blocks(messages[:1])]
    is_marked = any(mark in text for text in texts for mark in _MARKS)
    # A log of the same agent's requests has more than Anthropic's messages.
    is_logged = "response" in record or "choices" in record
    return is_marked and not is_logged and not any("tool_calls" in one for one in messages)


def _blocks(messages: list[Record]) -> Iterator[Record]:
    return (part for one in messages for part in dicts_in(one.get("content")))


def read(records: Iterator[Record], file: str) -> Iterator[Said]:
    """The messages of a task."""
    seen = _Seen(file)
    shown: list[Said] = []
    for record in records:
        for message in dicts_in(record.get("messages")):
            yield from _said(message, file)
        if "messages" not in record:
            shown += seen.said(record)
    yield from (replace(one, as_text=seen.is_text) for one in shown)


def _said(message: Record, session: str) -> Iterator[Said]:
    if message.get("type") == "reasoning":  # Roo Code keeps encrypted reasoning apart
        return
    # A summary takes the place of what was condensed, and was no round trip of the agent's.
    role = "user" if message.get("isSummary") is True else message.get("role")
    usage = _usage(dict_of(message, "metrics", "tokens"))
    for said, failed in as_chat({**message, "role": role}):
        yield Said(
            session=session,
            message=said,
            source=NAME,
            model=text_of(dict_of(message, "modelInfo").get("modelId")),
            usage=usage if said["role"] == "assistant" else None,
            failed=failed,
        )


def _usage(tokens: Record) -> Usage | None:
    prompt, output = count_of(tokens.get("prompt")), count_of(tokens.get("completion"))
    return usage_from(prompt, output, count_of(tokens.get("cached")))


class _Seen:
    """Converts what the user saw, message by message.

    Attributes:
        is_text: whether no answer so far has several calls.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._answers = 0
        self._calls = 0
        self._calls_before = 0  # those of the answers before the last one
        self.is_text = True

    def said(self, record: Record) -> Iterator[Said]:
        """The message for what the user saw, if it is one of the conversation."""
        kind, text = record.get(str(record.get("type"))), text_of(record.get("text"))
        model = text_of(dict_of(record, "modelInfo").get("modelId"))
        if record.get("partial") is True:
            return
        if kind == "api_req_started":
            about = _object_in(text)
            usage = _request_usage(about)
            if usage is None and _has_failed(about):
                return
            self._answers, self._calls_before = self._answers + 1, self._calls
            yield self._say(assistant("", []), model, usage)
        elif kind == "text" and self._answers:
            yield self._say(assistant(text, []), model)
        elif kind in ("task", "text", "user_feedback"):
            yield self._say({"role": "user", "content": text})
        elif kind == "command_output" and self._calls:
            yield self._say(result(self._calls, text))
        elif self._answers and (made := _call(kind, text)) is not None:
            self._calls += 1
            self.is_text &= self._calls - self._calls_before < 2
            yield self._say(assistant("", [call(self._calls, *made)]), model)

    def _say(self, message: Record, model: str = "", usage: Usage | None = None) -> Said:
        return Said(
            session=self._file,
            message=message,
            source=NAME,
            model=model,
            usage=usage,
            answer=str(self._answers) if message["role"] == "assistant" else None,
        )


def _has_failed(about: Record) -> bool:
    """Whether a request without tokens brought no answer."""
    return "cancelReason" in about or "streamingFailedMessage" in about


def _call(kind: object, text: str) -> tuple[str, Record] | None:
    """The tool and the arguments of a call that the user saw; None for anything else."""
    given = _object_in(text)
    if kind == "tool":
        name = text_of(given.get("tool"))
        return _TOOLS.get(name, name), {key: given[key] for key in given if key != "tool"}
    if kind == "command":
        return "execute_command", {"command": text}
    if kind == "use_mcp_server":
        return text_of(given.get("toolName")) or "use_mcp_server", given
    return None


def _request_usage(about: Record) -> Usage | None:
    """The tokens of a request, which are counted as Anthropic does."""
    cached, written = count_of(about.get("cacheReads")), count_of(about.get("cacheWrites"))
    prompt = count_of(about.get("tokensIn")) + cached + written
    return usage_from(prompt, count_of(about.get("tokensOut")), cached)


def _object_in(text: str) -> dict[str, Any]:
    try:
        return dict_of(orjson.loads(text))
    except orjson.JSONDecodeError:
        return {}
