"""Web pages cannot use the endpoint: names of other hosts, and pages of other sites, get a 403."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.errors import ConfigError
from batchwrap.serve import Server, Settings
from batchwrap.serve.hosts import is_loopback
from tests.serve.sockets import ask, connect, message, receive, upstream

InFront = Callable[..., Server]
OK = message(b"HTTP/1.1 200 OK", [(b"content-length", b"2")], b"ok")
PATHS = [b"GET /healthz", b"GET /metrics", b"GET /v1/models", b"POST /v1/chat/completions"]
FORM = [(b"content-type", b"text/plain"), (b"content-length", b"0")]
OURS = [
    b"localhost",
    b"LocalHost:4141",
    b"127.0.0.1",
    b"127.8.8.8:1",
    b"[::1]:4141",
    b"a.localhost",
]
OTHERS = [
    b"evil.example",
    b"evil.example:4141",
    b"localhost.evil.example",
    b"127.0.0.1.nip.io",
    b"",
]
OTHERS += [b"10.0.0.7:4141", b"[::1", b"0.0.0.0", b"2130706433", b"[fe80::1]"]


@pytest.mark.parametrize("path", PATHS)
def test_other_hosts(in_front: InFront, path: bytes) -> None:
    """A name that was made to point here (DNS rebinding) is refused, whatever is asked for."""
    with upstream(OK) as behind:
        server = in_front(behind.url)
        for host in OTHERS:
            answer = ask(server.url, path, [(b"host", host), *FORM])
            assert answer.start.startswith(b"HTTP/1.1 403 "), host
            assert orjson.loads(answer.body)["error"]["code"] == "batchwrap_wrong_host"
    assert behind.requests == []


@pytest.mark.parametrize("path", PATHS)
def test_other_sites(in_front: InFront, path: bytes) -> None:
    """A page of another site is refused: a form that it posts needs no leave of the browser."""
    named = [b"http://evil.example", b"null", b"", b"https://localhost.x"]
    unnamed = [(b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"no-cors")]
    with upstream(OK) as behind:
        server = in_front(behind.url)
        for headers in (*([(b"origin", origin)] for origin in named), unnamed):
            answer = ask(server.url, path, [*headers, *FORM])
            assert answer.start.startswith(b"HTTP/1.1 403 "), headers
            assert orjson.loads(answer.body)["error"]["code"] == "batchwrap_wrong_origin"
    assert behind.requests == []


def test_this_machine(in_front: InFront) -> None:
    """Names of this machine, pages that it serves, and programs on it come through."""
    with upstream(OK) as behind:
        server = in_front(behind.url)
        for host in OURS:
            assert ask(server.url, b"GET /v1/models", [(b"host", host)]).body == b"ok"
        for origin in (b"http://localhost:3000", b"http://[::1]", b"vscode-webview://ab12"):
            assert ask(server.url, b"GET /v1/models", [(b"origin", origin)]).body == b"ok"
        followed = [(b"sec-fetch-site", b"cross-site"), (b"sec-fetch-mode", b"navigate")]
        assert ask(server.url, b"GET /metrics", followed).start.startswith(b"HTTP/1.1 200 ")
        with connect(server.url) as sock:  # no browser leaves the name out
            sock.sendall(b"GET /v1/models HTTP/1.0\r\n\r\n")
            assert receive(sock).body == b"ok"


@pytest.mark.parametrize(
    ("allowed", "host", "passes"),
    [
        ("host.docker.internal", b"host.docker.internal:4141", True),
        ("Box.lan.", b"box.LAN", True),
        (".lan", b"box.lan", True),
        (".lan", b"boxlan", False),
        ("box.lan", b"evil.box.lan", False),
        ("*", b"anything.example", True),
    ],
)
def test_allowed(in_front: InFront, allowed: str, host: bytes, passes: bool) -> None:
    """Other names are let in by name, for `Host` and `Origin` alike."""
    with upstream(OK) as behind:
        server = in_front(behind.url, allow_hosts=[allowed])
        for header in ((b"host", host), (b"origin", b"http://" + host)):
            answer = ask(server.url, b"GET /v1/models", [header])
            assert answer.start.startswith(b"HTTP/1.1 %d " % (200 if passes else 403))


def test_with_a_token(in_front: InFront) -> None:
    """Who has the token may come by any name: no page knows it."""
    with upstream(OK) as behind:
        server = in_front(behind.url, token="the-token")
        keyed = [(b"authorization", b"Bearer the-token"), (b"host", b"box.lan")]
        assert ask(server.url, b"GET /v1/models", keyed).body == b"ok"


@pytest.mark.parametrize("wrong", ["box.lan", ["http://box.lan"], [""], ["a b"], [1]])
def test_wrong_names(wrong: object) -> None:
    """What is no list of names is refused by name."""
    with pytest.raises(ConfigError, match=r"^allow_hosts: "):
        Settings(upstream="http://h/v1", allow_hosts=wrong)  # type: ignore[arg-type]


@given(st.from_regex(r"[a-z0-9.:-]{1,20}", fullmatch=True))
def test_no_name_passes_for_this_machine(name: str) -> None:
    """Only addresses of the loopback and `localhost` are this machine's."""
    assert (
        is_loopback(name)
        == (
            name == "localhost"
            or name.endswith(".localhost")
            or name == "::1"
            or (
                name.startswith("127.") and name.replace(".", "").isdigit() and name.count(".") == 3
            )
        )
        or name.startswith("127.")
        or ":" in name
    )
