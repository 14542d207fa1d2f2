"""The job of `samples`, as more agents and programs would have logged it, with their own tools.

All of it is made up, in the forms that the programs write.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import orjson

from tests.analyze.samples import (
    DONE,
    PROMPT,
    STEPS,
    Json,
    cached_tokens,
    completion,
    lines,
    prompt_tokens,
)

WHEN = "2026-11-01T10:00:00.000Z"
TURNS = range(len(STEPS) + 1)
_TESTS = {"command": "make test"}


def tool(turn: int, names: str, path: str, old: str, new: str) -> tuple[str, Json]:
    """The tool and the arguments of a turn, in an agent's words.

    Args:
        turn: which one.
        names: of the tools that read, edit and run a command.
        path, old, new: the names of the arguments.
    """
    kinds = dict(zip(("Read", "Edit", "Bash"), names.split(), strict=True))
    words = {"file_path": path, "old_string": old, "new_string": new}
    name, given, _ = STEPS[turn]
    return kinds[name], {words.get(key, key): it for key, it in given.items()}


def failed(turn: int) -> bool:
    """Whether the call of a turn failed."""
    return STEPS[turn][0] == "Bash"


def pi() -> bytes:
    """A session of pi, with an answer that was aborted before it began."""
    made: list[Json] = [
        {"type": "session", "version": 3, "id": "pi-1", "timestamp": WHEN, "cwd": "/job"}
    ]

    def entry(message: Json) -> None:
        about = {"id": f"e{len(made)}", "parentId": None, "timestamp": WHEN}
        made.append({"type": "message", **about, "message": message})

    entry({"role": "user", "content": [{"type": "text", "text": PROMPT}]})
    none = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}
    entry({"role": "assistant", "content": [], "usage": none, "stopReason": "aborted"})
    for turn in TURNS:
        usage = {
            "input": prompt_tokens(turn) - cached_tokens(turn) - 10,
            "output": 20,
            "cacheRead": cached_tokens(turn),
            "cacheWrite": 10,
        }
        about = {"role": "assistant", "model": "swift", "provider": "made", "usage": usage}
        if turn == len(STEPS):
            entry({**about, "content": [{"type": "text", "text": DONE}], "stopReason": "stop"})
            break
        name, given = tool(turn, "read edit bash", "path", "oldText", "newText")
        call = {"type": "toolCall", "id": f"call_{turn}", "name": name, "arguments": given}
        thought = {"type": "thinking", "thinking": "Next."}
        entry({**about, "content": [thought, call], "stopReason": "toolUse"})
        content = [{"type": "text", "text": STEPS[turn][2]}]
        result = {"role": "toolResult", "toolCallId": f"call_{turn}", "toolName": name}
        entry({**result, "content": content, "isError": failed(turn)})
    return lines(*made)


def gemini_usage(turn: int) -> Json:
    """The usage of a turn in the words of Gemini's API."""
    return {
        "promptTokenCount": prompt_tokens(turn),
        "cachedContentTokenCount": cached_tokens(turn),
        "candidatesTokenCount": 15,
        "thoughtsTokenCount": 5,
        "totalTokenCount": prompt_tokens(turn) + 20,
    }


def gemini_response(turn: int, name: str) -> Json:
    """The part with the result of a turn's call."""
    kind = "error" if failed(turn) else "output"
    about = {"id": f"call_{turn}", "name": name, "response": {kind: STEPS[turn][2]}}
    return {"functionResponse": about}


def gemini_tool(turn: int) -> tuple[str, Json]:
    """The tool of a turn as Gemini CLI and Qwen Code have it."""
    names = "read_file replace run_shell_command"
    return tool(turn, names, "file_path", "old_string", "new_string")


def gemini_messages() -> list[Json]:
    """The messages of a session of Gemini CLI."""
    made: list[Json] = [{"id": "m-u", "timestamp": WHEN, "type": "user", "content": PROMPT}]
    for turn in TURNS:
        counted = {"input": prompt_tokens(turn), "cached": cached_tokens(turn), "tool": 0}
        about: Json = {"id": f"m-{turn}", "timestamp": WHEN, "type": "gemini", "model": "swift"}
        about |= {"tokens": {**counted, "output": 15, "thoughts": 5, "total": 0}}
        if turn == len(STEPS):
            made.append({**about, "content": DONE, "thoughts": []})
            break
        name, given = gemini_tool(turn)
        status = "error" if failed(turn) else "success"
        call: Json = {"id": f"call_{turn}", "name": name, "args": given, "status": status}
        call["result"] = [gemini_response(turn, name)]
        made.append({**about, "content": "", "toolCalls": [call]})
        # Newer versions repeat the result as a message of the user.
        repeated = [gemini_response(turn, name)]
        made.append({"id": f"r-{turn}", "timestamp": WHEN, "type": "user", "content": repeated})
    return made


