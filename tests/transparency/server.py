"""A server on the loopback that writes down what it was sent and gives canned answers."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

JSON = {"content-type": "application/json", "x-request-id": "req_1", "X-Odd": "a;b"}
EVENTS = {"content-type": "text/event-stream", "x-request-id": "req_2"}
# What differs between two requests of one client, too.
_RANDOM = re.compile(rb"(boundary=|--)[0-9a-f]{32}")
_RANDOM_HEADERS = ("idempotency-key", "x-stainless-helper-id")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, to the byte, but for what is random in it."""

    method: str
    path: str
    headers: tuple[tuple[str, bytes], ...]
    body: bytes
    peer: object = field(compare=False)


@dataclass(slots=True)
class Recorder:
    """The server's address, and what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def take(self) -> list[Asked]:
        """What was asked since the last time."""
        asked, self.asked = self.asked, []
        return asked


@contextmanager
def recorder() -> Iterator[Recorder]:
    """The server, while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    recorder = Recorder(f"http://127.0.0.1:{server.server_port}/v1")
    server.recorder = recorder  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield recorder
    finally:
        recorder.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each body waits 40 ms for the ACK of its head

    def _answer(self) -> None:
        recorder: Recorder = self.server.recorder  # type: ignore[attr-defined]
        body = self._body()
        headers = tuple(
            (name, _RANDOM.sub(rb"\1-", value.encode()))
            for name, value in self.headers.items()
            if name.lower() not in _RANDOM_HEADERS
        )
        body_shown = _RANDOM.sub(rb"\1-", body)
        asked = Asked(self.command, self.path, headers, body_shown, self.client_address)
        recorder.asked.append(asked)
        if "hang" in self.path or b'"hang"' in body:
            self._hang(recorder)
            return
        status, sent, parts = answer_to(self.command, self.path, body)
        self.send_response_only(status)
        for name, value in sent.items():
            self.send_header(name, value)
        streams = sent is EVENTS
        if streams:
            self.send_header("transfer-encoding", "chunked")
        else:
            self.send_header("content-length", str(sum(map(len, parts))))
        self.end_headers()
        for part in parts:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if streams else part)
        self.wfile.write(b"0\r\n\r\n" if streams else b"")

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def _hang(self, recorder: Recorder) -> None:
        """Never answer; tell when the client has gone."""
        self.connection.settimeout(0.02)
        while not recorder.released.is_set():
            try:
                if not self.connection.recv(1):
                    recorder.gone.set()
                    break
            except TimeoutError:
                continue
            except OSError:
                recorder.gone.set()
                break
        self.close_connection = True

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _answer  # noqa: N815  named by the library

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


Answer = tuple[int, dict[str, str], list[bytes]]


def answer_to(method: str, path: str, body: bytes) -> Answer:
    """The canned answer: by status if the path or the model names one, else by the path's end."""
    where = urlsplit(path)
    if found := re.search(rb"status-(\d+)", path.encode() + body):
        return _error(int(found[1]))
    if b"not-json" in body:
        return 200, JSON, [b"<html>"]
    asked: Any = None
    if body.startswith(b"{"):
        asked = orjson.loads(body)
    for end, answer in _ANSWERS.items():
        if where.path.endswith(end):
            return answer(asked or {}, parse_qs(where.query))  # type: ignore[no-any-return]
    return 200, JSON, [b'{"id": "x_1", "object": "thing", "deleted": true, "odd": 1.10}']


def _error(status: int) -> Answer:
    error = b'{"error": {"message": "no %d", "type": "t", "param": "p", "code": "c"}}' % status
    return status, {**JSON, "retry-after-ms": "1"}, [error]


def _whole(body: bytes) -> Any:
    return lambda asked, query: (200, JSON, [body])


def _binary(asked: Any, query: Any) -> Answer:
    return 200, {"content-type": "application/octet-stream"}, [bytes(range(256)) * 20]


def _page(asked: Any, query: Any) -> Answer:
    """Two pages of files."""
    last = "after" in query
    item = b'{"id": "file-%d", "object": "file", "bytes": 3, "created_at": 0, "filename": "a"}'
    data = b'{"object": "list", "data": [%s], "has_more": %s}'
    return 200, JSON, [data % (item % (1 + last), b"false" if last else b"true")]


def _chat(asked: Any, query: Any) -> Answer:
    head = b'{"id": "c", "object": "chat.completion%s", "created": 0, "model": "m", "odd": 1.10, '
    if asked.get("stream"):
        piece = head % b".chunk" + b'"choices": [{"index": 0, "delta": {"content": "%s"}}]}'
        end = head % b".chunk" + b'"choices": [{"index":0,"delta":{},"finish_reason":"stop"}]}'
        events = [piece % b"one", piece % "zwölf".encode(), end, b"[DONE]"]
        return 200, EVENTS, [b"data: " + event + b"\n\n" for event in events]
    message = b'{"role": "assistant", "content": "{\\"n\\": 1}", "refusal": null}'
    choice = b'"choices": [{"index": 0, "message": %s, "finish_reason": "stop"}], ' % message
    usage = b'"usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}'
    return 200, JSON, [head % b"" + choice + usage]


def _responses(asked: Any, query: Any) -> Answer:
    response = (
        b'{"id": "r", "object": "response", "created_at": 0, "model": "m", "output": [], '
        b'"parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "odd": 1.10, '
        b'"status": "completed", "usage": {"input_tokens": 3, "output_tokens": 2, '
        b'"total_tokens": 5, "input_tokens_details": {"cached_tokens": 1}, '
        b'"output_tokens_details": {"reasoning_tokens": 0}}}'
    )
    if not asked.get("stream"):
        return 200, JSON, [response]
    events = [
        b'{"type": "response.created", "sequence_number": 0, "response": %s}' % response,
        b'{"type": "response.completed", "sequence_number": 1, "response": %s}' % response,
    ]
    return 200, EVENTS, [b"event: x\ndata: " + event + b"\n\n" for event in events]


def _completions(asked: Any, query: Any) -> Answer:
    text = b'{"id": "c", "object": "text_completion", "created": 0, "model": "m", "choices": [%s]}'
    choice = b'{"index": 0, "text": "yes", "finish_reason": "stop", "logprobs": null}'
    if asked.get("stream"):
        return 200, EVENTS, [b"data: " + text % choice + b"\n\n", b"data: [DONE]\n\n"]
    return 200, JSON, [text % choice]


_ANSWERS = {
    "/chat/completions": _chat,
    "/responses": _responses,
    "/completions": _completions,
    "/embeddings": _whole(
        b'{"object": "list", "model": "m", "odd": 1.10, "data": [{"object": "embedding", '
        b'"index": 0, "embedding": "AACAPwAAAEA="}], "usage": {"prompt_tokens": 2, '
        b'"total_tokens": 2}}'
    ),
    "/content": _binary,
    "/speech": _binary,
    "/files": _page,
    "/models": _whole(b'{"object": "list", "data": [{"id": "m", "object": "model"}]}'),
    "/transcriptions": _whole(b'{"text": "Hello."}'),
}
