"""Who may see the page: without a token everybody on this machine, with one those who know it.

A browser cannot send a token as an API key. So it gets a form, which sends the token once in the
body of a POST, and it has a cookie from then on. `/batchwrap#token=…` fills in the form: what
stands behind `#` is never sent, so it is in no log of a proxy. The cookie is derived from the token
and opens the page only: no request to a model can be made with it. All processes with the same
token accept it.

A browser sends a cookie whoever asks it to. `SameSite=Strict` keeps other sites from using it, and
`Sec-Fetch-Site` programs at other ports of this host, which count as the same site.
"""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from batchwrap.adapters.keys import key_of
from batchwrap.serve.access import WRONG_TOKEN
from batchwrap.serve.caller import Caller, ClientGone, TooLarge, TooSlow
from batchwrap.serve.live_page.document import GUARDED, document

PAGE = "/batchwrap"
LOGIN = f"{PAGE}/login"
_MOST_BYTES = 4_096
_OWN = (None, "same-origin", "none")  # "none": typed by a person, or from a bookmark
_WRONG = "The page needs the token that batchwrap serve was started with."


class Login:
    """Lets those see the page who have shown the token, and asks all others for it.

    Args:
        app: the page.
        token: the token.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()
        self._value = self._derived(b"batchwrap page")
        # Cookies do not belong to a port, so two servers on one host need different names.
        self._name = f"batchwrap_{self._derived(b'batchwrap cookie')[:8]}"
        self._form = document("login.html")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or ask for the token."""
        caller = Caller(scope, receive, send)
        path, headers = scope["path"], caller.headers
        if path == LOGIN and caller.method == "POST":
            await self._log_in(caller)
        elif self._is_token(key_of(headers)) or self._has_cookie(headers):
            await self._app(scope, receive, send)
        elif path == PAGE and caller.method in ("GET", "HEAD"):
            await caller.start(401, self._form.headers)
            await caller.piece(b"" if caller.method == "HEAD" else self._form.content)
            await caller.end()
        else:
            await caller.fail(401, _WRONG, WRONG_TOKEN, GUARDED)

    async def _log_in(self, caller: Caller) -> None:
        """Give a browser the cookie, if the body of its request is the token."""
        try:
            sent = (await caller.whole_body(_MOST_BYTES)).decode(errors="replace")
        except ClientGone:
            return
        except (TooLarge, TooSlow):
            sent = ""
        if caller.headers.get("sec-fetch-site") not in _OWN or not self._is_token(sent):
            await caller.fail(401, _WRONG, WRONG_TOKEN, GUARDED)
            return
        cookie = f"{self._name}={self._value}; Path={PAGE}; HttpOnly; SameSite=Strict"
        # A TLS proxy in front of this server says that the browser's connection is encrypted.
        if caller.headers.get("x-forwarded-proto", "").lower() == "https":
            cookie += "; Secure"
        await caller.start(204, [(b"set-cookie", cookie.encode()), *GUARDED])
        await caller.end()

    def _has_cookie(self, headers: Headers) -> bool:
        if headers.get("sec-fetch-site") not in _OWN:
            return False
        # Each cookie is read by itself: other programs of this host may have set any others.
        found = cookie_parser(headers.get("cookie", "")).get(self._name, "")
        return _is_same(found, self._value)

    def _is_token(self, text: str) -> bool:
        return _is_same(text, self._token.decode())

    def _derived(self, purpose: bytes) -> str:
        return hmac.digest(self._token, purpose, "sha256").hex()


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
