"""Event streams are cut and put together again without losing a byte."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.formats import sse
from tests.strategies import cuts
from tests.work import assert_linear

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


@given(st.lists(lines | st.just(b"data: a b"), max_size=4), ends)
def test_any_payload(said: list[bytes], end: bytes) -> None:
    """The payload is what the data lines say, whatever stands around them."""
    found = [line.removeprefix(b"data:") for line in said if line.startswith(b"data:")]
    payload = b"\n".join(line.removeprefix(b" ") for line in found)
    assert sse.data_of(b"".join(line + end for line in [*said, b""])) == payload


def test_an_event_in_pieces() -> None:
    """A long event in small pieces is looked at and copied once."""

    def steps(size: int) -> Iterator[object]:
        splitter = sse.Splitter()
        for _ in range(size):
            yield splitter.feed(b"x" * 100)
        assert splitter.feed(b"\n\n") == [b"x" * 100 * size + b"\n\n"]

    assert_linear(steps, 500)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("cut", range(1, 8))
def test_the_end_of_an_event_in_pieces(end: bytes, cut: int) -> None:
    """The blank line is found wherever it is cut."""
    stream = b"data: x" + end + b"data: y" + end
    splitter = sse.Splitter()
    events = [
        event for at in range(0, len(stream), cut) for event in splitter.feed(stream[at : at + cut])
    ]
    assert [sse.data_of(event) for event in events] == [b"x", b"y"]


def test_an_event_without_end() -> None:
    """What is longer than the limit is not collected any further."""
    splitter = sse.Splitter(most=1_000)
    for _ in range(11):
        assert splitter.feed(b"x" * 100) == []
    assert splitter.is_full
    assert splitter.feed(b"x" * 100) == []
    assert len(splitter.rest()) == 1_100
