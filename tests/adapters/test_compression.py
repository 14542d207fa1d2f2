"""Compressed answers: decoded where they are changed, and passed on where nobody can."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import brotli  # type: ignore[import-untyped]
import orjson
import zstandard

import batchwrap
from batchwrap.lab import Raw
from tests.adapters.callers import Caller, Web
from tests.adapters.conversation import MULTI_CALL, READS, TOOLS, USER, calls_of, gather
from tests.adapters.events import multi_read, raw
from tests.core.harness import call, completion

ASKED = {"messages": [USER], "tools": TOOLS}
CALL = call("call_1", "multi_read", {"files": [{"path": "a.py"}]})
ANSWER = orjson.dumps(completion({"role": "assistant", "content": "é", "tool_calls": [CALL]}))
JSON = {"content-type": "application/json"}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,  # not every client can decode it: then it stays as it is
    "rot13": lambda data: codecs.encode(data.decode(), "rot13").encode(),  # no client can
}


def test_compressed_answers(web: Web, serve: Any) -> None:
    """A compressed answer that is changed comes out decoded, and its headers say so."""
    packed = {encoding: pack(ANSWER) for encoding, pack in PACKERS.items()}
    lab = serve(
        *(
            Raw(200, {**JSON, "content-encoding": encoding, "x-a": "b"}, (body,))
            for encoding, body in packed.items()
        )
    )
    client = batchwrap.wrap(web.open())
    for encoding in PACKERS:
        response, body = web.stream(client, lab, json=ASKED)
        assert response.headers["x-a"] == "b"
        if encoding not in client.headers["accept-encoding"]:
            assert (response.headers["content-encoding"], body) == (encoding, packed[encoding])
            continue
        assert b'"name":"read_file"' in body
        assert "content-encoding" not in response.headers
        assert int(response.headers["content-length"]) == len(body)


def test_compressed_streams(web: Web, serve: Any) -> None:
    """A compressed stream is decoded, however it is cut, and its calls are expanded."""
    packed = {encoding: pack(multi_read()) for encoding, pack in PACKERS.items()}
    lab = serve(
        *(raw(body, size=50, content_encoding=encoding) for encoding, body in packed.items())
    )
    client = batchwrap.wrap(web.open())
    for encoding in PACKERS:
        response, body = web.stream(client, lab, json={**ASKED, "stream": True})
        if encoding not in client.headers["accept-encoding"]:
            assert (response.headers["content-encoding"], body) == (encoding, packed[encoding])
            continue
        assert body.count(b'"name":"read_file"') == 2
        assert body.endswith(b"data: [DONE]\n\n")
        assert "content-encoding" not in response.headers


def test_compressing_provider(caller: Caller, serve: Any) -> None:
    """The SDK and a provider that compresses: nothing is lost on the way."""
    lab = serve(lambda request: MULTI_CALL, gzip=True)
    client = batchwrap.wrap(caller.open(lab))
    assert calls_of(caller.ask(client, tools=TOOLS).choices[0].message) == READS
    assert gather(caller.ask(client, tools=TOOLS, stream=True))["calls"] == READS
    assert "gzip" in lab.journal[0].headers["accept-encoding"]