def gemini_document() -> bytes:
    """A session of older versions of Gemini CLI."""
    about = {"sessionId": "gemini-1", "projectHash": "x", "startTime": WHEN, "lastUpdated": WHEN}
    return orjson.dumps({**about, "messages": gemini_messages()}, option=orjson.OPT_INDENT_2)


def gemini_lines() -> bytes:
    """A session of newer versions, which write an answer anew with what is added to it."""
    made: list[Json] = [{"sessionId": "gemini-1", "projectHash": "x", "startTime": WHEN}]
    for message in gemini_messages():
        if "toolCalls" in message:
            made.append({key: message[key] for key in ("id", "timestamp", "type", "content")})
        made += [message, {"$set": {"lastUpdated": WHEN}}]
    made.append({"$set": {"messages": gemini_messages()[-2:]}})
    return lines(*made)


def gemini_contents() -> list[Json]:
    """The contents of Gemini's API."""
    made: list[Json] = [{"role": "user", "parts": [{"text": PROMPT}]}]
    for turn in range(len(STEPS)):
        name, given = gemini_tool(turn)
        call = {"id": f"call_{turn}", "name": name, "args": given}
        made.append({"role": "model", "parts": [{"functionCall": call}]})
        made.append({"role": "user", "parts": [gemini_response(turn, name)]})
    return [*made, {"role": "model", "parts": [{"text": DONE}]}]


def gemini_checkpoint() -> bytes:
    """What Gemini CLI saves with ``/chat save``."""
    return orjson.dumps(gemini_contents(), option=orjson.OPT_INDENT_2)


def qwen_code() -> bytes:
    """A log of Qwen Code."""
    made: list[Json] = []
    kinds = {"user": "tool_result", "model": "assistant"}
    for number, content in enumerate(gemini_contents()):
        about: Json = {"uuid": f"q{number}", "parentUuid": None, "sessionId": "qwen-1"}
        about |= {"timestamp": WHEN, "cwd": "/job", "version": "0.9.0", "message": content}
        if content["role"] == "model":
            turn = number // 2
            content["parts"].insert(0, {"text": "Next.", "thought": True})
            about |= {"model": "swift", "usageMetadata": gemini_usage(turn)}
        made.append({**about, "type": kinds[content["role"]] if number else "user"})
        telemetry = {"type": "system", "subtype": "ui_telemetry", "sessionId": "qwen-1"}
        made.append({**telemetry, "uuid": f"t{number}", "systemPayload": {}})
    return lines(*made)


def cline_history() -> list[Json]:
    """A history of Cline with tool calls."""
    text = f"<task>\n{PROMPT}\n</task>\n<environment_details>\n</environment_details>"
    made: list[Json] = [{"role": "user", "content": [{"type": "text", "text": text}], "ts": 1}]
    for turn in TURNS:
        counted = {"prompt": prompt_tokens(turn), "cached": cached_tokens(turn), "completion": 20}
        about = {"role": "assistant", "ts": 2 + turn, "metrics": {"tokens": counted}}
        about["modelInfo"] = {"modelId": "swift", "providerId": "made", "mode": "act"}
        if turn == len(STEPS):
            made.append({**about, "content": [{"type": "text", "text": DONE}]})
            break
        name, given = tool(turn, "read_file edit_file execute_command", "path", "old", "new")
        call = {"type": "tool_use", "id": f"call_{turn}", "name": name, "input": given}
        made.append({**about, "content": [{"type": "text", "text": "Next."}, call]})
        result = {"type": "tool_result", "tool_use_id": f"call_{turn}", "content": STEPS[turn][2]}
        made.append({"role": "user", "content": [result], "ts": 2 + turn})
    return made


def cline() -> bytes:
    """A history of Cline, and reasoning that Roo Code keeps apart."""
    reasoning = {"role": "assistant", "type": "reasoning", "encrypted_content": "x", "summary": []}
    begun, *rest = cline_history()
    return orjson.dumps([begun, reasoning, *rest])


def cline_xml() -> bytes:
    """A history of an older version, which has calls as XML in its text."""
    made: list[Json] = cline_history()[:1]
    for turn in range(len(STEPS)):
        name, given = tool(turn, "read_file replace_in_file execute_command", "path", "old", "new")
        inner = "".join(f"<{key}>{it}</{key}>\n" for key, it in given.items())
        text = f"<thinking>\nNext.\n</thinking>\n\n<{name}>\n{inner}</{name}>"
        made.append({"role": "assistant", "content": [{"type": "text", "text": text}]})
        said = [f"[{name}] Result:", STEPS[turn][2]]
        made.append({"role": "user", "content": [{"type": "text", "text": it} for it in said]})
    made.append({"role": "assistant", "content": [{"type": "text", "text": DONE}]})
    return orjson.dumps(made)


