"""What is no business of batchwrap goes through the endpoint to the byte, both ways."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.serve import Server
from batchwrap.serve.relay import target_path
from tests.adapters.conversation import USER
from tests.serve.sockets import Headers, Message, ask, connect, message, receive, upstream
from tests.strategies import examples

InFront = Callable[..., Server]

METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"PROPFIND"]
OK = message(b"HTTP/1.1 200 OK", [(b"content-length", b"2")], b"ok")
# What a request target may be made of, percent-encoded and not.
TARGETS = st.lists(
    st.sampled_from([b"a", b"Z", b"0", b"-", b"..", b"_", b"~", b"%2F", b"%2f", b"%C3%A9", b"!"])
    | st.sampled_from([b"$", b"&", b"'", b"(", b")", b"*", b"+", b",", b";", b"=", b":", b"@"])
    | st.sampled_from([b"/", b"|", b"{", b"}", b"^", b"`", b'"', b"[", b"]", b"%zz"]),
    max_size=12,
).map(b"".join)
NAMES = st.from_regex(rb"x-[a-z]{1,8}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
FIELDS = st.lists(st.tuples(NAMES, VALUES.map(str.encode)), max_size=5)
BODIES = st.none() | st.tuples(st.binary(max_size=2_000), st.booleans())
KIND = (b"content-type", b"application/octet-stream")


def framed(body: tuple[bytes, bool] | None) -> tuple[Headers, bytes]:
    """A body, whole or chunked, with the headers that say where it ends."""
    if body is None:
        return [], b""
    content, chunked = body
    if not chunked:
        return [(b"content-length", str(len(content)).encode())], content
    chunk = f"{len(content):x}\r\n".encode() + content + b"\r\n" if content else b""
    return [(b"transfer-encoding", b"chunked")], chunk + b"0\r\n\r\n"


def fields(it: Message, *without: bytes) -> Headers:
    """The headers that are not between neighbours, nor among these, in an order of their own."""
    return sorted(pair for pair in it.headers if pair[0] not in (*without, b"connection"))


def test_requests_pass(in_front: InFront) -> None:
    """Method, path, query, headers and body arrive as they were sent."""
    with upstream(OK) as behind:
        server = in_front(behind.url + "/base/v1/")

        @examples(150)
        @given(st.sampled_from(METHODS), TARGETS, TARGETS, FIELDS, BODIES)
        def check(
            method: bytes,
            path: bytes,
            query: bytes,
            sent: Headers,
            body: tuple[bytes, bool] | None,
        ) -> None:
            behind.requests.clear()
            framing, content = framed(body)
            target = b"/" + path + (b"?" + query if query else b"")
            headers = [KIND, *sent, *framing]
            ask(server.url, method + b" /v1" + target, headers, content)
            (asked,) = behind.requests
            assert asked.start == method + b" /base/v1" + target + b" HTTP/1.1"
            assert asked.body == (body[0] if body else b"")
            none = body is None and method in (b"POST", b"PUT", b"PATCH")
            told = [(b"content-length", b"0")] if none else []
            assert fields(asked, b"host") == sorted([*headers, *told])

        check()


def test_answers_pass(in_front: InFront) -> None:
    """Status, headers and body of an answer arrive as they were sent."""
    answers: list[bytes] = []
    with upstream(lambda sock, asked: sock.sendall(answers.pop())) as behind:
        server = in_front(behind.url)

        @examples(150)
        @given(st.sampled_from([200, 201, 302, 400, 401, 404, 429, 500, 503, 529]), FIELDS, BODIES)
        def check(status: int, sent: Headers, body: tuple[bytes, bool] | None) -> None:
            framing, content = framed(body or (b"", False))
            answers.append(message(b"HTTP/1.1 %d Odd" % status, [*sent, *framing], content))
            answer = ask(server.url, b"GET /files")
            assert answer.start.split()[1] == b"%d" % status
            assert answer.body == (body[0] if body else b"")
            assert answer.complete
            assert fields(answer) == sorted([*sent, *framing])

        check()


@pytest.mark.parametrize(
    ("base", "target", "arrives"),
    [
        ("/openai/v1", b"/v1/models", b"/openai/v1/models"),
        ("/openai/v1", b"/models", b"/openai/v1/models"),
        ("/v1beta/openai/", b"/v1/models", b"/v1beta/openai/models"),
        ("/v1", b"/v1/v1/x", b"/v1/x"),
        ("", b"/v1/v1/models", b"/v1/models"),
        ("/v1", b"/v1beta/x", b"/v1/v1beta/x"),
        ("", b"/v1/models", b"/v1/models"),
        ("/", b"/openai/deployments/d?api-version=1", b"/openai/deployments/d?api-version=1"),
    ],
)
def test_where_it_goes(in_front: InFront, base: str, target: bytes, arrives: bytes) -> None:
    """`/v1` stands for the path of the upstream; one without a path gets paths as they are."""
    with upstream(OK) as behind:
        server = in_front(behind.url + base)
        ask(server.url, b"GET " + target)
    assert behind.requests[0].start == b"GET " + arrives + b" HTTP/1.1"


@pytest.mark.parametrize(
    ("base", "arrives"),
    [
        ("", b"/v1"),
        ("/", b"/v1"),
        ("/v1", b"/v1"),
        ("/v1/", b"/v1"),
        ("/api/anthropic", b"/api/anthropic/v1"),
        ("/api/v1", b"/api/v1"),
    ],
)
def test_where_messages_go(in_front: InFront, base: str, arrives: bytes) -> None:
    """Anthropic's clients reach its endpoint whether or not a base URL ends in `/v1`."""
    with upstream(OK) as behind:
        server = in_front(behind.url + base)
        for asked in (b"/messages", b"/messages/count_tokens", b"/messages/batches"):
            for written in (b"", b"/v1", b"/v1/v1"):
                ask(server.url, b"GET " + written + asked)
                last = behind.requests[-1].start
                assert last == b"GET " + arrives + asked + b" HTTP/1.1", written


