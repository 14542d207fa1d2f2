"""With a token, the page is for those who know it, and its cookie is good for nothing else."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from batchwrap.serve import Server
from tests.serve.sockets import Headers, Message, ask, message, upstream

InFront = Callable[..., Server]
OK = message(b"HTTP/1.1 200 OK", [(b"content-length", b"2")], b"ok")
BEARER = (b"authorization", b"Bearer the-token")
PATHS = [
    b"/batchwrap",
    b"/batchwrap/data",
    b"/batchwrap/login",
    b"/batchwrap/other",
    b"/batchwrap/",
]


def status(answer: Message) -> int:
    """The HTTP status."""
    return int(answer.start.split()[1])


def log_in(url: str, token: bytes, *headers: tuple[bytes, bytes]) -> Message:
    """What the form sends."""
    framed = [(b"content-length", b"%d" % len(token)), *headers]
    return ask(url, b"POST /batchwrap/login", framed, token)


def cookie_of(answer: Message) -> tuple[bytes, bytes]:
    """The cookie as a browser sends it back."""
    return b"cookie", dict(answer.headers)[b"set-cookie"].partition(b";")[0]


@pytest.fixture
def server(in_front: InFront, request: pytest.FixtureRequest) -> Any:
    """A server with a token, and the upstream behind it, which nobody of the page may reach."""
    with upstream(OK) as behind:
        made = in_front(behind.url, token="the-token", api_key="sk-real")
        yield made
        if "models" not in request.node.name:
            assert behind.requests == []


def test_a_stranger(server: Server) -> None:
    """Without the token there is a form that tells nothing, and nothing else."""
    form = ask(server.url, b"GET /batchwrap")
    assert status(form) == 401
    assert b'type="password"' in form.body and b"the-token" not in form.body
    assert b"127.0.0.1" not in form.body
    for path in PATHS[1:]:
        for method in (b"GET ", b"PUT ", b"HEAD "):
            answer = ask(server.url, method + path, [(b"content-length", b"0")])
            assert status(answer) == 401, path


def test_the_token_as_a_key(server: Server) -> None:
    """A program sends the token as its API key, as everywhere."""
    assert status(ask(server.url, b"GET /batchwrap", [BEARER])) == 200
    data = ask(server.url, b"GET /batchwrap/data", [BEARER])
    assert orjson.loads(data.body)["counters"]["requests"] == 0


def test_a_browser(server: Server) -> None:
    """The token is sent once; from then on there is a cookie, which is not the token."""
    answer = log_in(server.url, b"the-token")
    assert status(answer) == 204
    said = dict(answer.headers)[b"set-cookie"]
    for part in (b"; Path=/batchwrap", b"; HttpOnly", b"; SameSite=Strict"):
        assert part in said
    assert b"the-token" not in said and b"Secure" not in said
    cookie = cookie_of(answer)
    assert status(ask(server.url, b"GET /batchwrap", [cookie])) == 200
    assert status(ask(server.url, b"GET /batchwrap/data", [cookie])) == 200
    safe = log_in(server.url, b"the-token", (b"x-forwarded-proto", b"https"))
    assert b"; Secure" in dict(safe.headers)[b"set-cookie"]


def test_the_cookie_opens_the_page_only(server: Server) -> None:
    """No request to a model can be made with the cookie, and no metric be read."""
    cookie = cookie_of(log_in(server.url, b"the-token"))
    value = cookie[1].partition(b"=")[2]
    for path in (b"GET /v1/chat/completions", b"GET /metrics", b"POST /batchwrapped"):
        for header in (cookie, (b"authorization", b"Bearer " + value)):
            assert status(ask(server.url, path, [header, (b"content-length", b"0")])) == 401, path


@pytest.mark.parametrize(
    "sent", [b"", b"the-toke", b"the-token\n", b"\xff\xfe", b"t\xc3\xa4", b"the-token" * 9_999]
)
def test_a_wrong_token(server: Server, sent: bytes) -> None:
    """Whatever else is sent, there is no cookie."""
    answer = log_in(server.url, sent)
    assert status(answer) == 401
    assert b"set-cookie" not in dict(answer.headers)


def test_forged_cookies(server: Server) -> None:
    """A cookie with any other value, or none that can be read, is no cookie."""
    name, _, value = cookie_of(log_in(server.url, b"the-token"))[1].partition(b"=")
    forged = [name + b"=", name + b"=" + value[:-1], name + b"=the-token", b"batchwrap_x=" + value]
    forged += [
        name + b'="' + value,
        b"=" * 999,
        b";" * 999,
        b"\xff",
        name,
        b"a=b; " + name + b"=\xe4",
    ]
    for one in forged:
        assert status(ask(server.url, b"GET /batchwrap/data", [(b"cookie", one)])) == 401, one


def test_cookies_of_other_programs(server: Server) -> None:
    """Whatever else a browser holds for this host, the page's own cookie counts."""
    _, own = cookie_of(log_in(server.url, b"the-token"))
    for other in (b'a={"b": [1, 2]}', b"a=b c", b"flag", b"a@b=1", b"a=\xc3\xa9", b'a="b'):
        for both in (other + b"; " + own, own + b"; " + other):
            assert status(ask(server.url, b"GET /batchwrap/data", [(b"cookie", both)])) == 200, both


def test_other_sites(server: Server) -> None:
    """Pages of other sites, and of other ports of this host, cannot use a browser's cookie."""
    cookie = cookie_of(log_in(server.url, b"the-token"))
    for site in (b"cross-site", b"same-site", b"anything"):
        asked: Headers = [cookie, (b"sec-fetch-site", site)]
        assert status(ask(server.url, b"GET /batchwrap/data", asked)) == 401
        assert status(log_in(server.url, b"the-token", (b"sec-fetch-site", site))) == 401
    for site in (b"same-origin", b"none"):
        asked = [cookie, (b"sec-fetch-site", site)]
        assert status(ask(server.url, b"GET /batchwrap/data", asked)) == 200


def test_each_token_has_its_cookie(in_front: InFront) -> None:
    """Two servers on one host do not overwrite each other's cookie; two with one token share it."""
    with upstream(OK) as behind:
        one, same, other = (in_front(behind.url, token=token) for token in ("a1", "a1", "b2"))
        cookies = [cookie_of(log_in(it.url, token)) for it, token in ((one, b"a1"), (other, b"b2"))]
        assert cookies[0][1].partition(b"=")[0] != cookies[1][1].partition(b"=")[0]
        assert status(ask(same.url, b"GET /batchwrap/data", [cookies[0]])) == 200
        assert status(ask(other.url, b"GET /batchwrap/data", [cookies[0]])) == 401


def test_nothing_is_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the token nor the cookie stands in a log."""
    caplog.set_level(logging.DEBUG)
    cookie = cookie_of(log_in(server.url, b"the-token"))
    log_in(server.url, b"the-tokem")
    ask(server.url, b"GET /batchwrap/data", [cookie])
    for secret in ("the-token", "the-tokem", cookie[1].decode()):
        assert secret not in caplog.text
