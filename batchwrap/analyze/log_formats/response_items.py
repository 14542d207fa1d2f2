"""Converts items of the Responses API to chat messages; consecutive items are one turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from batchwrap.analyze.files import Record
from batchwrap.analyze.log_messages import (
    assistant,
    call,
    count_of,
    dict_of,
    dicts_in,
    result,
    usage_from,
)
from batchwrap.core.formats import chat
from batchwrap.core.limits.cost import Usage

_FUNCTION = "function_call"
# Calls of no function, which batchwrap does not batch: custom calls, whose input is a text, and
# calls of tools that the API itself declares.
_OTHERS = ("custom_tool_call", "local_shell_call", "shell_call", "apply_patch_call")
_RESULTS = frozenset(f"{kind}_output" for kind in (_FUNCTION, *_OTHERS))


def message_of(item: Record) -> chat.Message | None:
    """The message for an item; None for an item that is no message, such as reasoning."""
    kind = item.get("type")
    if not isinstance(kind, str | None):
        return None
    if kind == _FUNCTION or kind in _OTHERS:
        given = item.get("arguments", item.get("input", item.get("action", item.get("operation"))))
        name = item.get("name") or str(kind).removesuffix("_call")
        is_function = kind == _FUNCTION
        return assistant("", [call(item.get("call_id"), name, given, is_function=is_function)])
    if kind in _RESULTS:
        output: Any = item.get("output")
        told = output.get("content") if isinstance(output, dict) else output
        return result(item.get("call_id"), told)
    if kind not in (None, "message") or not isinstance(item.get("role"), str):
        return None
    text = chat.text_of(item.get("content"))
    is_answer = item["role"] == "assistant"
    return assistant(text, []) if is_answer else {"role": item["role"], "content": text}


def messages_of(items: object) -> list[chat.Message]:
    """The messages of an input or an output; consecutive items of the model are one message."""
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    return list(_joined(filter(None, map(message_of, dicts_in(items)))))


def failed(item: Record) -> bool:
    """Whether an item says that its call failed."""
    return dict_of(item, "output").get("success") is False


def usage_of(usage: Record) -> Usage | None:
    """The tokens of a request; None if there are none."""
    prompt = count_of(usage.get("input_tokens"))
    told = usage.get("cached_input_tokens") or dict_of(usage, "input_tokens_details").get(
        "cached_tokens"
    )
    return usage_from(prompt, count_of(usage.get("output_tokens")), count_of(told))


def _joined(messages: Iterable[chat.Message]) -> Iterator[chat.Message]:
    turn: chat.Message | None = None
    for message in messages:
        if message["role"] == "assistant" and turn is not None:
            said = "\n".join(filter(None, (turn["content"], message["content"])))
            turn = assistant(said, [*chat.tool_calls(turn), *chat.tool_calls(message)])
            continue
        if turn is not None:
            yield turn
        turn = message if message["role"] == "assistant" else None
        if turn is None:
            yield message
    if turn is not None:
        yield turn
