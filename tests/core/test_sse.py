"""Event streams are cut and put together again without losing a byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core import sse
from tests.strategies import cuts

lines = st.sampled_from([b"data: x", b"data:{}", b": ping", b"event: e", b"", b"data: [DONE]"])
ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
streams = st.lists(st.tuples(lines, ends).map(b"".join), max_size=20).map(b"".join) | st.binary()


@given(streams, st.data())
def test_no_byte_is_lost(stream: bytes, data: st.DataObject) -> None:
    """The events and the rest, joined, are the input, wherever it is cut."""
    splitter = sse.Splitter()
    events = [event for piece in data.draw(cuts(stream)) for event in splitter.feed(piece)]
    assert b"".join(events) + splitter.rest() == stream


@given(st.lists(st.binary(max_size=20).filter(lambda b: not {10, 13} & set(b))), st.data())
def test_same_events_for_any_cut(payloads: list[bytes], data: st.DataObject) -> None:
    """Events of common form are found whole, wherever the stream is cut."""
    splitter = sse.Splitter()
    stream = b"".join(map(sse.render, payloads))
    events = [event for piece in data.draw(cuts(stream)) for event in splitter.feed(piece)]
    assert [sse.data_of(event) for event in events] == payloads


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data:{}\r\n\r\n", b"{}"),
        (b"event: x\ndata: {}\nid: 1\n\n", b"{}"),
        (b'data: {"a":\ndata: 1}\n\n', b'{"a":\n1}'),
        (b": comment\n\n", b""),
        (b"data: {}\r\r", b"{}"),
    ],
)
def test_payload(event: bytes, payload: bytes) -> None:
    """Data lines are found between other fields, with any line end."""
    assert sse.data_of(event) == payload
