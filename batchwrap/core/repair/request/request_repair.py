"""Repairs a request before it is sent: its fields, tools and messages.

This is a pure function: the same request gives the same bytes, so a prompt cache keeps its prefix.
Parts that need no repair are returned as the same objects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from math import isfinite
from operator import is_
from typing import Any

from batchwrap.core.failures import looks_failed
from batchwrap.core.formats import chat
from batchwrap.core.provider import RequestRules
from batchwrap.core.repair.request import history, order, repeated_failures
from batchwrap.core.repair.request.validity import Checked
from batchwrap.options import Repair

Count = Callable[[str], None]
# Returns a turn's reasoning content by its position and first call; None if it is unknown.
Recall = Callable[[int, chat.ToolCall], str | None]
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_WHOLE = ("max_tokens", "max_completion_tokens", "n", "seed", "top_logprobs", "top_k")
_REAL = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "min_p")
_MOST_OUTPUT = ("max_tokens", "max_completion_tokens")
_NEED_TOOLS = ("tools", "tool_choice", "parallel_tool_calls")


def asked_output(body: chat.Body) -> object:
    """The limit of output tokens that a request asks for, in the field that reserves them."""
    return body.get("max_completion_tokens")


def repair_request(
    body: chat.Body,
    rules: RequestRules,
    options: Repair,
    count: Count,
    *,
    recall: Recall = lambda *_: None,
    failed: Callable[[str], bool] = looks_failed,
    checked: Checked | None = None,
) -> chat.Body:
    """The request in the form that its provider accepts; the same object if it has that form.

    Args:
        body: the request.
        rules: what the provider accepts.
        options: which repairs are on.
        count: called with the name of each repair.
        recall: returns reasoning content that the agent has dropped.
        failed: whether a tool's result reads as failed.
        checked: the part of the conversation that is known to be valid.
    """
    if options.request:
        body = _fields(body, rules, options, count)
    if options.max_output is not None and rules.reserves_output:
        body = _capped(body, options.max_output, count)
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(
        issubclass(kind, dict) for kind in set(map(type, messages))
    ):
        return body
    repaired = list(messages)
    if options.request:
        repaired = _roles(repaired, rules, count, recall)
        repaired = history.repair_history(repaired, rules, count, checked)
    if options.fold_failures:
        repaired = repeated_failures.fold(repaired, failed, count)
    if options.rearrange:
        repaired = order.arrange(repaired, rules, count)
    is_same = len(repaired) == len(messages) and all(map(is_, repaired, messages))
    return body if is_same else {**body, "messages": repaired}


def _fields(body: chat.Body, rules: RequestRules, options: Repair, count: Count) -> chat.Body:
    """The request without fields that are refused, and with numbers in place of numeric strings."""
    made = dict(body)
    for name in rules.refused:
        made.pop(name, None)
    if not rules.stream_options and options.rearrange:
        made.pop("stream_options", None)  # the usage of the answer is then estimated
    # vLLM and others refuse an empty list of tools ("[] is too short - 'tools'").
    if not made.get("tools"):
        for name in _NEED_TOOLS:
            made.pop(name, None)
    for name in (*_WHOLE, *_REAL):
        if isinstance(made.get(name), str):
            made[name] = _number(made[name], whole=name in _WHOLE)
    if rules.max_field == "max_tokens" and "max_completion_tokens" in made:
        most = made.pop("max_completion_tokens")
        made.setdefault("max_tokens", most)
    if not rules.strict_mixed:
        made = _without_strict(made)
    if made == body:
        return body
    count("fields")
    return made


def _capped(body: chat.Body, most: int, count: Count) -> chat.Body:
    """The request with its limits of output tokens lowered to the maximum."""
    over = [n for n in _MOST_OUTPUT if isinstance(body.get(n), int) and body[n] > most]
    if not over:
        return body
    count("max_output")
    return {**body, **dict.fromkeys(over, most)}


def _number(text: str, *, whole: bool) -> Any:
    """The number that a text represents exactly; the text itself if it represents none."""
    if not _NUMBER.fullmatch(text):
        return text
    value = float(text)
    if not isfinite(value):
        return text
    if whole:
        return int(text) if text.isdigit() else text
    return value


def _without_strict(body: chat.Body) -> chat.Body:
    """The request without `strict`, unless all tools have it: some hosts refuse a mixture.

    https://github.com/mpfaffenberger/code_puppy/commit/ec57423075e6d802fbf26bbbb99c3cddb63104fc
    """
    functions = chat.function_tools(body.get("tools"))
    strict = sum(bool(function.get("strict")) for function in functions)
    if not any("strict" in function for function in functions) or strict == len(functions):
        return body
    tools = [
        {**tool, "function": {k: v for k, v in tool["function"].items() if k != "strict"}}
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
        else tool
        for tool in body["tools"]
    ]
    return {**body, "tools": tools}


def _roles(
    messages: Sequence[chat.Message], rules: RequestRules, count: Count, recall: Recall
) -> list[chat.Message]:
    """The messages with only the roles and fields that the provider knows."""
    if rules.developer and rules.reasoning == "keep" and not rules.refused_of_messages:
        return list(messages)
    made = [
        _known(message, rules, partial(recall, place)) for place, message in enumerate(messages)
    ]
    if any(new is not old for new, old in zip(made, messages, strict=True)):
        count("fields")
    return made


def _known(
    message: chat.Message, rules: RequestRules, recall: Callable[[chat.ToolCall], str | None]
) -> chat.Message:
    if message.get("role") == "developer" and not rules.developer:
        message = {**message, "role": "system"}
    if not rules.refused_of_messages.isdisjoint(message):
        message = {k: v for k, v in message.items() if k not in rules.refused_of_messages}
    if message.get("role") != "assistant" or rules.reasoning == "keep":
        return message
    # DeepSeek's thinking mode refuses turns with calls that lack it; others refuse the field.
    if rules.reasoning == "want":
        calls = chat.tool_calls(message)
        if not calls or message.get("reasoning_content") is not None:
            return message
        return {**message, "reasoning_content": recall(calls[0]) or ""}
    if "reasoning_content" not in message:
        return message
    return {key: value for key, value in message.items() if key != "reasoning_content"}
