"""An SDK client without a network, and a long conversation that batchwrap took part in.

The client's transport hands out prepared bytes. The conversation is made by the wrapped
client itself, so that a third of its tool turns are multi-calls that were taken apart.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import openai
import orjson

import batchwrap
from benchmarks import toolbox

Message = dict[str, Any]
_HEADERS = {"content-type": "application/json"}
_EVENTS = {"content-type": "text/event-stream"}
_LINE = '    self.items["{0}"] = [entry for entry in source if entry.key != {0}]  # keeps order\n'
_TOKENS_A_LINE = 20
_DEFAULT = batchwrap.Repair()


def http_library() -> Any:
    """httpx or httpx2, whichever the installed SDK is built on."""
    for name in ("httpx2", "httpx"):
        if importlib.util.find_spec(name):
            library = importlib.import_module(name)
            if issubclass(openai.DefaultHttpxClient, library.Client):
                return library
    raise RuntimeError("the SDK is built on an HTTP library that nobody knows")


@dataclass(slots=True)
class Canned:
    """A transport that answers with prepared bytes, whatever it is asked.

    Attributes:
        answer: a whole body, or the pieces of a stream.
        received: bytes of the last request.
    """

    answer: bytes | list[bytes] = b""
    received: int = 0
    _library: Any = field(default_factory=http_library)

    def handle_request(self, request: Any) -> Any:
        """The answer to any request."""
        self.received = len(request.content)
        if isinstance(self.answer, bytes):
            return self._library.Response(200, headers=_HEADERS, content=self.answer)
        return self._library.Response(200, headers=_EVENTS, content=iter(self.answer))

    def close(self) -> None:
        """Nothing to close."""


@dataclass(slots=True)
class AsyncCanned:
    """The same for tasks: the prepared bytes for a prompt, and a text behind results.

    Attributes:
        answer: a whole body.
    """

    answer: bytes
    _library: Any = field(default_factory=http_library)

    async def handle_async_request(self, request: Any) -> Any:
        """The answer to any request."""
        is_first = b'"role":"tool"' not in request.content
        answer = self.answer if is_first else text_answer()
        return self._library.Response(200, headers=_HEADERS, content=answer)

    async def aclose(self) -> None:
        """Nothing to close."""


def client_of(transport: Canned) -> openai.OpenAI:
    """An SDK client on this transport."""
    http_client = http_library().Client(transport=transport)
    return openai.OpenAI(base_url="http://canned/v1", api_key="any", http_client=http_client)


def async_client_of(transport: AsyncCanned) -> openai.AsyncOpenAI:
    """An SDK client for tasks on this transport."""
    http_client = http_library().AsyncClient(transport=transport)
    return openai.AsyncOpenAI(base_url="http://canned/v1", api_key="any", http_client=http_client)


def ask(client: openai.OpenAI, messages: list[Message]) -> Any:
    """One request."""
    # As `extra_body`: the SDK's own look at each message would drown what is measured.
    body = {"messages": messages, "tools": toolbox.TOOLS}
    return client.chat.completions.create(model="m", messages=[], extra_body=body)


def text_answer() -> bytes:
    """A plain completion without calls."""
    return _completion({"role": "assistant", "content": "Done."})


def call_answer(name: str, arguments: Message, call_id: str = "call_1") -> bytes:
    """A completion with one call."""
    function = {"name": name, "arguments": orjson.dumps(arguments).decode()}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return _completion({"role": "assistant", "content": None, "tool_calls": calls})


def conversation(client: openai.OpenAI, transport: Canned, size: int, tokens: int) -> list[Message]:
    """About so many messages with about so many tokens, the last one a tool's result."""
    lines = max(1, tokens // _TOKENS_A_LINE)
    messages: list[Message] = [{"role": "user", "content": _text(max(1, lines // size))}]
    turn = 0
    while len(messages) < size - 1:
        transport.answer = _turn(turn)
        made = ask(client, messages).choices[0].message.to_dict()
        messages.append({**made, "content": made.get("content")})
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": ""}
            for call in made["tool_calls"]
        ]
        turn += 1
    results = [message for message in messages if message["role"] == "tool"]
    for message in results:
        message["content"] = _text(max(1, lines // len(results)))
    return messages


def text_stream(chunks: int) -> list[bytes]:
    """A stream of so many pieces of text."""
    return _events({"content": "word "} for _ in range(chunks))


def multi_call_stream(chunks: int) -> list[bytes]:
    """A stream of one multi-call whose arguments come in so many pieces."""
    files = [{"path": f"src/file{place}.py"} for place in range(8)]
    text = orjson.dumps({"files": files}).decode()
    step = max(1, len(text) // chunks)
    text = text[:1] + " " * max(0, chunks - len(text)) + text[1:]  # pieces of one character
    first: Message = {"id": "call_0", "type": "function", "function": {"name": "multi_read"}}
    parts: list[Message] = [
        {"function": {"arguments": text[at : at + step]}} for at in range(0, len(text), step)
    ]
    return _events({"tool_calls": [{"index": 0, **part}]} for part in [first, *parts[:chunks]])


def _text(lines: int) -> str:
    return "".join(_LINE.format(number) for number in range(lines))


def _turn(turn: int) -> bytes:
    """Two single reads, then a multi-call of three."""
    paths = [f"src/module{turn}/file{place}.py" for place in range(3)]
    if turn % 3 == 2:
        return call_answer("multi_read", {"files": [{"path": p} for p in paths]}, f"call_{turn}")
    return call_answer("read_file", {"path": paths[0]}, f"call_{turn}")


def _completion(message: Message) -> bytes:
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return orjson.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": usage,
        }
    )


def _events(deltas: Iterator[Message]) -> list[bytes]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choices: list[Message] = [
        {"index": 0, "delta": delta, "finish_reason": None} for delta in deltas
    ]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    events = [orjson.dumps({**head, "choices": [choice]}) for choice in choices]
    return [*(b"data: " + event + b"\n\n" for event in events), b"data: [DONE]\n\n"]


def single_call_stream(chunks: int) -> list[bytes]:
    """A stream of one call that writes a file, whose arguments come in so many pieces."""
    content = orjson.dumps("x = 1\n" * chunks).decode()[1 : 4 * chunks]
    text = '{"path":"a.py","content":"' + content.rstrip("\\") + '"}'
    first: Message = {"id": "call_0", "type": "function", "function": {"name": "write_file"}}
    parts: list[Message] = [
        {"function": {"arguments": text[at : at + 4]}} for at in range(0, len(text), 4)
    ]
    return _events({"tool_calls": [{"index": 0, **part}]} for part in [first, *parts])


def wrapped(client: openai.OpenAI, repair: batchwrap.Repair | None = _DEFAULT) -> openai.OpenAI:
    """The client with batchwrap, its shell declared."""
    batching = batchwrap.Batching(tools={"bash": "sequential"})
    return batchwrap.wrap(client, batching=batching, repair=repair)
