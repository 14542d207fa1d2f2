"""Where the page is, what is not sent on to the upstream, and what its data holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from batchwrap.lab import Reply
from batchwrap.serve import Server
from tests.adapters.conversation import MULTI_CALL, TOOLS, USER
from tests.serve.sockets import ask, message, upstream

InFront = Callable[..., Server]
OK = message(b"HTTP/1.1 200 OK", [(b"content-length", b"2")], b"ok")
BROWSER = (b"accept", b"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")


def posted(body: dict[str, Any]) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The headers and the content of a JSON request."""
    content = orjson.dumps(body)
    length = (b"content-length", b"%d" % len(content))
    return [(b"content-type", b"application/json"), length], content


def test_the_start(in_front: InFront) -> None:
    """A browser at `/` is sent to the page; a program's request goes to the upstream as ever."""
    with upstream(OK) as behind:
        server = in_front(f"{behind.url}/v1")
        seen = ask(server.url, b"GET /", [BROWSER])
        assert seen.start.startswith(b"HTTP/1.1 303 ")
        assert dict(seen.headers)[b"location"] == b"/batchwrap"
        assert ask(server.url, b"GET /", [(b"accept", b"*/*")]).body == b"ok"
        assert ask(server.url, b"POST /", [BROWSER, (b"content-length", b"0")]).body == b"ok"


def test_an_upstream_with_a_start(in_front: InFront) -> None:
    """Where the upstream may have a page of its own at `/`, that one is shown."""
    with upstream(OK) as behind:
        server = in_front(behind.url)
        assert ask(server.url, b"GET /", [BROWSER]).body == b"ok"
        assert b"batchwrap serve" in ask(server.url, b"GET /batchwrap").body


@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE"])
@pytest.mark.parametrize("path", [b"/batchwrap/", b"/batchwrap/x/data", b"/%62atchwrap/x"])
def test_nothing_is_sent_on(in_front: InFront, method: bytes, path: bytes) -> None:
    """Nothing below the page's path reaches the upstream, since it might hold a token."""
    with upstream(OK) as behind:
        server = in_front(f"{behind.url}/v1")
        answer = ask(server.url, b"%s %s?token=x" % (method, path), [(b"content-length", b"0")])
        assert answer.start.startswith(b"HTTP/1.1 404 ")
        assert orjson.loads(answer.body)["error"]["code"] == "batchwrap_no_such_page"
    assert behind.requests == []


def test_an_upstream_below_the_page(in_front: InFront) -> None:
    """Without a path of its own, an upstream gets all that is not a request for the page."""
    with upstream(OK) as behind:
        server = in_front(behind.url)
        for line in (
            *(b"GET /batchwrap/v1/models", b"POST /batchwrap/v1/chat/completions"),
            *(
                b"POST /batchwrap",
                b"OPTIONS /batchwrap",
                b"GET /batchwrap/",
                b"PUT /batchwrap/data",
            ),
        ):
            assert ask(server.url, line, [(b"content-length", b"0")]).body == b"ok", line
        for line in (b"GET /batchwrap", b"GET /batchwrap/data"):
            assert ask(server.url, line).body != b"ok", line


def test_hosts(in_front: InFront) -> None:
    """The page is behind the same check of hosts and sites as all else."""
    with upstream(OK) as behind:
        server = in_front(behind.url)
        for path in (b"GET /batchwrap", b"GET /batchwrap/data", b"POST /batchwrap/login"):
            for header in ((b"host", b"evil.example"), (b"origin", b"http://evil.example")):
                answer = ask(server.url, path, [header, (b"content-length", b"0")])
                assert answer.start.startswith(b"HTTP/1.1 403 "), path


def test_the_document(in_front: InFront) -> None:
    """It is one file that loads nothing, and its policy allows its own script and style only."""
    with upstream(OK) as behind:
        server = in_front(behind.url, token="the-token")
        key = (b"authorization", b"Bearer the-token")
        for answer in (
            ask(server.url, b"GET /batchwrap", [key]),
            ask(server.url, b"GET /batchwrap"),
        ):
            text, headers = answer.body.decode(), dict(answer.headers)
            assert not re.search(r'src=|url\(|@import|href="(?!data:,"|/metrics")', text)
            assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
            policy = headers[b"content-security-policy"].decode()
            assert policy.startswith("default-src 'none'; connect-src 'self'")
            assert "unsafe" not in policy and "frame-ancestors 'none'" in policy
            assert headers[b"cache-control"] == b"no-store"
            assert headers[b"referrer-policy"] == b"no-referrer"
        head = ask(server.url, b"HEAD /batchwrap", [key])
        assert head.start.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "query", [b"", b"?since=", b"?since=-1", b"?since=x", b"?since=" + b"9" * 5_000, b"?since=1e9"]
)
def test_any_query(in_front: InFront, query: bytes) -> None:
    """What is no number asks for all samples."""
    with upstream(OK) as behind:
        server = in_front(behind.url)
        answer = ask(server.url, b"GET /batchwrap/data" + query)
        assert orjson.loads(answer.body)["samples"]


def test_the_data(serve: Any, in_front: InFront) -> None:
    """It has the turn's names and sizes, the limits and the counters, and nothing of contents."""
    said = Reply("the secret words")
    lab = serve(MULTI_CALL, said)
    server = in_front(lab.base_url, limits=[], remind_every=1)
    asked = {"model": "<script>", "messages": [USER], "tools": TOOLS}
    key = (b"authorization", b"Bearer sk-very-secret")
    for _ in range(2):
        headers, content = posted(asked)
        ask(server.url, b"POST /v1/chat/completions", [*headers, key], content)
    answer = ask(server.url, b"GET /batchwrap/data")
    assert dict(answer.headers)[b"content-type"] == b"application/json"
    data = orjson.loads(answer.body)
    assert data["counters"]["requests"] == 2 and data["counters"]["items"] == 2
    assert data["upstream"] == lab.base_url
    [conversation] = data["conversations"]
    first, second = conversation["turns"]
    assert (first["model"], first["status"]) == ("<script>", 200)
    [[name, count, chars]] = first["said"]
    assert name.startswith("multi_") and count == 1 and chars > 10
    [[name, count, chars]] = first["got"]
    assert count + first.get("held", 0) == 2
    assert "said" not in second
    for secret in (b"secret", USER["content"].encode(), b"sk-very"):
        assert secret not in answer.body