@pytest.mark.parametrize(
    ("base", "path", "arrives"),
    [
        (b"/v1", b"/v1/threads/t/messages", b"/v1/threads/t/messages"),
        (b"/v1", b"/v1/messagesx", b"/v1/messagesx"),
        (b"", b"/v1", b"/v1"),
        (b"/v1", b"/v1", b"/v1"),
        (b"", b"/messages", b"/v1/messages"),
        (b"", b"/chat/completions", b"/chat/completions"),
    ],
)
def test_paths(base: bytes, path: bytes, arrives: bytes) -> None:
    """Other paths are no business of Anthropic's."""
    assert target_path(base, path) == arrives


@given(st.sampled_from([b"", b"/v1", b"/api", b"/openai/v1", b"/v1beta/openai"]), TARGETS)
def test_no_version_twice(base: bytes, path: bytes) -> None:
    """No path at the upstream has its version twice, however often the client writes it."""
    for written in (b"/", b"/v1/", b"/v1/v1/", b"/v1/v1/v1/"):
        assert b"/v1/v1/" not in target_path(base, written + path)


def test_between_neighbours(in_front: InFront) -> None:
    """Headers that are meant for the next connection only are not passed on, either way."""
    own = [(b"keep-alive", b"5"), (b"x-hop", b"1"), (b"te", b"trailers"), (b"upgrade", b"h2c")]
    hop = [(b"connection", b"keep-alive, X-Hop"), *own]
    answer = message(b"HTTP/1.1 200 OK", [*hop, (b"x-end", b"2"), (b"content-length", b"0")])
    with upstream(answer) as behind:
        server = in_front(behind.url)
        answered = ask(server.url, b"GET /", [*hop, (b"x-end", b"1"), (b"expect", b"odd")])
    assert fields(behind.requests[0], b"host") == [(b"x-end", b"1")]
    assert fields(answered) == [(b"content-length", b"0"), (b"x-end", b"2")]


