"""One small job as each format would have logged it. All of it is made up.

The user names ``src/a.py`` and ``src/b.py``. The model reads both, edits the first, runs the
tests, which fail, and reads ``src/c.py``, of which it heard in the first result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from batchwrap.core.parse import rendered

Json = dict[str, Any]
PROMPT = "Read src/a.py and src/b.py, then fix what is wrong."
EDIT = {"file_path": "src/a.py", "old_string": "one", "new_string": "two"}
# (tool, arguments, result); the fourth result reads as failed.
STEPS: list[tuple[str, Json, str]] = [
    ("Read", {"file_path": "src/a.py"}, "see c.py for one"),
    ("Read", {"file_path": "src/b.py", "offset": 3}, "nothing here"),
    ("Edit", EDIT, "done"),
    ("Bash", {"command": "make test"}, "Error: 1 failed"),
    ("Read", {"file_path": "src/c.py"}, "two = 2"),
]
DONE = "It works."
SHELL = [
    "cat src/a.py",
    "sed -n '3,9p' src/b.py",
    "sed -i s/one/two/ src/a.py",
    "make test",
    "cat src/c.py",
]


def prompt_tokens(turn: int) -> int:
    """What the request of a turn takes; all of the last one comes out of a cache."""
    return 1_000 + 100 * turn


def cached_tokens(turn: int) -> int:
    """What of it is cached."""
    return prompt_tokens(turn - 1) if turn else 0


def lines(*records: Json) -> bytes:
    """Records as JSON lines."""
    return b"".join(rendered(record) + b"\n" for record in records)


def chat_call(turn: int) -> Json:
    """The call of a turn."""
    name, given, _ = STEPS[turn]
    function = {"name": name, "arguments": orjson.dumps(given).decode()}
    return {"id": f"call_{turn}", "type": "function", "function": function}


def chat_answer(turn: int) -> Json:
    """The assistant message of a turn."""
    if turn == len(STEPS):
        return {"role": "assistant", "content": DONE}
    return {"role": "assistant", "content": None, "tool_calls": [chat_call(turn)]}


def chat_usage(turn: int) -> Json:
    """The usage of a turn."""
    return {
        "prompt_tokens": prompt_tokens(turn),
        "completion_tokens": 20,
        "prompt_tokens_details": {"cached_tokens": cached_tokens(turn)},
    }


def chat_history(turn: int, name: str = "") -> list[Json]:
    """The messages of a turn's request."""
    messages: list[Json] = [{"role": "user", "content": f"{name}{PROMPT}"}]
    for before in range(turn):
        messages.append(chat_answer(before))
        result = {"role": "tool", "tool_call_id": f"call_{before}", "content": STEPS[before][2]}
        messages.append(result)
    return messages


def completion(turn: int) -> Json:
    """The answer to a turn's request."""
    choice = {"index": 0, "message": chat_answer(turn), "finish_reason": "stop"}
    return {"id": "x", "model": "swift", "choices": [choice], "usage": chat_usage(turn)}


def conversation() -> bytes:
    """A whole conversation on one line."""
    messages = [*chat_history(len(STEPS)), chat_answer(len(STEPS))]
    return lines({"id": "chat-1", "model": "swift", "messages": messages})


def messages() -> bytes:
    """A document that is a list of messages."""
    listed = [*chat_history(len(STEPS)), chat_answer(len(STEPS))]
    return orjson.dumps(listed, option=orjson.OPT_INDENT_2)


def message_lines() -> bytes:
    """A message on each line."""
    return lines(*chat_history(len(STEPS)), chat_answer(len(STEPS)))


def requests(name: str = "") -> bytes:
    """A log of requests and their answers."""
    return lines(*(request(turn, name) for turn in range(len(STEPS) + 1)))


def request(turn: int, name: str = "") -> Json:
    """One request of the log."""
    body = {"model": "swift", "messages": chat_history(turn, name)}
    return {"request": body, "response": completion(turn)}


