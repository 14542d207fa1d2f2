"""OpenAI's Responses API: a turn of the model is a run of items."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from batchwrap.lab.api_forms import responses_rules
from batchwrap.lab.api_forms.api_form import (
    ApiForm,
    Body,
    Message,
    ScriptedAnswer,
    ScriptedCall,
    as_parts,
    made_call,
    model_message,
    plain_content,
)
from batchwrap.lab.reply_format import random_id

_CALL, _OUTPUT = "function_call", "function_call_output"
_GIVEN = {_CALL: "arguments", "custom_tool_call": "input"}  # what a call is given
_OUTPUTS = (_OUTPUT, "custom_tool_call_output")
_MARK, _OWN_MARK = "cache_control", "prompt_cache_breakpoint"


class ResponsesForm(ApiForm):
    """OpenAI's Responses API, where an agent sends the whole input each time."""

    path = "/v1/responses"

    def is_own(self, request: Body) -> bool:
        """Whether it has an input in place of messages."""
        return "input" in request and "messages" not in request

    def request(self, chat: Body) -> Body:
        """The first system message becomes the instructions, every other one an item or two."""
        messages = list(chat["messages"])
        body = {key: value for key, value in chat.items() if key not in ("messages", "tools")}
        body = {"store": False, **body}
        if messages and messages[0]["role"] == "system":
            body["instructions"] = messages.pop(0)["content"]
        if chat.get("tools") is not None:
            body["tools"] = [{"type": "function", **tool["function"]} for tool in chat["tools"]]
        choice = body.get("tool_choice")
        if isinstance(choice, dict):
            body["tool_choice"] = {"type": "function", "name": choice["function"]["name"]}
        body["input"] = [item for message in messages for item in _items(message)]
        return body

    def as_chat(self, request: Body) -> Body:
        """A run of the model's items is one message."""
        given = request.get("input")
        items = [{"role": "user", "content": given}] if isinstance(given, str) else given or []
        messages: list[Message] = []
        if "instructions" in request:
            messages.append({"role": "system", "content": request["instructions"]})
        run: list[Body] = []
        for item in items:
            if _is_of_model(item):
                run.append(item)
                continue
            messages += _turns(run)
            run = []
            messages += _as_chat(item)
        messages += _turns(run)
        body = {k: v for k, v in request.items() if k not in ("input", "instructions")}
        if request.get("tools") is not None:
            body["tools"] = [_function(tool) for tool in request["tools"]]
        choice = request.get("tool_choice")
        if isinstance(choice, dict) and choice.get("type") == "function":
            body["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
        return {**body, "messages": messages}

    def message(self, answer: Body) -> Message:
        """Its texts and its calls."""
        turns = _turns(answer["output"])
        return turns[0] if turns else {"role": "assistant", "content": None}

    def fault_in(self, request: Body) -> str | None:
        """What OpenAI's server would refuse it for."""
        return responses_rules.fault_in(request)

    def whole(self, said: ScriptedAnswer) -> Body:
        """A response."""
        usage = {
            "input_tokens": said.prompt,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": said.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": said.prompt + said.output,
        }
        output = [_item(part) for part in said.parts]
        return {**_begun(said), "status": "completed", "output": output, "usage": usage}

    def events(self, said: ScriptedAnswer) -> Iterator[Body]:
        """The whole series of each item; the last event repeats all of them."""
        whole = self.whole(said)
        events: list[Body] = [{"type": "response.created", "response": _begun(said)}]
        for index, (item, part) in enumerate(zip(whole["output"], said.parts, strict=True)):
            place = {"item_id": item["id"], "output_index": index}
            empty: Body = {"arguments": ""} if isinstance(part, ScriptedCall) else {"content": []}
            begun = {**item, "status": "in_progress", **empty}
            added = {"type": "response.output_item.added", "output_index": index, "item": begun}
            made = (
                _call_events(part, place)
                if isinstance(part, ScriptedCall)
                else _text_events(part, item, place)
            )
            done = {"type": "response.output_item.done", "output_index": index, "item": item}
            events += [added, *made, done]
        events.append({"type": "response.completed", "response": whole})
        for number, event in enumerate(events):
            yield {**event, "sequence_number": number}


def _call_events(call: ScriptedCall, place: Body) -> Iterator[Body]:
    for piece in call.pieces:
        yield {"type": "response.function_call_arguments.delta", **place, "delta": piece}
    whole = {"arguments": call.arguments, "name": call.name}
    yield {"type": "response.function_call_arguments.done", **place, **whole}


def _text_events(pieces: Any, item: Body, place: Body) -> Iterator[Body]:
    place = {**place, "content_index": 0}
    [part] = item["content"]
    yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
    for piece in pieces:
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    text = {"text": part["text"], "logprobs": []}
    yield {"type": "response.output_text.done", **place, **text}
    yield {"type": "response.content_part.done", **place, "part": part}


def _begun(said: ScriptedAnswer) -> Body:
    return {
        "id": said.answer_id,
        "object": "response",
        "created_at": 0,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": said.model,
        "output": [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }


def _item(part: Any) -> Body:
    if isinstance(part, ScriptedCall):
        top = {"id": _item_id(part.call_id), "type": _CALL, "status": "completed"}
        return {**top, "call_id": part.call_id, "name": part.name, "arguments": part.arguments}
    text = {"type": "output_text", "text": "".join(part), "annotations": []}
    top = {"id": random_id("msg_", 24), "type": "message", "role": "assistant"}
    return {**top, "status": "completed", "content": [text]}


def _item_id(call_id: str) -> str:
    return f"fc_{blake2b(call_id.encode(), digest_size=12).hexdigest()}"


def _items(message: Message) -> Iterator[Body]:
    content, mark = message.get("content"), message.get(_MARK)
    if message["role"] == "tool":
        output = _given(content, "input_text", mark)
        yield {"type": _OUTPUT, "call_id": message["tool_call_id"], "output": output}
    elif message["role"] != "assistant":
        yield {"role": message["role"], "content": _given(content, "input_text", mark)}
    else:
        calls = message.get("tool_calls") or ()
        if content or not calls:
            said = _given(content or "", "output_text", mark)
            yield {"type": "message", "role": "assistant", "content": said}
        for call in calls:
            function = call["function"]
            top = {"type": _CALL, "id": _item_id(call["id"]), "call_id": call["id"]}
            yield {**top, "name": function["name"], "arguments": function["arguments"]}


def _given(content: Any, kind: str, mark: object) -> Any:
    if isinstance(content, str) and not mark:
        return content
    parts = [_part(part, kind) for part in as_parts(content)]
    return [*parts[:-1], {**parts[-1], _OWN_MARK: mark}] if mark and parts else parts


def _part(part: Body, kind: str) -> Body:
    if part.get("type") == "image_url":
        return {"type": "input_image", "image_url": part["image_url"]["url"]}
    made = {"type": kind, "text": part["text"]} if part.get("type") == "text" else part
    return {**made, _OWN_MARK: part[_MARK]} if _MARK in part else made


def _is_of_model(item: Body) -> bool:
    return item.get("role") == "assistant" or str(item.get("type")).endswith(("_call", "reasoning"))


def _turns(items: list[Body]) -> list[Message]:
    """The message of a run of the model's items; none for no items."""
    if not items:
        return []
    said = (item.get("content") for item in items if item.get("role") == "assistant")
    texts = [part["text"] for content in said for part in as_parts(content) if "text" in part]
    calls = [
        made_call(item["call_id"], item["name"], item[_GIVEN[item["type"]]])
        for item in items
        if item.get("type") in _GIVEN
    ]
    return [model_message(texts, calls)]


def _as_chat(item: Body) -> Iterator[Message]:
    """What is not the model's; items that say nothing make no message."""
    if item.get("type") in _OUTPUTS:
        said = _content(item["output"])
        yield {"role": "tool", "tool_call_id": item["call_id"], "content": said}
    elif "content" in item:
        role = "system" if item.get("role") == "developer" else item.get("role", "user")
        yield {"role": role, "content": _content(item["content"])}


def _function(tool: Body) -> Body:
    """A function of the agent's; others stay as they are."""
    if tool.get("type") != "function":
        return tool
    return {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}


def _content(given: Any) -> Any:
    if not isinstance(given, list):
        return given or ""
    parts = []
    for part in given:
        if part.get("type") == "input_image":
            parts.append({"type": "image_url", "image_url": {"url": part["image_url"]}})
        else:
            parts.append({"type": "text", "text": part.get("text", "")})
    return plain_content(parts)