@pytest.mark.parametrize("target", [b"*", b"http://127.0.0.1:9/x", b"x"])
@pytest.mark.parametrize("base", ["", "/v1"])
def test_no_path(in_front: InFront, base: str, target: bytes) -> None:
    """What is no path, or names another server, is refused: only the upstream is ever asked."""
    with upstream(OK) as behind:
        server = in_front(behind.url + base)
        answer = ask(server.url, b"OPTIONS " + target)
    assert answer.start.startswith(b"HTTP/1.1 400 ")
    assert orjson.loads(answer.body)["error"]["code"] == "batchwrap_bad_target"
    assert behind.requests == []


def test_compressed_answers(in_front: InFront) -> None:
    """Compressed answers stay so; where we have to read them, only what we can read is wanted."""
    packed = gzip.compress(b"{}")
    headers = [(b"content-encoding", b"gzip"), (b"content-length", str(len(packed)).encode())]
    offered = (b"accept-encoding", b"gzip;q=0.5, odd, *")
    with upstream(message(b"HTTP/1.1 200 OK", headers, packed)) as behind:
        server = in_front(behind.url)
        answer = ask(server.url, b"GET /files", [offered])
        kind = (b"content-type", b"application/json; charset=utf-8")
        asked = [offered, kind, (b"content-length", b"2")]
        read = ask(server.url, b"POST /v1/chat/completions", asked, b"{}")
    assert (answer.body, read.body) == (packed, packed)
    first, second = (dict(request.headers) for request in behind.requests)
    assert first[b"accept-encoding"] == offered[1]
    assert second[b"accept-encoding"] == b"gzip;q=0.5"


def test_an_upload_streams(in_front: InFront) -> None:
    """An upload is sent on while it comes in."""
    with upstream(OK) as behind:
        server = in_front(behind.url)
        with connect(server.url) as sock:
            headers = [(b"host", b"localhost"), (b"content-length", b"8"), KIND]
            sock.sendall(message(b"POST /files HTTP/1.1", headers, b"half"))
            assert behind.begun.wait(20)
            sock.sendall(b"half")
            assert receive(sock).body == b"ok"
    assert behind.requests[0].body == b"halfhalf"


def test_no_upstream(in_front: InFront) -> None:
    """An upstream that cannot be reached is a 502 with an error in the form of OpenAI's."""
    with upstream(OK) as gone:
        pass
    server = in_front(gone.url)
    answer = ask(server.url, b"GET /models")
    error = orjson.loads(answer.body)["error"]
    assert answer.start.startswith(b"HTTP/1.1 502 ")
    assert error["code"] == "batchwrap_upstream_unreachable"
    assert gone.url in error["message"]


def test_a_broken_compression(in_front: InFront) -> None:
    """A stream whose compression is broken breaks off, too, and the server goes on."""
    headers = [(b"content-encoding", b"gzip"), (b"content-type", b"text/event-stream")]
    broken = message(b"HTTP/1.1 200 OK", [*headers, (b"content-length", b"9")], b"not gzip!")
    with upstream(broken) as behind:
        server = in_front(behind.url)
        kind = (b"content-type", b"application/json")
        asked = orjson.dumps({"messages": [USER], "stream": True})
        length = (b"content-length", str(len(asked)).encode())
        answer = ask(server.url, b"POST /v1/chat/completions", [kind, length], asked)
        assert ask(server.url, b"GET /healthz").complete
    assert answer.start.startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("framing", [(b"content-length", b"9"), (b"transfer-encoding", b"chunked")])
def test_an_answer_that_breaks_off(
    in_front: InFront, framing: tuple[bytes, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that breaks off breaks off for the client, too; it does not look complete."""

    def answer(sock: socket.socket, asked: Message) -> None:
        part = b"part" if framing[0] == b"content-length" else b"4\r\npart\r\n"
        sock.sendall(message(b"HTTP/1.1 200 OK", [framing], part))
        sock.close()

    with upstream(answer) as behind:
        server = in_front(behind.url)
        answered = ask(server.url, b"GET /files")
    assert (answered.body, answered.complete) == (b"part", False)
    assert "broke off" in caplog.text