def items_of(turn: int) -> list[Json]:
    """The items of a turn's answer."""
    thought: Json = {"type": "reasoning", "id": f"rs_{turn}", "summary": []}
    if turn == len(STEPS):
        content = [{"type": "output_text", "text": DONE, "annotations": []}]
        message = {"type": "message", "id": "msg_1", "role": "assistant", "content": content}
        return [thought, message]
    name, given, _ = STEPS[turn]
    call = {"type": "function_call", "id": f"fc_{turn}", "call_id": f"call_{turn}", "name": name}
    return [thought, {**call, "arguments": orjson.dumps(given).decode()}]


def output_of(turn: int) -> Json:
    """The result of a turn's call."""
    top = {"type": "function_call_output", "call_id": f"call_{turn}"}
    return {**top, "output": STEPS[turn][2]}


def input_of(turn: int) -> list[Json]:
    """The whole input of a turn's request."""
    items: list[Json] = [{"role": "user", "content": PROMPT}]
    for before in range(turn):
        items += [*items_of(before), output_of(before)]
    return items


def response(turn: int) -> Json:
    """The response to a turn's request."""
    usage = {
        "input_tokens": prompt_tokens(turn),
        "input_tokens_details": {"cached_tokens": cached_tokens(turn)},
        "output_tokens": 20,
    }
    top = {"id": f"resp_{turn}", "object": "response", "model": "swift"}
    return {**top, "output": items_of(turn), "usage": usage}


def responses() -> bytes:
    """Requests to the Responses API that bring the whole input, and their responses."""
    return lines(
        *(
            {"request": {"model": "swift", "input": input_of(turn)}, "response": response(turn)}
            for turn in range(len(STEPS) + 1)
        )
    )


def responses_continued() -> bytes:
    """Requests that continue the last response by its id."""
    bodies: list[Json] = [{"model": "swift", "input": PROMPT}]
    bodies += [
        {"previous_response_id": f"resp_{turn}", "input": [output_of(turn)]}
        for turn in range(len(STEPS))
    ]
    return lines(*({"body": body, "response": response(turn)} for turn, body in enumerate(bodies)))


def litellm_responses() -> bytes:
    """Standard logging payloads of `litellm.responses`, which tells the usage in chat's words."""
    return lines(
        *(
            {
                "call_type": "aresponses",
                "session_id": "",
                "trace_id": f"trace-{turn}",
                "model": "swift",
                "prompt_tokens": prompt_tokens(turn),
                "messages": input_of(turn),
                "response": {**response(turn), "usage": chat_usage(turn)},
            }
            for turn in range(len(STEPS) + 1)
        )
    )


def litellm() -> bytes:
    """Standard logging payloads."""
    return lines(
        *(
            {
                "id": f"chatcmpl-{turn}",
                "trace_id": f"trace-{turn}",
                "session_id": "lite-1",
                "call_type": "completion",
                "status": "success",
                "model": "swift",
                "prompt_tokens": prompt_tokens(turn),
                "completion_tokens": 20,
                "total_tokens": prompt_tokens(turn) + 20,
                "startTime": 1_790_000_000.0 + turn,
                "endTime": 1_790_000_000.5 + turn,
                "metadata": {"usage_object": chat_usage(turn)},
                "model_parameters": {"temperature": 0},
                "messages": chat_history(turn),
                "response": completion(turn),
            }
            for turn in range(len(STEPS) + 1)
        )
    )


def _parts(message: Json) -> Json:
    """A message in OpenTelemetry's form."""
    if message["role"] == "tool":
        response = {"id": message["tool_call_id"], "response": message["content"]}
        return {"role": "tool", "parts": [{"type": "tool_call_response", **response}]}
    parts: list[Json] = []
    if message.get("content"):
        parts.append({"type": "text", "content": message["content"]})
    for call in message.get("tool_calls", ()):
        given = orjson.loads(call["function"]["arguments"])
        named = {"id": call["id"], "name": call["function"]["name"], "arguments": given}
        parts.append({"type": "tool_call", **named})
    return {"role": message["role"], "parts": parts}


def _attributes(turn: int) -> Json:
    given = list(map(_parts, chat_history(turn)))
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.conversation.id": "otel-1",
        "gen_ai.request.model": "swift",
        "gen_ai.usage.input_tokens": prompt_tokens(turn),
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": cached_tokens(turn),
        "gen_ai.input.messages": orjson.dumps(given).decode(),
        "gen_ai.output.messages": orjson.dumps([_parts(chat_answer(turn))]).decode(),
    }


