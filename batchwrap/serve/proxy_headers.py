"""The headers that a proxy removes: those for a single connection (RFC 9110, section 7.6.1)."""

from __future__ import annotations

from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

_HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate"),
        *(b"proxy-authorization", b"te", b"trailer", b"transfer-encoding", b"upgrade"),
    }
)
# The upstream has another host, and `expect: 100-continue` is answered by this server.
_OF_REQUESTS = frozenset({b"host", b"expect"})


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers that a proxy passes on, in their order, names in lower case."""
    pairs = [(name.lower(), value) for name, value in headers]
    named = {
        option.strip().lower()
        for name, value in pairs
        if name == b"connection"
        for option in value.split(b",")
    }
    return [pair for pair in pairs if pair[0] not in _HOP_BY_HOP | named]


def for_upstream(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers of a request as the upstream gets them."""
    return [pair for pair in end_to_end(headers) if pair[0] not in _OF_REQUESTS]


def readable_answer(headers: Headers, known: frozenset[bytes]) -> Headers:
    """The headers, accepting only `known` compressions: an answer in another cannot be read."""
    return [
        (name, _among(value, known) if name == b"accept-encoding" else value)
        for name, value in headers
    ]


def _among(value: bytes, known: frozenset[bytes]) -> bytes:
    offered = (part.strip() for part in value.split(b","))
    kept = [part for part in offered if part.partition(b";")[0].strip().lower() in known]
    return b", ".join(kept) or b"identity"
