"""What the strict provider refuses."""

from __future__ import annotations

from typing import Any

import pytest

from batchwrap.lab.validate import check

USER = {"role": "user", "content": "hi"}


def call(call_id: Any = "call_1", arguments: Any = "{}") -> dict[str, Any]:
    function = {"name": "read", "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def turn(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def result(call_id: str = "call_1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "text"}


def tool(name: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {}}}


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        [USER, turn(call("a"), call("b")), result("b"), result("a")],
        [USER, turn(call()), result(), turn(call()), result(), USER],
        [USER, turn(call("a" * 40)), result("a" * 40)],
        [USER, turn(call(arguments='{"broken": ')), result()],
    ],
)
def test_valid_conversations_pass(messages: list[Any]) -> None:
    """Answered calls pass in any order, with ids that repeat from turn to turn."""
    assert check({"messages": messages, "tools": [tool("read")]}) is None


@pytest.mark.parametrize(
    ("body", "culprit"),
    [
        (None, "JSON"),
        ([], "JSON"),
        ({}, "'messages'"),
        ({"messages": []}, "'messages'"),
        ({"messages": ["hi"]}, "messages[0].role"),
        ({"messages": [{"role": "robot"}]}, "'robot'"),
        ({"messages": [USER], "max_tokens": 0}, "'max_tokens'"),
        ({"messages": [USER], "n": "2"}, "'n'"),
        ({"messages": [USER, turn(call("x")), USER, result("x")]}, "x"),
        ({"messages": [USER, turn(call("x"), call("y")), result("x")]}, "y"),
        ({"messages": [USER, result("stray")]}, "'stray'"),
        ({"messages": [USER, turn(call()), result(), USER, result()]}, "messages[4]"),
        ({"messages": [USER, turn(call("d"), call("d")), result("d")]}, "'d'"),
        ({"messages": [USER, turn(call("a" * 41)), result("a" * 41)]}, "length 41"),
        ({"messages": [USER, turn(call("a:b")), result("a:b")]}, "'a:b'"),
        ({"messages": [USER, turn(call("")), result("")]}, "tool_calls[0].id"),
        ({"messages": [USER, turn(call(None)), result()]}, "tool_calls[0].id"),
        ({"messages": [USER, turn(call(arguments={})), result()]}, "function.arguments"),
        ({"messages": [USER, turn()]}, "messages[1].tool_calls"),
        ({"messages": [USER], "tools": "read"}, "'tools'"),
        ({"messages": [USER], "tools": [tool("a b")]}, "'a b'"),
        ({"messages": [USER], "tools": [tool("a" * 65)]}, "tools[0]"),
        ({"messages": [USER], "tools": [tool("read"), tool("read")]}, "tools[1]"),
    ],
)
def test_wrong_requests_are_refused_by_name(body: Any, culprit: str) -> None:
    """A wrong request gets a wrapped 400 whose message names what is wrong with it."""
    answer = check(body)
    assert answer is not None
    assert answer.status == 400
    assert culprit in answer.body["error"]["message"]
