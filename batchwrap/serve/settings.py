"""The settings of `serve`: address, upstream, and who may use it; checked when they are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from batchwrap.errors import ConfigError
from batchwrap.serve.hosts import EVERY_ADDRESS, is_loopback

_HIGHEST_PORT = 65_535
_ENDPOINT = "/chat/completions"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of a `Server`.

    Args:
        upstream: the base URL of the provider that the agent used before, such as
            ``"https://api.cerebras.ai/v1"``.
        host: the address to listen at. Addresses that other machines can reach need a `token`.
        port: the port to listen at; 0 chooses a free one.
        token: the text that clients must send as their API key. None requires none; then
            clients send their own key, which goes to the provider.
        api_key: the provider's key, which replaces the `token`; None sends none.
        allow_hosts: further host names by which the endpoint may be reached, and used by web
            pages: ``"box.lan"``, ``".lan"`` for all that end with it, ``"*"`` for all. Only
            used without a token; with the token, requests may come from anywhere.
        max_body_bytes: the size limit for the body of a JSON request, which is held in memory.
            Other bodies are sent on as they arrive, whatever their size.

    Raises:
        ConfigError: a setting is wrong, or there is a key without a token.
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
        if self.port and _is_itself(urlsplit(self.upstream), self.host, self.port):
            raise ConfigError("upstream", f"{self.upstream!r} is where it listens itself")
        if isinstance(self.allow_hosts, str):
            raise ConfigError("allow_hosts", f"{self.allow_hosts!r} is no list of host names")
        for name in self.allow_hosts:
            if not _is_host(name):
                raise ConfigError("allow_hosts", f"{name!r} is not a host name without a port")
        if self.max_body_bytes < 1:
            raise ConfigError("max_body_bytes", f"{self.max_body_bytes} is not at least 1")
        for name in ("token", "api_key"):
            value = getattr(self, name)
            if value is not None and not (value and value.isascii() and value.isprintable()):
                raise ConfigError(name, "is empty, or has characters that no header can carry")
        if self.api_key is not None and self.token is None:
            raise ConfigError(
                "api_key", "needs a token; otherwise every program and web page could use the key"
            )

    @property
    def base_path(self) -> str:
        """The path of the base URL that agents use: `/v1` if the upstream has a path."""
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
        raise ConfigError("upstream", f"{upstream!r} is an endpoint; give the base URL before it")
    if url.query or url.fragment:
        raise ConfigError("upstream", f"{_bare(upstream)!r} has a query or fragment after its path")


def _is_itself(upstream: SplitResult, host: str, port: int) -> bool:
    """Whether requests to an upstream would come back to the address that is listened at."""
    name, anywhere = upstream.hostname or "", host in EVERY_ADDRESS
    here = name == host or (is_loopback(name) and (anywhere or is_loopback(host)))
    return upstream.port == port and here


def _bare(upstream: str) -> str:
    """An address without the parts that may hold a secret: user, password and query."""
    return upstream.rpartition("@")[2].partition("?")[0]
