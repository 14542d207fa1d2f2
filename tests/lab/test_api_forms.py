"""Scripted models answer requests of all three APIs, read as the same conversation."""

from __future__ import annotations

from typing import Any

import pytest

from batchwrap.lab import Call, FileReader, Habit, Reply
from batchwrap.lab.api_forms import API_FORMS, as_chat
from batchwrap.lab.transcript import calls_of, text_of

READ = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
}
LISTED = {"type": "object", "properties": {"files": {"type": "array", "items": READ}}}
SCHEMAS = {"read_file": READ, "multi_read": LISTED}
GIVEN = {"files": [{"path": "a.py"}, {"path": "b.py"}]}
RESULT = "[1/2] read_file a.py\nA\n[2/2] read_file b.py\nB"
TASK = "Read a.py and b.py."
WRITTEN = '{"files":[{"path":"a.py"},{"path":"b.py"}]}'

CHAT = {
    "tools": [
        {"type": "function", "function": {"name": name, "parameters": schema}}
        for name, schema in SCHEMAS.items()
    ],
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": TASK},
        {
            "role": "assistant",
            "content": "Reading.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "multi_read", "arguments": WRITTEN},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": RESULT},
    ],
}
MESSAGES = {
    "system": "Be brief.",
    "tools": [{"name": name, "input_schema": schema} for name, schema in SCHEMAS.items()],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": TASK}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Reading."},
                {"type": "tool_use", "id": "c1", "name": "multi_read", "input": GIVEN},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c1", "content": RESULT}],
        },
    ],
}
RESPONSES = {
    "instructions": "Be brief.",
    "tools": [
        {"type": "function", "name": name, "parameters": schema} for name, schema in SCHEMAS.items()
    ],
    "input": [
        {"role": "user", "content": TASK},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Reading."}],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c1",
            "name": "multi_read",
            "arguments": WRITTEN,
        },
        {"type": "function_call_output", "call_id": "c1", "output": RESULT},
    ],
}
ALL = pytest.mark.parametrize(
    "request_", [CHAT, MESSAGES, RESPONSES], ids=["chat", "messages", "responses"]
)


@ALL
def test_the_same_conversation(request_: dict[str, Any]) -> None:
    """Roles, texts, calls and results are the same, and reading them again changes nothing."""
    chat = as_chat(request_)
    said = [(message["role"], text_of(message)) for message in chat["messages"]]
    assert said == [
        ("system", "Be brief."),
        ("user", TASK),
        ("assistant", "Reading."),
        ("tool", RESULT),
    ]
    [call] = calls_of(chat["messages"])
    assert (call.name, call.arguments, call.result) == ("multi_read", GIVEN, RESULT)
    assert as_chat(chat) == chat


@ALL
def test_a_model_for_all(request_: dict[str, Any]) -> None:
    """One model goes on in each of them: first it reads both files in one call, then it ends."""
    model = FileReader(habit=Habit(unasked=True))
    first = dict(request_)
    items = "input" if "input" in first else "messages"
    task = next(n for n, one in enumerate(first[items]) if one["role"] == "user")
    first[items] = first[items][: task + 1]
    assert model(first) == Reply(calls=(Call("multi_read", GIVEN),))
    assert model(request_) == Reply("Done.")


def test_other_items() -> None:
    """A text as input, custom calls, and what is no message or call do no harm."""
    assert as_chat({"input": "Hi."})["messages"] == [{"role": "user", "content": "Hi."}]
    items = [
        {"type": "additional_tools", "role": "developer", "tools": []},
        {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
        {"role": "assistant", "content": "Yes."},
        {"type": "item_reference", "id": "msg_1"},
    ]
    chat = as_chat({"input": items, "tools": [{"type": "web_search"}], "tool_choice": "none"})
    assert chat["tools"] == [{"type": "web_search"}]
    assert chat["tool_choice"] == "none"
    [call] = calls_of(chat["messages"])
    assert (call.name, call.arguments, call.result) == ("patch", "*** Begin", "done")
    assert text_of(chat["messages"][-1]) == "Yes."


@pytest.mark.parametrize("name", API_FORMS)
@pytest.mark.parametrize(
    "choice",
    ["none", "auto", "required", {"type": "function", "function": {"name": "read_file"}}, None],
)
@pytest.mark.parametrize("parallel", [{}, {"parallel_tool_calls": False}])
def test_choices_of_tools(name: str, choice: Any, parallel: dict[str, bool]) -> None:
    """Which tools a model may call, and how many at a time, is the same in each API."""
    asked = {**CHAT, **({} if choice is None else {"tool_choice": choice}), **parallel}
    chat = as_chat(API_FORMS[name].request(asked))
    assert chat.get("tool_choice", "auto") == asked.get("tool_choice", "auto")
    assert chat.get("parallel_tool_calls") == asked.get("parallel_tool_calls")


def test_hosted_tools_of_messages() -> None:
    """A tool that Anthropic runs stays as it is; what the model thought is no part of its text."""
    tool = {"type": "web_search_20250305", "name": "web_search"}
    said = [
        {"type": "thinking", "thinking": "Hm.", "signature": "s"},
        {"type": "text", "text": "A"},
    ]
    messages = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": said}]
    chat = as_chat({"system": "S", "messages": messages, "tools": [tool]})
    assert chat["tools"] == [tool]
    assert chat["messages"][-1] == {"role": "assistant", "content": "A"}