def cline_seen() -> bytes:
    """What the user of Cline saw."""
    made: list[Json] = [{"ts": 1, "type": "say", "say": "text", "text": PROMPT}]

    def message(kind: str, what: str, text: str, **more: Any) -> None:
        made.append({"ts": len(made) + 1, "type": kind, kind: what, "text": text, **more})

    for turn in TURNS:
        usage = {
            "request": "…",
            "tokensIn": prompt_tokens(turn) - cached_tokens(turn),
            "tokensOut": 20,
            "cacheReads": cached_tokens(turn),
            "cacheWrites": 0,
        }
        message("say", "api_req_started", orjson.dumps(usage).decode())
        if turn == len(STEPS):
            message("say", "text", DONE, partial=False)
            break
        message("say", "text", "Nex", partial=True)
        name, given = tool(turn, "readFile editedExistingFile command", "path", "old", "new")
        if name == "command":
            message("ask", "command", _TESTS["command"])
            message("say", "command_output", STEPS[turn][2])
        else:
            message("say", "tool", orjson.dumps({"tool": name, **given}).decode())
    return orjson.dumps(made)


def openhands() -> bytes:
    """Events of OpenHands; each answer's tokens come before it."""
    made: list[Json] = []

    def event(kind: str, source: str, **more: Any) -> None:
        made.append(
            {"id": f"ev{len(made)}", "timestamp": WHEN, "source": source, "kind": kind, **more}
        )

    def counted(turn: int) -> None:
        total = {
            "prompt_tokens": sum(map(prompt_tokens, range(turn + 1))),
            "completion_tokens": 20 * (turn + 1),
            "cache_read_tokens": sum(map(cached_tokens, range(turn + 1))),
            "per_turn_token": prompt_tokens(turn) + 20,
        }
        metrics = {"model_name": "swift", "accumulated_token_usage": total}
        value = {"usage_to_metrics": {"default": metrics}}
        event("ConversationStateUpdateEvent", "environment", key="stats", value=value)

    prompt = {"role": "user", "content": [{"type": "text", "text": PROMPT}]}
    event("SystemPromptEvent", "agent", system_prompt={"type": "text", "text": "Help."}, tools=[])
    event("MessageEvent", "user", llm_message=prompt)
    for turn in TURNS:
        counted(turn)
        if turn == len(STEPS):
            done = {"role": "assistant", "content": [{"type": "text", "text": DONE}]}
            event("MessageEvent", "agent", llm_message=done, llm_response_id=f"r{turn}")
            break
        name, given = editor(turn, "file_editor", "terminal")
        about = {"tool_name": name, "tool_call_id": f"call_{turn}"}
        made_call = {"id": f"call_{turn}", "name": name, "arguments": orjson.dumps(given).decode()}
        event("ActionEvent", "agent", thought=[], tool_call=made_call, llm_response_id=f"r{turn}",
              **about)  # fmt: skip
        observed = {"content": [{"type": "text", "text": STEPS[turn][2]}], "is_error": failed(turn)}
        event("ObservationEvent", "environment", observation=observed, **about)
    return lines(*made)


def editor(turn: int, edits: str, runs: str) -> tuple[str, Json]:
    """The tool of a turn in OpenHands, whose editor has commands."""
    name, given = tool(turn, f"view str_replace {runs}", "path", "old_str", "new_str")
    return (name, given) if name == runs else (edits, {"command": name, **given})


def openhands_v0() -> bytes:
    """A trajectory of OpenHands before version 1."""
    made: list[Json] = [
        {"id": 0, "source": "user", "action": "message", "args": {"content": PROMPT}},
        {"id": 1, "source": "user", "action": "recall", "args": {"query": PROMPT}},
        {"id": 2, "source": "environment", "observation": "agent_state_changed", "content": ""},
    ]
    for turn in TURNS:
        response = {**completion(turn), "id": f"r{turn}"}
        if turn == len(STEPS):
            response["choices"] = [{"index": 0, "message": {"role": "assistant", "content": DONE}}]
            about = {"function_name": "", "tool_call_id": "", "model_response": response}
            made.append({"id": 99, "source": "agent", "action": "message",
                         "args": {"content": DONE}, "tool_call_metadata": about})  # fmt: skip
            break
        name, given = editor(turn, "str_replace_editor", "execute_bash")
        function = {"name": name, "arguments": orjson.dumps(given).decode()}
        call = {"id": f"call_{turn}", "type": "function", "function": function}
        answer = {"role": "assistant", "content": "Next.", "tool_calls": [call]}
        response["choices"] = [{"index": 0, "message": answer}]
        about = {"function_name": name, "tool_call_id": f"call_{turn}", "model_response": response}
        event = {"id": 3 + turn, "source": "agent", "tool_call_metadata": about}
        made.append({**event, "action": "run", "args": {"thought": "Next."}})
        made.append({**event, "observation": "run", "content": STEPS[turn][2], "cause": 3 + turn})
    return orjson.dumps(made, option=orjson.OPT_INDENT_2)