def otlp() -> bytes:
    """OTLP as JSON, one export on each line."""

    def value(it: object) -> Json:
        return {"intValue": str(it)} if isinstance(it, int) else {"stringValue": it}

    def export(turn: int) -> Json:
        pairs = [{"key": key, "value": value(it)} for key, it in _attributes(turn).items()]
        span = {"traceId": "5b8efff798038103d269b633813fc60c", "name": "chat", "attributes": pairs}
        return {"resourceSpans": [{"scopeSpans": [{"scope": {}, "spans": [span]}]}]}

    return lines(*(export(turn) for turn in range(len(STEPS) + 1)))


def sdk_spans() -> bytes:
    """Spans as the Python SDK prints them."""
    spans = [{"name": "chat", "attributes": _attributes(turn)} for turn in range(len(STEPS) + 1)]
    return b"\n".join(orjson.dumps(span, option=orjson.OPT_INDENT_2) for span in spans) + b"\n"


def claude_code() -> bytes:
    """A log of Claude Code: an answer on two lines, other lines in between."""
    made: list[Json] = [{"type": "summary", "summary": "A job", "leafUuid": "u0"}]

    def line(kind: str, message: Json) -> None:
        about = {"sessionId": "claude-1", "isSidechain": False, "uuid": f"u{len(made)}"}
        when = {"timestamp": "2026-11-01T10:00:00.000Z", "version": "2.1.0", "cwd": "/job"}
        made.append({"type": kind, "message": message, **about, **when})

    line("user", {"role": "user", "content": PROMPT})
    for turn in range(len(STEPS) + 1):
        usage = {
            "input_tokens": prompt_tokens(turn) - cached_tokens(turn) - 10,
            "cache_creation_input_tokens": 10,
            "cache_read_input_tokens": cached_tokens(turn),
            "output_tokens": 20,
        }
        about = {"id": f"msg_{turn}", "role": "assistant", "model": "swift", "usage": usage}
        text = DONE if turn == len(STEPS) else "Next."
        line("assistant", {**about, "content": [{"type": "text", "text": text}]})
        if turn == len(STEPS):
            break
        name, given, result = STEPS[turn]
        call = {"type": "tool_use", "id": f"toolu_{turn}", "name": name, "input": given}
        line("assistant", {**about, "content": [call]})
        block = {"type": "tool_result", "tool_use_id": f"toolu_{turn}", "content": result}
        line("user", {"role": "user", "content": [block]})
        made.append({"type": "file-history-snapshot", "messageId": f"msg_{turn}", "snapshot": {}})
    return lines(*made)


def codex() -> bytes:
    """A rollout of Codex, whose tool is a shell."""
    made: list[Json] = []

    def line(kind: str, payload: Json) -> None:
        made.append({"timestamp": "2026-11-01T10:00:00Z", "type": kind, "payload": payload})

    line("session_meta", {"id": "codex-1", "cwd": "/job", "model_provider": "openai"})
    line("turn_context", {"model": "swift", "cwd": "/job"})
    content = [{"type": "input_text", "text": PROMPT}]
    line("response_item", {"type": "message", "role": "user", "content": content})
    for turn in range(len(STEPS) + 1):
        line("response_item", {"type": "reasoning", "summary": [], "encrypted_content": "x"})
        last = {
            "input_tokens": prompt_tokens(turn),
            "cached_input_tokens": cached_tokens(turn),
            "output_tokens": 20,
        }
        tokens = {"type": "token_count", "info": {"last_token_usage": last}}
        if turn == len(STEPS):
            content = [{"type": "output_text", "text": DONE}]
            line("response_item", {"type": "message", "role": "assistant", "content": content})
            line("event_msg", tokens)
            break
        given = orjson.dumps({"command": ["bash", "-lc", SHELL[turn]]}).decode()
        call = {"type": "function_call", "name": "shell", "arguments": given, "call_id": f"c{turn}"}
        line("response_item", call)
        line("event_msg", tokens)
        output = {"type": "function_call_output", "call_id": f"c{turn}", "output": STEPS[turn][2]}
        line("response_item", output)
    return lines(*made)


