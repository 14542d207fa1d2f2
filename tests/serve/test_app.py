"""Who may use the endpoint, with which key, and what it tells of itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

import batchwrap
from batchwrap.serve import Server
from tests.adapters.conversation import MULTI_CALL, TOOLS, USER
from tests.serve.sockets import Headers, ask, message, upstream

InFront = Callable[..., Server]

OK = message(b"HTTP/1.1 200 OK", [(b"content-length", b"2")], b"ok")
ASKED = orjson.dumps({"model": "m", "messages": [USER], "tools": TOOLS})
POSTED = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ASKED))]
BEARER = (b"authorization", b"Bearer the-token")


@pytest.mark.parametrize(
    "header", [BEARER, (b"api-key", b"the-token"), (b"x-api-key", b"the-token")]
)
def test_a_token(in_front: InFront, header: tuple[bytes, bytes]) -> None:
    """With the token in any header for keys a request comes through, with the provider's key."""
    with upstream(OK) as behind:
        server = in_front(behind.url, token="the-token", api_key="sk-real")
        assert ask(server.url, b"GET /models", [header]).body == b"ok"
    keyed = header[0], header[1].replace(b"the-token", b"sk-real")
    assert keyed in behind.requests[0].headers


def test_a_token_only(in_front: InFront) -> None:
    """Where the provider wants no key it gets none, and never the token."""
    with upstream(OK) as behind:
        server = in_front(behind.url, token="the-token")
        ask(server.url, b"GET /models", [BEARER, (b"x-other", b"1")])
    names = [name for name, _ in behind.requests[0].headers]
    assert b"authorization" not in names
    assert b"x-other" in names


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/metrics", b"/healthz/"])
def test_a_wrong_token(in_front: InFront, path: bytes) -> None:
    """Without the token nothing comes through, and the error says why."""
    wrong = [b"Bearer other", b"the-toke", b"Bearer \xff"]
    refused = ("invalid_request_error", "batchwrap_wrong_token")
    tried: list[Headers] = [[], *([(b"authorization", key)] for key in wrong)]
    with upstream(OK) as behind:
        server = in_front(behind.url, token="the-token", api_key="sk-real")
        for headers in tried:
            answer = ask(server.url, b"POST " + path, [*headers, (b"content-length", b"0")])
            assert answer.start.startswith(b"HTTP/1.1 401 "), headers
            error = orjson.loads(answer.body)["error"]
            assert (error["type"], error["code"]) == refused
    assert behind.requests == []


def test_no_token(in_front: InFront) -> None:
    """Without a token the client's own key goes on."""
    with upstream(OK) as behind:
        server = in_front(behind.url)
        ask(server.url, b"GET /models", [(b"authorization", b"Bearer own")])
    assert (b"authorization", b"Bearer own") in behind.requests[0].headers


def test_keys_are_not_logged(
    serve: Any, in_front: InFront, caplog: pytest.LogCaptureFixture
) -> None:
    """No key stands in a log, at whatever level, nor in an error."""
    caplog.set_level(logging.DEBUG)
    lab = serve(MULTI_CALL)
    server = in_front(lab.base_url, token="the-token", api_key="sk-real")
    head = b"POST /v1/chat/completions"
    answers = [ask(server.url, head, [BEARER, *POSTED], ASKED)]
    answers.append(ask(server.url, head, [(b"authorization", b"Bearer sk-mine"), *POSTED], ASKED))
    lab.stop()
    answers.append(ask(server.url, head, [BEARER, *POSTED], ASKED))
    assert [answer.start.split()[1] for answer in answers] == [b"200", b"401", b"502"]
    assert caplog.text
    for text in (caplog.text, *(answer.body.decode() for answer in answers)):
        for key in ("the-token", "sk-real", "sk-mine"):
            assert key not in text


def test_health(in_front: InFront) -> None:
    """`/healthz` tells that the endpoint runs, to everybody, and does not ask the upstream."""
    with upstream(OK) as behind:
        server = in_front(behind.url, token="the-token")
        answer = ask(server.url, b"GET /healthz")
    assert orjson.loads(answer.body) == {"status": "ok", "version": batchwrap.__version__}
    assert behind.requests == []


def test_metrics(serve: Any, in_front: InFront) -> None:
    """`/metrics` is what `stats` counts, in a form that Prometheus reads."""
    lab = serve(MULTI_CALL)
    server = in_front(lab.base_url, remind_every=1)
    ask(server.url, b"POST /v1/chat/completions", POSTED, ASKED)
    answer = ask(server.url, b"GET /metrics", [(b"accept", b"text/plain")])
    assert dict(answer.headers)[b"content-type"].startswith(b"text/plain; version=")
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }
    known = {name: found[f"batchwrap_{name}_total"] for name in ("requests", "items", "offers")}
    assert known == {"requests": 1, "items": 2, "offers": 1}
    assert found["batchwrap_waited_seconds_total"] >= 0
    assert found["batchwrap_requests_in_progress"] == 0