def copilot_cli() -> bytes:
    """Events of Copilot CLI."""
    made: list[Json] = []

    def event(kind: str, **data: Any) -> None:
        about = {"id": f"ev{len(made)}", "timestamp": WHEN, "parentId": None}
        made.append({"type": kind, "data": data, **about})

    event("session.start", sessionId="copilot-1", version=1, selectedModel="swift")
    event("user.message", content=PROMPT, attachments=[])
    for turn in TURNS:
        event("assistant.turn_start", turnId=str(turn))
        about: Json = {"messageId": f"m{turn}", "apiCallId": f"a{turn}", "model": "swift"}
        if turn == len(STEPS):
            event("assistant.message", content=DONE, toolRequests=[], **about)
        else:
            name, given = tool(turn, "view edit bash", "path", "old_str", "new_str")
            request = {"toolCallId": f"call_{turn}", "name": name, "arguments": given}
            event("assistant.message", content="", toolRequests=[request], **about)
        tokens = {"inputTokens": prompt_tokens(turn), "cacheReadTokens": cached_tokens(turn)}
        event("assistant.usage", model="swift", outputTokens=20, apiCallId=f"a{turn}", **tokens)
        if turn == len(STEPS):
            break
        event("tool.execution_start", toolCallId=f"call_{turn}", toolName=name, arguments=given)
        done = {"result": {"content": STEPS[turn][2]}, "success": not failed(turn)}
        event("tool.execution_complete", toolCallId=f"call_{turn}", **done)
        event("assistant.turn_end", turnId=str(turn))
    return lines(*made)


def vscode_request() -> Json:
    """A request of a user in VS Code."""
    rounds: list[Json] = []
    results: Json = {}
    for turn in TURNS:
        if turn == len(STEPS):
            rounds.append({"id": f"round_{turn}", "response": DONE, "toolCalls": []})
            break
        names = "read_file replace_string_in_file run_in_terminal"
        name, given = tool(turn, names, "filePath", "oldString", "newString")
        arguments = orjson.dumps(given).decode()
        call = {"id": f"call_{turn}", "name": name, "arguments": arguments}
        rounds.append({"id": f"round_{turn}", "response": "", "toolCalls": [call]})
        results[f"call_{turn}"] = {"content": [{"value": STEPS[turn][2]}]}
    metadata = {"toolCallRounds": rounds, "toolCallResults": results}
    about = {"requestId": "request-1", "modelId": "swift", "message": {"text": PROMPT}}
    return {**about, "response": [], "result": {"metadata": metadata}}


def vscode_document() -> bytes:
    """A chat of VS Code as it is exported."""
    about = {"responderUsername": "GitHub Copilot", "requests": [vscode_request()]}
    return orjson.dumps(about, option=orjson.OPT_INDENT_2)


def vscode_log() -> bytes:
    """A chat of VS Code as a log of changes."""
    request = vscode_request()
    result = request.pop("result")
    document = {"version": 3, "sessionId": "chat-1", "requests": []}
    return lines(
        {"kind": 0, "v": document},
        {"kind": 2, "k": ["requests"], "v": [{"requestId": "draft"}]},
        {"kind": 2, "k": ["requests"], "i": 0, "v": [request]},
        {"kind": 1, "k": ["inputState", "text"], "v": "no such object"},
        {"kind": 1, "k": ["requests", 0, "result"], "v": result},
        {"kind": 3, "k": ["customTitle"]},
    )


