"""A provider on this machine, for agents that talk to a real server."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Json = dict[str, Any]


class Provider(ThreadingHTTPServer):
    """A chat completions endpoint that answers from a script, plain or streamed.

    Attributes:
        script: the assistant messages to answer with, next one first.
        requests: the bodies of the requests so far.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[Json] = []
        self.requests: list[Json] = []

    @property
    def url(self) -> str:
        """What a client takes as its base."""
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(request)
        message = self.server.script.pop(0)
        if request.get("stream"):
            events = [json.dumps(chunk) for chunk in chunks(message)]
            body = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
            self._send("text/event-stream", body.encode())
        else:
            self._send("application/json", json.dumps(completion(message)).encode())

    def _send(self, content_type: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


def completion(message: Json) -> Json:
    """A whole answer."""
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    choice = {"index": 0, "message": {"content": None, **message}, "finish_reason": finish}
    return {**_head("chat.completion"), "choices": [choice], "usage": _USAGE}


def chunks(message: Json) -> Iterator[Json]:
    """The same answer in pieces: arguments split up and interleaved, usage in a last chunk."""
    yield _chunk({"role": "assistant", "content": ""})
    for word in re.findall(r"\S+\s*", message.get("content") or ""):
        yield _chunk({"content": word})
    calls = message.get("tool_calls", [])
    for index, call in enumerate(calls):
        function = {"name": call["function"]["name"], "arguments": ""}
        start = {"index": index, "id": call["id"], "type": "function", "function": function}
        yield _chunk({"tool_calls": [start]})
    for place in range(
        0, max((len(call["function"]["arguments"]) for call in calls), default=0), 7
    ):
        for index, call in enumerate(calls):
            if piece := call["function"]["arguments"][place : place + 7]:
                yield _chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield _chunk({}, "tool_calls" if calls else "stop")
    yield {**_head("chat.completion.chunk"), "choices": [], "usage": _USAGE}


_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def _head(kind: str) -> Json:
    return {"id": "chatcmpl-1", "object": kind, "created": 1700000000, "model": "scripted"}


def _chunk(delta: Json, finish_reason: str | None = None) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {**_head("chat.completion.chunk"), "choices": [choice]}


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider of one's own, on a free port."""
    with Provider() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
