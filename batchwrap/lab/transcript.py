"""Reads a conversation as a model does: what was called, read, and asked for.

It knows the chat completions format and one convention of batched results, a header line
``[i/n] tool path`` above each item's text. It shares no code with the modules that write them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

Request = dict[str, Any]
Message = dict[str, Any]

_PATH_NAMES = ("path", "file_path", "filePath", "filepath", "file", "filename", "target_file")


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool that the request offers.

    Attributes:
        name: its name.
        items: the parameter that holds a list of objects, if that is its only parameter;
            None for a single tool.
        path: the parameter (of an item, for a multi-tool) that names the file.
        max_items: the schema's `maxItems`.
        fields: names of the parameters (of an item, for a multi-tool).
    """

    name: str
    items: str | None
    path: str
    max_items: int | None
    fields: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MadeCall:
    """A call in the conversation.

    Attributes:
        name: the tool's name.
        arguments: the parsed arguments; the text itself if it is not JSON.
        result: the text of the tool message that answers it; None if there is none.
    """

    name: str
    arguments: Any
    result: str | None

    def items(self) -> list[dict[str, Any]]:
        """The items of a multi-call; none for any other."""
        if isinstance(self.arguments, dict) and len(self.arguments) == 1:
            (value,) = self.arguments.values()
            if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
                return value
        return []


def text_of(message: Message) -> str:
    """The text of a message, whose content may be a string or a list of parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def tools_of(request: Request) -> list[OfferedTool]:
    """The function tools that the request lets the model call, in order."""
    if request.get("tool_choice") == "none":
        return []
    functions = (tool.get("function") for tool in request.get("tools") or ())
    return [_tool(function) for function in functions if isinstance(function, dict)]


def _tool(function: dict[str, Any]) -> OfferedTool:
    schema = function.get("parameters") or {}
    properties = schema.get("properties") or {}
    if len(properties) == 1:
        ((name, listed),) = properties.items()
        listed = listed if isinstance(listed, dict) else {}
        # A multi-tool is recognised by its shape: one parameter, a list of objects.
        item = listed.get("items")
        if listed.get("type") == "array" and isinstance(item, dict) and "properties" in item:
            most, fields = listed.get("maxItems"), frozenset(item["properties"])
            return OfferedTool(function["name"], name, _path_name(item), most, fields)
    return OfferedTool(function["name"], None, _path_name(schema), None, frozenset(properties))


def _path_name(schema: dict[str, Any]) -> str:
    properties = list(schema.get("properties") or ())
    required = list(schema.get("required") or ())
    known = (name for name in _PATH_NAMES if name in properties)
    return next(known, next(iter(required + properties), "path"))


def calls_of(messages: list[Message]) -> Iterator[MadeCall]:
    """The calls of all assistant messages with their results, in order."""
    for at, message in enumerate(messages):
        if message["role"] != "assistant" or not message.get("tool_calls"):
            continue
        results: dict[str, str] = {}
        for answer in messages[at + 1 :]:
            if answer["role"] != "tool":
                break
            # Of several results of one call the first counts, as in batchwrap.
            results.setdefault(answer["tool_call_id"], text_of(answer))
        for call in message["tool_calls"]:
            function = call["function"]
            yield MadeCall(function["name"], parsed(function["arguments"]), results.get(call["id"]))


def flat(calls: Iterable[MadeCall]) -> Iterator[MadeCall]:
    """The calls, with each mixed batch replaced by the calls that its items name."""
    for call in calls:
        items = call.items()
        # Only a mixed batch names the tool of each item.
        if not items or not all({"tool", "arguments"} == item.keys() for item in items):
            yield call
            continue
        # A batch of anything has one result, with a header for each item that was run.
        paths = [path_of(item["arguments"]) for item in items]
        texts = split_batch(call.result, paths) if call.result is not None else [None] * len(items)
        for item, text in zip(items, texts, strict=True):
            yield MadeCall(item["tool"], item["arguments"], text)


def path_of(arguments: Any) -> str | None:
    """The path in the arguments of a call, if there is one."""
    given = arguments if isinstance(arguments, dict) else {}
    return next((given[n] for n in _PATH_NAMES if isinstance(given.get(n), str)), None)


def parsed(arguments: Any) -> Any:
    """A call's arguments as a value; text that is not JSON stays a string."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments


def turns_after(messages: list[Message]) -> Iterator[tuple[int, Message]]:
    """Pairs of (assistant turns after it, message) for each message, the newest first."""
    turns = 0
    for message in reversed(messages):
        yield turns, message
        turns += message["role"] == "assistant"


def current_prompt(messages: list[Message]) -> str:
    """What the user has asked for since the assistant last ended its turn.

    All user messages since then count, since a note in the middle of a job is not a new job.
    """
    asked: list[str] = []
    for message in reversed(messages):
        if message["role"] == "assistant" and not message.get("tool_calls"):
            break
        if message["role"] == "user":
            asked.append(text_of(message))
    return "\n".join(reversed(asked))


def files_read(calls: list[MadeCall], tools: dict[str, OfferedTool]) -> dict[str, str]:
    """The texts of the files that were read, by path; the newest text of each."""
    files: dict[str, str] = {}
    for call in calls:
        tool = tools.get(call.name)
        if tool is None or call.result is None or not isinstance(call.arguments, dict):
            continue
        if tool.items is None:
            path = call.arguments.get(tool.path)
            if isinstance(path, str):
                files[path] = call.result
        else:
            paths = [str(item.get(tool.path)) for item in call.items()]
            texts = zip(paths, split_batch(call.result, paths), strict=True)
            files.update({path: text for path, text in texts if text is not None})
    return files


def split_batch(result: str, paths: Sequence[str | None]) -> list[str | None]:
    """The text of each item in the result of a multi-call.

    A line counts as the header of item i only with the right numbers and the path of item i, if
    it has one, and only after the header of item i - 1. So similar lines of a file stay in its
    text. If no header names its path, the numbers alone are enough.

    Returns:
        The texts; None for an item whose header is missing, since it was not run. If there is no
        header at all, each item gets the whole result.
    """
    heads = _headers(result, [_label(path) for path in paths])
    heads = heads or _headers(result, [r"\S+" for _ in paths])
    if not heads:
        return [result] * len(paths)
    texts: list[str | None] = []
    end = len(result)
    for number in range(len(paths), 0, -1):
        if number in heads:
            start, after = heads[number]
            texts.append(result[after + 1 : end])
        else:
            texts.append(None)
            before = max((heads[other][1] for other in heads if other < number), default=0)
            labelled = re.compile(rf"^\[{number}/{len(paths)}\] [^\n]*$", re.MULTILINE)
            start = max(
                (m.start() for m in labelled.finditer(result, before, end)), default=end + 1
            )
        end = start - 1
    return texts[::-1]


def _label(path: str | None) -> str:
    return r"\S+" if path is None else rf"\S+ {re.escape(path)}(?: [^\n]*)?"


def _headers(result: str, labels: list[str]) -> dict[int, tuple[int, int]]:
    """The position of each item's header, by its number; `labels` are patterns."""
    found: dict[int, tuple[int, int]] = {}
    at = 0
    for number, label in enumerate(labels, 1):
        pattern = re.compile(rf"^\[{number}/{len(labels)}\] {label}$", re.MULTILINE)
        header = pattern.search(result, at)
        if header:
            found[number], at = header.span(), header.end()
    return found
