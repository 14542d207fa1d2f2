"""What a server refuses to be, and where it listens."""

from __future__ import annotations

import socket

import pytest

from batchwrap.errors import ConfigError
from batchwrap.serve import Server, Settings

UP = "https://api.example.com/v1"


@pytest.mark.parametrize(
    "upstream",
    [
        *("", "api.example.com/v1", "ftp://api.example.com", "http://", "http://[::1"),
        *("http://h:99999", "http://h:0/v1", "https://h/v1?key=pass-word", "https://h/#x"),
        *(
            "https://name:pass-word@h/v1",
            "https://h/v1/chat/completions",
            "https://h/chat/completions/",
        ),
    ],
)
def test_no_upstream(upstream: str) -> None:
    """What is no plain address is refused by name; passwords are not repeated."""
    with pytest.raises(ConfigError, match=r"^upstream: ") as wrong:
        Settings(upstream=upstream)
    assert "pass-word" not in str(wrong.value)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_no_port(port: int) -> None:
    """A port outside of the numbers that ports have is refused."""
    with pytest.raises(ConfigError, match=r"^port: "):
        Settings(upstream=UP, port=port)


@pytest.mark.parametrize("token", ["", "a\nb", "ä", "a\x00"])
def test_no_token(token: str) -> None:
    """A token that no header can carry is refused, and not repeated."""
    with pytest.raises(ConfigError, match=r"^token: is empty, or has characters"):
        Settings(upstream=UP, token=token)


def test_a_key_for_everybody() -> None:
    """A provider's key needs a token, and neither is shown."""
    with pytest.raises(ConfigError, match=r"^api_key: needs a token"):
        Settings(upstream=UP, api_key="sk-real")
    assert "sk-" not in repr(Settings(upstream=UP, api_key="sk-real", token="sk-token"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_open_to_others(host: str) -> None:
    """An address that other machines reach needs a token."""
    with pytest.raises(ConfigError, match=r"^host: .* needs a token"):
        Server(Settings(upstream=UP, host=host))
    server = Server(Settings(upstream=UP, host="0.0.0.0", token="t"))
    assert server.url.startswith("http://127.0.0.1:")  # what an agent on this machine connects to
    server.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
def test_this_machine(host: str) -> None:
    """Any name of this machine will do without one."""
    server = Server(Settings(upstream=UP, host=host))
    assert server.base_url.endswith("/v1")
    server.close()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b", "256.0.0.1"])
def test_no_such_host(host: str) -> None:
    """A name that is no address is refused by name."""
    with pytest.raises(ConfigError, match=r"^host: .* is no address"):
        Server(Settings(upstream=UP, host=host))


def test_a_port_in_use() -> None:
    """A port that is taken is refused by name."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"^port: cannot listen at 127.0.0.1:{port}: "):
            Server(Settings(upstream=UP, port=port))


def test_a_wrong_option() -> None:
    """A wrong option of `wrap` is refused before anything listens."""
    with pytest.raises(ConfigError, match="preset"):
        Server(Settings(upstream=UP), preset="odd")
