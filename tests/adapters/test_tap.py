"""A stream that is only looked at keeps its bytes, wherever the network cuts it."""

from __future__ import annotations

from itertools import pairwise

import orjson
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.adapters.wire_response import Tap
from batchwrap.core.exchange.actions import Head
from batchwrap.core.formats.endpoints import endpoint_at
from batchwrap.core.limits.cost import Usage
from batchwrap.engine import Engine
from batchwrap.options import Options
from batchwrap.throttle.accounts import Origin

START = {"type": "message_start", "message": {"usage": {"input_tokens": 7, "output_tokens": 1}}}
DELTA = {"type": "content_block_delta", "delta": {"text": 'ü "usage" 🎉'}}
END = {"type": "message_delta", "usage": {"output_tokens": 5}}
STREAM = b": ping\n\n" + b"".join(
    b"event: " + event["type"].encode() + b"\r\ndata: " + orjson.dumps(event) + b"\r\n\r\n"  # type: ignore[attr-defined]
    for event in (START, DELTA, END)
)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8), ends=st.booleans())
def test_cut_anywhere(cuts: list[int], ends: bool) -> None:
    """Each piece is handed out at once as it is, and the usage is read all the same."""
    whole = STREAM if ends else STREAM.rstrip()
    endpoint = endpoint_at("/v1/messages")
    assert endpoint is not None
    call = Engine(Options()).call({"model": "m", "stream": True}, Origin(), endpoint=endpoint)
    call.exchange.start()
    call.exchange.reserved(0.0)
    call.exchange.received(Head(200, {"content-type": "text/event-stream"}, is_stream=True), 0.0)
    call.exchange.first(START)
    call.exchange.first(DELTA)
    tap, places = Tap(call.exchange), sorted([0, *cuts, len(whole)])
    for start, end in pairwise(places):
        assert tap.feed(whole[start:end]) == whole[start:end]
    assert tap.finish() == b""
    assert call.exchange.usage == Usage(7, 5)
