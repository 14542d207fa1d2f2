"""A wrapped httpx client whose provider needs no sockets, so that thousands of bodies are fast."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import httpx

import batchwrap


class Provider(httpx.BaseTransport):
    """Answers each request with what is next.

    Attributes:
        sent: the bodies that reached it.
        answers: what it says next, in pieces; the last one again and again.
    """

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.answers: list[Sequence[bytes]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The next answer."""
        self.sent.append(request.read())
        pieces = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        is_stream = any(piece.startswith(b"data:") for piece in pieces)
        kind = "text/event-stream" if is_stream else "application/json"
        return httpx.Response(200, headers={"content-type": kind}, stream=_Pieces(pieces))


class _Pieces(httpx.SyncByteStream):
    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


class Client:
    """A wrapped client and its provider.

    Args:
        options: of `batchwrap.wrap`.
    """

    def __init__(self, **options: Any) -> None:
        self.provider = Provider()
        bare = httpx.Client(transport=self.provider, base_url="http://provider.example/v1")
        self._client = batchwrap.wrap(bare, **options)

    def post(self, body: bytes, answer: Sequence[bytes]) -> tuple[list[bytes], httpx.Response]:
        """What reached the provider for a request, and what the agent got for the answer."""
        self.provider.sent.clear()
        self.provider.answers = [answer]
        headers = {"content-type": "application/json"}
        response = self._client.post("/chat/completions", content=body, headers=headers)
        return list(self.provider.sent), response

    @property
    def stats(self) -> batchwrap.Stats:
        """What was counted."""
        return batchwrap.stats(self._client)

    def close(self) -> None:
        """Close it."""
        self._client.close()
