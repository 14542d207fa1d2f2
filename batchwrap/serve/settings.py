"""Where to serve, what is behind it, and who may use it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from batchwrap.errors import ConfigError

_HIGHEST_PORT = 65_535
_ENDPOINT = "/chat/completions"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of a `Server`.

    Args:
        upstream: the base URL of the provider, as the agent had it:
            ``"https://api.cerebras.ai/v1"``.
        host: the address to listen at. Any other than this machine's own needs a `token`.
        port: the port to listen at; 0 takes one that is free.
        token: what clients have to send as their API key; None lets everybody in, with the key
            of their own, which goes on to the provider.
        api_key: the key for the provider, in place of the `token`; None sends none.
        allow_hosts: host names by which it may be reached and used by web pages, beside those of
            this machine and `host`: ``"box.lan"``, ``".lan"`` for all that end so, ``"*"`` for
            all. They count without a token; who has the token may come from anywhere.
        max_body_bytes: how large the body of a JSON request may be; it is held in memory. Other
            bodies are sent on as they come in, whatever their size.

    Raises:
        ConfigError: one of them is wrong, or a key is given without a token.
    """

    upstream: str
    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    allow_hosts: Sequence[str] = ()
    max_body_bytes: int = 256 * 1024 * 1024

    def __post_init__(self) -> None:
        _check_upstream(self.upstream)
        if not 0 <= self.port <= _HIGHEST_PORT:
            raise ConfigError("port", f"{self.port} is not between 0 and {_HIGHEST_PORT}")
        if isinstance(self.allow_hosts, str) or not all(map(_is_host, self.allow_hosts)):
            raise ConfigError("allow_hosts", f"{self.allow_hosts!r} is no list of host names")
        if self.max_body_bytes < 1:
            raise ConfigError("max_body_bytes", f"{self.max_body_bytes} is not at least 1")
        for name in ("token", "api_key"):
            value = getattr(self, name)
            if value is not None and not (value and value.isascii() and value.isprintable()):
                raise ConfigError(name, "is empty, or has characters that no header can carry")
        if self.api_key is not None and self.token is None:
            raise ConfigError(
                "api_key", "needs a token: else every program and web page could spend on it"
            )

    @property
    def base_path(self) -> str:
        """The path of the base URL that agents use: `/v1` stands for the path of the upstream."""
        return "/v1" if urlsplit(self.upstream).path.strip("/") else ""


def _is_host(name: object) -> bool:
    return isinstance(name, str) and bool(name) and not set(name) & set("/:@ ")


def _check_upstream(upstream: str) -> None:
    try:
        url = urlsplit(upstream)
        known = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        known = False
    if not known:
        raise ConfigError("upstream", f"{_bare(upstream)!r} is not an http:// or https:// address")
    if url.username is not None or url.password is not None:
        raise ConfigError("upstream", "has a name or password in it; use an API key")
    if url.path.rstrip("/").endswith(_ENDPOINT):
        raise ConfigError("upstream", f"{upstream!r} is an endpoint; give what stands before it")
    if url.query or url.fragment:
        raise ConfigError("upstream", f"{_bare(upstream)!r} goes on after its path")


def _bare(upstream: str) -> str:
    """Without what may be a secret."""
    return upstream.rpartition("@")[2].partition("?")[0]
