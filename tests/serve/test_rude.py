"""Clients and upstreams that break the rules get an answer, or are hung up on; nobody hangs."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator

import orjson
import pytest

from batchwrap.serve import Server, caller, protocol
from tests.adapters.conversation import USER
from tests.serve.sockets import HOST, Message, ask, connect, message, receive, upstream

InFront = Callable[..., Server]
OK = message(b"HTTP/1.1 200 OK", [(b"content-length", b"2")], b"ok")
JSON = (b"content-type", b"application/json")
CHUNKED = (b"transfer-encoding", b"chunked")


@pytest.fixture(autouse=True)
def calm(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing that a peer does ends in a traceback."""
    yield
    assert [one for one in caplog.get_records("call") if one.exc_info] == []


def sent(server: Server, data: bytes, *, ends: bool = False) -> Message:
    """The answer to these bytes on a connection of their own."""
    with connect(server.url) as sock:
        sock.sendall(data)
        if ends:
            sock.shutdown(socket.SHUT_WR)
        return receive(sock)


def code(answer: Message) -> tuple[int, str]:
    """Status and code of an error in the form of the APIs."""
    body = orjson.loads(answer.body)
    assert body["type"] == "error"
    return int(answer.start.split()[1]), body["error"]["code"]


def test_two_lengths(in_front: InFront) -> None:
    """A request whose headers say twice where it ends is refused, and the connection closed."""
    with upstream(OK) as behind:
        server = in_front(behind.url)
        headers = [HOST, JSON, (b"content-length", b"4"), CHUNKED]
        for body in (b"2\r\n{}\r\n0\r\n\r\n", b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"):
            with connect(server.url) as sock:
                sock.sendall(message(b"POST /v1/x HTTP/1.1", headers, body))
                assert code(receive(sock)) == (400, "batchwrap_malformed_request")
                assert sock.recv(1) == b""
    assert behind.requests == []


MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200) + b"\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: x\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n"
    b"content-length: 2\r\n\r\n",
    "no number": b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
    "a space in a name": b"GET / HTTP/1.1\r\nhost : localhost\r\n\r\n",
    "odd encoding": b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip\r\n\r\n",
    "huge": b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 2_000_000 + b"\r\n\r\n",
    "a broken chunk": message(b"POST /v1/x HTTP/1.1", [HOST, JSON, CHUNKED], b"zz\r\n{}\r\n"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(in_front: InFront, name: str) -> None:
    """What is no request is told so in the form of the API; the server goes on."""
    with upstream(OK) as behind:
        server = in_front(behind.url)
        assert code(sent(server, MALFORMED[name])) in [
            (400, "batchwrap_malformed_request"),
            (501, "batchwrap_malformed_request"),
        ]
        assert ask(server.url, b"GET /healthz").complete
    assert behind.requests == []


def test_large_headers(in_front: InFront) -> None:
    """Headers of a size that real clients send come through."""
    with upstream(OK) as behind:
        server = in_front(behind.url)
        assert ask(server.url, b"GET /v1/models", [(b"x-large", b"a" * 40_000)]).body == b"ok"


def test_pipelining(in_front: InFront) -> None:
    """Requests that come at once are answered one after the other, in their order."""

    def answer(sock: socket.socket, asked: Message) -> None:
        path = asked.start.split()[1]
        headers = [(b"content-length", str(len(path)).encode())]
        sock.sendall(message(b"HTTP/1.1 200 OK", headers, path))

    with upstream(answer) as behind:
        server = in_front(behind.url)
        with connect(server.url) as sock:
            sock.sendall(b"".join(message(b"GET /%d HTTP/1.1" % n, [HOST]) for n in range(20)))
            file = sock.makefile("rb")
            bodies = []
            for _ in range(20):
                lines = iter(file.readline, b"\r\n")
                length = next(
                    int(line[15:]) for line in lines if line.startswith(b"content-length:")
                )
                assert list(lines) is not None
                bodies.append(file.read(length))
    assert bodies == [b"/%d" % n for n in range(20)]


@pytest.mark.parametrize("framing", [(b"content-length", b"900"), CHUNKED])
@pytest.mark.parametrize("kind", [JSON, (b"content-type", b"application/octet-stream")])
def test_half_a_request(
    in_front: InFront, framing: tuple[bytes, bytes], kind: tuple[bytes, bytes]
) -> None:
    """A client that hangs up in the middle of its body leaves nothing behind."""
    with upstream(OK) as behind:
        server = in_front(behind.url)
        for head in (
            message(b"POST /v1/x HTTP/1.1", [HOST, kind, framing], b"2\r\n{"),
            b"POST /v1",
        ):
            with connect(server.url) as sock:
                sock.sendall(head)
        assert ask(server.url, b"GET /v1/models").body == b"ok"


def test_a_head_that_never_ends(in_front: InFront, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection whose head does not come is answered and closed, however it dribbles."""
    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 0.2)
    with upstream(OK) as behind:
        server = in_front(behind.url)
        for begun in (b"", b"GET /v1/models HTTP/1.1\r\nx: "):
            assert code(sent(server, begun)) == (408, "batchwrap_too_slow")


def test_a_body_that_never_ends(in_front: InFront, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that stops is answered."""
    monkeypatch.setattr(caller, "BODY_WITHIN_S", 0.2)
    with upstream(OK) as behind:
        server = in_front(behind.url)
        half = message(b"POST /v1/x HTTP/1.1", [HOST, JSON, (b"content-length", b"9")], b"{")
        assert code(sent(server, half)) == (408, "batchwrap_too_slow")
    assert behind.requests == []


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body(in_front: InFront, announced: bool) -> None:
    """A JSON body above the limit is a 413, whether or not it says so; an upload has none."""
    large = b'{"a": "' + b"x" * 300_000 + b'"}'
    framing = [(b"content-length", str(len(large)).encode())] if announced else [CHUNKED]
    body = large if announced else b"%x\r\n%s\r\n0\r\n\r\n" % (len(large), large)
    with upstream(OK) as behind:
        server = in_front(behind.url, max_body_bytes=100_000)
        refused = ask(server.url, b"POST /v1/x", [JSON, *framing], body)
        assert code(refused) == (413, "batchwrap_body_too_large")
        assert "100,000 bytes" in orjson.loads(refused.body)["error"]["message"]
        kind = (b"content-type", b"application/octet-stream")
        assert ask(server.url, b"POST /v1/files", [kind, *framing], body).body == b"ok"
    assert [one.body for one in behind.requests] == [large]


@pytest.mark.parametrize("status", [b"600", b"999", b"099", b"20", b"abc", b"101", b"0"])
def test_odd_statuses(in_front: InFront, status: bytes) -> None:
    """An upstream with a status that there is not is a 502."""
    odd = message(b"HTTP/1.1 " + status + b" Odd", [(b"content-length", b"2")], b"ok")
    asked = orjson.dumps({"model": "m", "messages": [USER]})
    framing = [JSON, (b"content-length", str(len(asked)).encode())]

    def answer(sock: socket.socket, asked: Message) -> None:
        sock.sendall(odd)
        sock.close()

    with upstream(answer) as behind:
        server = in_front(behind.url, throttle=None)
        for told in (
            ask(server.url, b"GET /v1/models"),
            ask(server.url, b"POST /v1/chat/completions", framing, asked),
        ):
            assert code(told)[0] == 502


@pytest.mark.parametrize("path", [b"/v1/responses", b"/responses", b"/v1/realtime?model=m"])
def test_websockets(in_front: InFront, path: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A WebSocket is refused with a 426, by which clients fall back to HTTP, without a word."""
    upgrade = [(b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    upgrade += [(b"sec-websocket-version", b"13"), (b"sec-websocket-key", b"dGhlIHNhbXBsZQ==")]
    with upstream(OK) as behind:
        server = in_front(behind.url)
        answer = ask(server.url, b"GET " + path, upgrade)
        assert code(answer) == (426, "batchwrap_no_websockets")
        assert dict(answer.headers)[b"upgrade"] == b"HTTP/1.1"
    assert behind.requests == []
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_too_many_connections(in_front: InFront, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above what the open files are enough for a client is told so, and may come again."""
    monkeypatch.setattr(protocol, "most_connections", lambda: 2)
    with upstream(OK) as behind:
        server = in_front(behind.url)
        with connect(server.url) as one, connect(server.url) as two:
            for sock in (one, two):
                sock.sendall(message(b"GET /v1/models HTTP/1.1", [HOST]))
                assert receive(sock).body == b"ok"
            answer = ask(server.url, b"GET /v1/models")
            assert code(answer) == (503, "batchwrap_busy")
            assert dict(answer.headers)[b"retry-after"] == b"1"
