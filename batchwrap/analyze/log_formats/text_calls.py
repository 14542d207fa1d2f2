"""Finds calls that an agent has its model write as text, such as XML tags, instead of tool calls.

batchwrap cannot batch such calls. They are counted, so that a report says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from batchwrap.analyze.log_messages import Said, call, result
from batchwrap.core.formats import chat
from batchwrap.core.repair.leaks import json_markup, tags

_Call = tuple[str, Any]
# The tools of Cline and Roo Code while they wrote calls as XML.
_NAMES = (
    "access_mcp_resource",
    "apply_diff",
    "ask_followup_question",
    "attempt_completion",
    "browser_action",
    "codebase_search",
    "execute_command",
    "fetch_instructions",
    "insert_content",
    "list_code_definition_names",
    "list_files",
    "new_task",
    "plan_mode_respond",
    "read_file",
    "replace_in_file",
    "search_and_replace",
    "search_files",
    "switch_mode",
    "update_todo_list",
    "use_mcp_tool",
    "write_to_file",
)
_ENDS = tuple(f"</{name}>" for name in _NAMES)
_TAG = re.compile(rf"^<({'|'.join(_NAMES)})>", re.MULTILINE)
_PARAMETER = re.compile(r"<(\w+)>")
_DIALECTS = (tags.QWEN, json_markup.HERMES, tags.MINIMAX)
_MARKER = re.compile("|".join(re.escape(one) for kind in _DIALECTS for one in kind.markers))
# Each marker that begins no call may be read to the end of the text.
_MOST_TRIES = 20


def with_text_calls(said: Iterator[Said]) -> Iterator[Said]:
    """The messages of a log, where calls in the text are calls that are marked as text.

    The message after such calls is the result of the first one.
    """
    waiting: dict[str, str] = {}
    for number, one in enumerate(said):
        role, message = one.message.get("role"), one.message
        if role == "user" and one.session in waiting:
            message = result(waiting.pop(one.session), message.get("content"))
            yield replace(one, message=message)
            continue
        waiting.pop(one.session, None)
        if role != "assistant" or any(chat.tool_calls(message)):
            yield one
            continue
        text = "\n".join(chat.texts(message.get("content")))
        made = [call(f"text-{number}-{place}", *it) for place, it in enumerate(calls_in(text))]
        if made:
            waiting[one.session] = made[0]["id"]
            one = replace(one, message={**message, "tool_calls": made}, as_text=True)
        yield one


def calls_in(text: str) -> list[_Call]:
    """The names and arguments of the calls in an answer's text; empty if there are none.

    >>> calls_in("I look.\\n<read_file>\\n<path>a.py</path>\\n</read_file>")
    [('read_file', {'path': 'a.py'})]
    """
    return list(_tagged(text)) or list(_in_dialects(text))


def _tagged(text: str) -> Iterator[_Call]:
    """The calls between tags with the names of tools. The answer ends with the last one."""
    if not text.rstrip().endswith(_ENDS):
        return
    found = _TAG.search(text)
    while found is not None:
        end = text.find(f"</{found[1]}>", found.end())
        if end < 0:
            return
        yield found[1], dict(_parameters(text[found.end() : end]))
        found = _TAG.search(text, end)


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    found = _PARAMETER.search(text)
    while found is not None:
        end = text.find(f"</{found[1]}>", found.end())
        if end < 0:
            return
        value = text[found.end() : end].strip()
        # Roo Code's `read_file` has its path two tags further in.
        yield from _parameters(value) if found[1] in ("args", "file") else [(found[1], value)]
        found = _PARAMETER.search(text, end)


def _in_dialects(text: str) -> Iterator[_Call]:
    """The calls in the markup that models write where a server does not parse it."""
    at, tries = 0, 0
    while tries < _MOST_TRIES and (marker := _MARKER.search(text, at)) is not None:
        read = (dialect.read(text, marker.start()) for dialect in _DIALECTS)
        leaks, at = next(filter(None, read), ([], marker.end()))
        tries += not leaks
        yield from ((leak.name, leak.given) for leak in leaks if leak.name)