def atif() -> bytes:
    """A trajectory in ATIF, with a step that was copied into it."""
    steps: list[Json] = [
        {"source": "user", "message": PROMPT},
        {"source": "agent", "message": "I was asked before.", "is_copied_context": True},
    ]
    for turn in TURNS:
        metrics = {"prompt_tokens": prompt_tokens(turn), "cached_tokens": cached_tokens(turn)}
        step: Json = {"source": "agent", "metrics": {**metrics, "completion_tokens": 20}}
        if turn < len(STEPS):
            name, given = tool(turn, "Read Edit Bash", "file_path", "old_string", "new_string")
            call = {"tool_call_id": f"call_{turn}", "function_name": name, "arguments": given}
            result = {"source_call_id": f"call_{turn}", "content": STEPS[turn][2]}
            step |= {"tool_calls": [call], "observation": {"results": [result]}}
        steps.append({**step, "message": "" if turn < len(STEPS) else DONE})
    about: Json = {"schema_version": "ATIF-v1.7", "session_id": "atif-1"}
    about["agent"] = {"name": "made", "version": "1", "model_name": "swift"}
    numbered = [{"step_id": number, **step} for number, step in enumerate(steps, 1)]
    return orjson.dumps({**about, "steps": numbered}, option=orjson.OPT_INDENT_2)


def inspect_sample() -> Json:
    """A sample of Inspect AI."""
    messages: list[Json] = [{"id": "u", "role": "user", "content": PROMPT, "source": "input"}]
    events: list[Json] = [{"event": "sample_init"}]
    for turn in TURNS:
        answer: Json = {"id": f"m{turn}", "role": "assistant", "source": "generate"}
        answer |= {"model": "swift", "content": DONE}
        cached = cached_tokens(turn)
        usage = {"input_tokens": prompt_tokens(turn) - cached, "output_tokens": 20}
        usage |= {"input_tokens_cache_read": cached, "total_tokens": 0}
        if turn < len(STEPS):
            name, given = tool(turn, "read edit bash", "path", "old_str", "new_str")
            call = {"id": f"call_{turn}", "function": name, "arguments": given, "type": "function"}
            answer |= {"content": [{"type": "reasoning", "reasoning": "Next."}]}
            answer["tool_calls"] = [call]
        messages.append(answer)
        output = {"model": "swift", "choices": [{"message": answer}], "usage": usage}
        events.append({"event": "model", "output": output})
        if turn < len(STEPS):
            said: Json = {"role": "tool", "tool_call_id": f"call_{turn}", "content": STEPS[turn][2]}
            error = {"type": "unknown", "message": STEPS[turn][2]} if failed(turn) else None
            messages.append({**said, "id": f"t{turn}", "error": error})
    return {"id": "one", "epoch": 1, "input": PROMPT, "messages": messages, "events": events}


def inspect_json() -> bytes:
    """A log of Inspect AI as one document."""
    about = {"version": 2, "status": "success", "eval": {"task": "made"}, "plan": {}}
    return orjson.dumps({**about, "samples": [inspect_sample()]}, option=orjson.OPT_INDENT_2)


def inspect_eval() -> bytes:
    """A log of Inspect AI in its own format, a zip archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_journal/start.json", b"{}")
        archive.writestr("samples/one_epoch_1.json", orjson.dumps(inspect_sample()))
        archive.writestr("header.json", b"{}")
    return packed.getvalue()


MEASURED: dict[str, Callable[[], bytes]] = {
    "pi": pi,
    "gemini_document": gemini_document,
    "gemini_lines": gemini_lines,
    "qwen_code": qwen_code,
    "cline": cline,
    "cline_seen": cline_seen,
    "openhands": openhands,
    "openhands_v0": openhands_v0,
    "copilot_cli": copilot_cli,
    "atif": atif,
    "inspect_json": inspect_json,
    "inspect_eval": inspect_eval,
}
ESTIMATED: dict[str, Callable[[], bytes]] = {
    "gemini_checkpoint": gemini_checkpoint,
    "cline_xml": cline_xml,
    "vscode_document": vscode_document,
    "vscode_log": vscode_log,
}
FORMATS = {
    "pi": "pi",
    "gemini_document": "Gemini CLI",
    "gemini_lines": "Gemini CLI",
    "gemini_checkpoint": "Gemini CLI",
    "qwen_code": "Qwen Code",
    "cline": "Cline and Roo Code",
    "cline_xml": "Cline and Roo Code",
    "cline_seen": "Cline and Roo Code",
    "openhands": "OpenHands",
    "openhands_v0": "OpenHands (before version 1)",
    "copilot_cli": "Copilot CLI",
    "vscode_document": "VS Code chat",
    "vscode_log": "VS Code chat",
    "atif": "ATIF",
    "inspect_json": "Inspect AI",
    "inspect_eval": "Inspect AI",
}
# Calls that are text, and editors that choose what they do by a command.
AS_TEXT = ("cline_seen", "cline_xml")
COMMANDS = ("openhands", "openhands_v0")
