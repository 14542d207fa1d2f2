"""The check of host names, which keeps web pages from using the endpoint through a browser.

A page can make a name of its own point to this machine (DNS rebinding), and can post a form to any
address. The browser reports both: `Host` is the name that the page used, `Origin` is the page.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from batchwrap.serve.caller import Caller

WRONG_HOST, WRONG_ORIGIN = "batchwrap_wrong_host", "batchwrap_wrong_origin"
ANY = "*"
# Hosts that stand for all addresses of this machine, each with the one for programs on it.
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nothing is bound here
# Origins of programs on this machine that are built with web technology. No page can have them.
_PROGRAMS = frozenset({"app", "tauri", "vscode-webview", "vscode-file"})


class HostCheck:
    """Lets requests through that name this machine; others get a 403.

    Args:
        app: the application.
        allowed: other allowed names: ``"box.lan"``, ``".lan"`` for all that end with it, ``"*"``
            for all.
    """

    def __init__(self, app: ASGIApp, allowed: Iterable[str]) -> None:
        self._app = app
        self._allowed = frozenset(name.lower().rstrip(".") for name in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        refused = self._refused(Headers(scope=scope)) if scope["type"] == "http" else None
        if refused is None:
            await self._app(scope, receive, send)
        else:
            await Caller(scope, receive, send).fail(403, *refused)

    def _refused(self, headers: Headers) -> tuple[str, str] | None:
        """The message and the code of a refused request; None if it is allowed."""
        host, origin = headers.get("host"), headers.get("origin")
        if host is not None and not self._is_allowed(_name_in(f"//{host}")):
            message = f"This endpoint does not answer to the host {host!r}; --allow-host adds one."
            return message, WRONG_HOST
        if origin is None:
            # Browsers send no `Origin` with a simple GET, but say where it comes from. Following a
            # link ("navigate") shows the answer to the user, not to the page.
            is_page = headers.get("sec-fetch-site") == "cross-site"
            if not is_page or headers.get("sec-fetch-mode") == "navigate":
                return None
        elif _scheme_of(origin) in _PROGRAMS or self._is_allowed(_name_in(origin)):
            return None
        message = "Pages of other sites may not use this endpoint; --allow-host adds one."
        return message, WRONG_ORIGIN

    def _is_allowed(self, name: str) -> bool:
        if ANY in self._allowed or is_loopback(name) or name in self._allowed:
            return True
        return any(end.startswith(".") and name.endswith(end) for end in self._allowed)


def is_loopback(name: str) -> bool:
    """Whether a host name or address always means this machine, so that no page can own it."""
    try:
        return ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _name_in(address: str) -> str:
    """The host in an address, in lower case; empty if there is none."""
    try:
        return (urlsplit(address).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _scheme_of(origin: str) -> str:
    return origin.partition("://")[0].lower() if "://" in origin else ""
