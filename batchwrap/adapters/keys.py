"""API keys on the wire: reads a request's key and replaces it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from batchwrap.throttle.accounts import Origin

# The headers of OpenAI and compatible APIs, Azure, Anthropic, and Google.
_HEADERS = ("authorization", "api-key", "x-api-key", "x-goog-api-key")
_SCHEME = "bearer "
_SIGNATURE, _CREDENTIAL = "aws4-hmac-sha256 ", "credential="
_PORTS = {"https": 443, "http": 80}

Headers = Sequence[tuple[bytes, bytes]]


def key_of(headers: Mapping[str, str]) -> str:
    """The API key in a request's headers (names in lower case); empty if there is none.

    Of a signature, which is another one in each request, it is the id of the access key.
    """
    value = next((text for name in _HEADERS if (text := headers.get(name))), "")
    if is_signed(headers):
        place = value.lower().find(_CREDENTIAL)
        return value[place + len(_CREDENTIAL) :].partition("/")[0] if place >= 0 else ""
    return value[len(_SCHEME) :] if value.lower().startswith(_SCHEME) else value


def is_signed(headers: Mapping[str, str]) -> bool:
    """Whether a request is signed for AWS (SigV4): the signature covers the body and headers."""
    return headers.get("authorization", "").lower().startswith(_SIGNATURE)


def origin_of(request: Any) -> Origin:
    """The host and API key of an httpx or httpx2 request."""
    port = request.url.port or _PORTS.get(request.url.scheme)
    return Origin(host=request.url.host, api_key=key_of(request.headers), port=port)


def with_key(headers: Headers, api_key: str | None) -> list[tuple[bytes, bytes]]:
    """The headers with their key replaced; None leaves them as they are."""
    if api_key is None:
        return list(headers)
    return [
        # Each header keeps its own form: with the scheme, or the key alone.
        (name, _in_form(value, api_key) if name.lower().decode() in _HEADERS else value)
        for name, value in headers
    ]


def without_key(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers without API keys."""
    return [pair for pair in headers if pair[0].lower().decode() not in _HEADERS]


def _in_form(value: bytes, api_key: str) -> bytes:
    scheme = value[: len(_SCHEME)] if value.lower().startswith(_SCHEME.encode()) else b""
    return scheme + api_key.encode()