def opencode() -> bytes:
    """An export of OpenCode."""
    parts = [{"type": "text", "text": PROMPT}]
    made: list[Json] = [{"info": {"id": "msg_u", "role": "user"}, "parts": parts}]
    for turn in range(len(STEPS) + 1):
        cached = cached_tokens(turn)
        tokens = {
            "input": prompt_tokens(turn) - cached,
            "output": 15,
            "reasoning": 5,
            "cache": {"read": cached, "write": 0},
        }
        info = {"id": f"msg_{turn}", "role": "assistant", "modelID": "swift", "tokens": tokens}
        inside: list[Json] = [{"type": "step-start"}]
        if turn < len(STEPS):
            name, given, result = STEPS[turn]
            given = {key.replace("file_path", "filePath"): it for key, it in given.items()}
            state = {"status": "completed", "input": given, "output": result}
            call = {"type": "tool", "callID": f"call_{turn}", "tool": name.lower(), "state": state}
            inside.append(call)
        else:
            inside.append({"type": "text", "text": DONE})
        inside.append({"type": "step-finish", "tokens": tokens})
        made.append({"info": info, "parts": inside})
    about = {"id": "ses_1", "title": "A job", "version": "1.2.0"}
    return orjson.dumps({"info": about, "messages": made}, option=orjson.OPT_INDENT_2)


def swe_agent() -> bytes:
    """A trajectory whose actions are text."""
    steps = [
        {
            "response": action,
            "thought": "Next.",
            "action": f"{action}\n",
            "observation": result,
            "state": {},
        }
        for action, (_, _, result) in zip(SHELL, STEPS, strict=True)
    ]
    history = [{"role": "user", "content": PROMPT, "agent": "main"}]
    steps.append({"response": DONE, "thought": DONE, "action": "", "observation": "", "state": {}})
    return orjson.dumps(
        {"instance_id": "swe-1", "trajectory": steps, "history": history, "info": {}},
        option=orjson.OPT_INDENT_2,
    )


def swe_agent_calls() -> bytes:
    """A trajectory whose model made tool calls."""
    history = [{**message, "agent": "main"} for message in chat_history(len(STEPS))]
    for message in history:
        if message["role"] == "tool":
            message["tool_call_ids"] = [message.pop("tool_call_id")]
    history.append(chat_answer(len(STEPS)))
    step = {"action": "x", "observation": "y", "response": "z", "thought": ""}
    return orjson.dumps({"instance_id": "swe-2", "trajectory": [step], "history": history})


def skeleton() -> bytes:
    """The same without words."""
    kinds = ["read", "read", "edit", "shell_other", "read"]
    turns: list[list[Any]] = [["u", 1_000]]
    for turn, kind in enumerate(kinds):
        name, given, _ = STEPS[turn]
        path, failed = given.get("file_path"), turn == 3
        call = {"n": name, "k": kind, "p": path, "r": None, "t": 20, "out": 80, "err": failed}
        turns.append(["a", 0, [{**call, "known": True}]])
    turns.append(["a", 20, []])
    about = {"id": "bones-1", "source": "made", "agent": "made", "model": "swift", "native": True}
    return lines({**about, "turns": turns})


MEASURED: dict[str, Callable[[], bytes]] = {
    "requests": requests,
    "responses": responses,
    "responses_continued": responses_continued,
    "litellm": litellm,
    "litellm_responses": litellm_responses,
    "otlp": otlp,
    "sdk_spans": sdk_spans,
    "claude_code": claude_code,
    "codex": codex,
    "opencode": opencode,
}
ESTIMATED: dict[str, Callable[[], bytes]] = {
    "conversation": conversation,
    "messages": messages,
    "message_lines": message_lines,
    "swe_agent": swe_agent,
    "swe_agent_calls": swe_agent_calls,
    "skeleton": skeleton,
}
SAMPLES = {**MEASURED, **ESTIMATED}
FORMATS = {
    "claude_code": "Claude Code",
    "codex": "Codex",
    "litellm": "litellm",
    "litellm_responses": "litellm",
    "responses": "Responses API",
    "responses_continued": "Responses API",
    "opencode": "OpenCode",
    "otlp": "OpenTelemetry",
    "sdk_spans": "OpenTelemetry",
    "skeleton": "skeleton",
    "swe_agent": "SWE-agent",
    "swe_agent_calls": "SWE-agent",
}
