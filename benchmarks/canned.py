"""An SDK client without a network, and a long conversation that batchwrap took part in.

The client's transport hands out prepared bytes. The conversation is made by the wrapped
client itself, so that a third of its tool turns are multi-calls that were taken apart.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import openai
import orjson

import batchwrap
from batchwrap.lab.api_forms import API_FORMS, ApiForm, ScriptedAnswer, ScriptedCall
from benchmarks import toolbox

Message = dict[str, Any]
# Of what is said so far, and of what the model says now, the message that the agent gets.
Answer = Callable[[list[Message], ScriptedAnswer], Message]
CHAT = API_FORMS["chat"]
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


def asking(client: openai.OpenAI, transport: Canned) -> Answer:
    """Makes a conversation with this client."""

    def answer(messages: list[Message], said: ScriptedAnswer) -> Message:
        transport.answer = whole(said)
        made: Message = ask(client, messages).choices[0].message.to_dict()
        return {**made, "content": made.get("content")}

    return answer


def call_answer(name: str, arguments: Message, call_id: str = "call_1") -> bytes:
    """A completion with one call."""
    return whole(ScriptedAnswer([ScriptedCall(call_id, name, [orjson.dumps(arguments).decode()])]))


def conversation(answer: Answer, size: int, tokens: int) -> list[Message]:
    """About so many messages with about so many tokens, the last one a tool's result.

    Args:
        answer: makes of what is said so far, and of what the model says now, what the agent gets.
        size: the number of messages.
        tokens: of all of them.
    """
    lines = max(1, tokens // _TOKENS_A_LINE)
    messages: list[Message] = [{"role": "user", "content": _text(max(1, lines // size))}]
    turn = 0
    while len(messages) < size - 1:
        made = answer(messages, _turn(turn))
        messages.append(made)
        messages += [
            {"role": "tool", "tool_call_id": call["id"], "content": ""}
            for call in made["tool_calls"]
        ]
        turn += 1
    results = [message for message in messages if message["role"] == "tool"]
    for message in results:
        message["content"] = _text(max(1, lines // len(results)))
    return messages


def longer(messages: list[Message]) -> list[Message]:
    """The conversation after one more turn."""
    function = {"name": "read_file", "arguments": '{"path":"src/last.py"}'}
    call = {"id": "call_last", "type": "function", "function": function}
    return [
        *messages,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_last", "content": "x = 1\n"},
    ]


def whole(said: ScriptedAnswer, form: ApiForm = CHAT) -> bytes:
    """An answer in one piece."""
    return orjson.dumps(form.whole(said))


def streamed(said: ScriptedAnswer, form: ApiForm = CHAT) -> list[bytes]:
    """An answer as a stream, an event in each piece."""
    events = form.events(said)
    if form is CHAT:
        return [*(b"data: %b\n\n" % orjson.dumps(one) for one in events), b"data: [DONE]\n\n"]
    return list(map(event, events))


def event(said: Message) -> bytes:
    """An event of an API whose events have names."""
    return b"event: %b\ndata: %b\n\n" % (said["type"].encode(), orjson.dumps(said))


def text_answer(form: ApiForm = CHAT) -> bytes:
    """A plain answer without calls."""
    return whole(ScriptedAnswer([["Done."]]), form)


def text_stream(chunks: int, form: ApiForm = CHAT) -> list[bytes]:
    """A stream of so many pieces of text."""
    return streamed(ScriptedAnswer([["word "] * chunks]), form)


def multi_call_stream(chunks: int, form: ApiForm = CHAT) -> list[bytes]:
    """A stream of one multi-call whose arguments come in so many pieces."""
    files = [{"path": f"src/file{place}.py"} for place in range(8)]
    text = orjson.dumps({"files": files}).decode()
    text = text[:1] + " " * max(0, chunks - len(text)) + text[1:]  # pieces of one character
    step = max(1, len(text) // chunks)
    return _call_stream("multi_read", text, step, form)


def single_call_stream(chunks: int, form: ApiForm = CHAT) -> list[bytes]:
    """A stream of one call that writes a file, whose arguments come in so many pieces."""
    content = orjson.dumps("x = 1\n" * chunks).decode()[1 : 4 * chunks]
    text = '{"path":"a.py","content":"' + content.rstrip("\\") + '"}'
    return _call_stream("write_file", text, 4, form)


def _call_stream(name: str, text: str, step: int, form: ApiForm) -> list[bytes]:
    pieces = [text[at : at + step] for at in range(0, len(text), step)]
    return streamed(ScriptedAnswer([ScriptedCall("call_0", name, pieces)]), form)


def _text(lines: int) -> str:
    return "".join(_LINE.format(number) for number in range(lines))


def _turn(turn: int) -> ScriptedAnswer:
    """Two single reads, then a multi-call of three."""
    paths = [f"src/module{turn}/file{place}.py" for place in range(3)]
    if turn % 3 == 2:
        name, arguments = "multi_read", orjson.dumps({"files": [{"path": p} for p in paths]})
    else:
        name, arguments = "read_file", orjson.dumps({"path": paths[0]})
    return ScriptedAnswer([ScriptedCall(f"call_{turn}", name, [arguments.decode()])])


def wrapped(client: openai.OpenAI, repair: batchwrap.Repair | None = _DEFAULT) -> openai.OpenAI:
    """The client with batchwrap, its shell declared."""
    batching = batchwrap.Batching(tools={"bash": "sequential"})
    return batchwrap.wrap(client, batching=batching, repair=repair)
