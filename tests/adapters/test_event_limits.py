"""What a stream can make large is bounded: an event, and the chunks that wait."""

from __future__ import annotations

import gc
from typing import Any

import orjson
import pytest

from batchwrap import Repair
from batchwrap.adapters.events import EventPipe
from batchwrap.core.exchange.actions import Head
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.formats import sse
from batchwrap.engine import Engine
from batchwrap.options import Options
from batchwrap.throttle.accounts import Origin
from tests.adapters.conversation import TOOLS, USER
from tests.adapters.events import DONE, call_event, event
from tests.core.harness import chunk

LONG = b"data: " + b"x" * 4_000


def exchange_of(repair: Repair | None, model: str = "m") -> Exchange:
    """A stream that has just begun."""
    engine = Engine(Options(repair=repair))
    body = {"model": model, "messages": [USER], "tools": TOOLS, "stream": True}
    exchange = engine.call(body, Origin("none.invalid", "k")).exchange
    exchange.start()
    exchange.reserved(0.0)
    exchange.received(Head(200, {"content-type": "text/event-stream"}, is_stream=True), 0.0)
    exchange.first({"choices": []})
    return exchange


def fed(pipe: EventPipe, stream: bytes) -> bytes:
    """What is handed out for a stream in pieces."""
    pieces = [stream[at : at + 100] for at in range(0, len(stream), 100)]
    return b"".join([*map(pipe.feed, pieces), pipe.finish()])


def test_an_event_that_is_too_long() -> None:
    """It ends the stream with an error that says so; what was said before is handed out."""
    said = event(chunk({"role": "assistant", "content": "hi"}))
    exchange = exchange_of(Repair())
    out = fed(EventPipe(exchange, most_bytes=1_000), said + LONG + b"\n\n" + said + DONE)
    assert out.startswith(said)
    error = orjson.loads(out.removeprefix(said).removeprefix(b"data: "))["error"]
    assert error["type"] == "oversized_event"
    assert exchange.metrics.counts["defects.oversized_event"] == 1


@pytest.mark.parametrize("end", [b"", b"\n\n" + DONE])
def test_an_event_that_is_too_long_is_left_alone(end: bytes) -> None:
    """Without repairs it is handed out as it comes, to the byte."""
    said = event(chunk({"role": "assistant", "content": "hi"}))
    pipe = EventPipe(exchange_of(None), most_bytes=1_000)
    assert fed(pipe, said + LONG + end) == said + LONG + end


def test_an_event_behind_the_answer() -> None:
    """Behind the end of the answer nothing can be lost: it is handed out as it comes."""
    answer = event(chunk({"role": "assistant", "content": "hi"})) + event(chunk({}, "stop"))
    pipe = EventPipe(exchange_of(Repair()), most_bytes=1_000)
    assert fed(pipe, answer + LONG) == answer + LONG


@pytest.mark.parametrize("depth", [10, 300, 990, 1_010])
def test_an_event_that_is_nested_deeply(depth: int) -> None:
    """The calls that it completes are handed out, with whatever stands beside them."""
    exchange = exchange_of(Repair())
    paths = [{"path": "a.py"}, {"path": "b.py"}]
    said = call_event(orjson.dumps({"files": paths}).decode())
    deep = said.replace(b"}\n\n", b',"x":' + b"[" * depth + b"]" * depth + b"}\n\n")
    stream = call_event("", name="multi_read") + deep + event(chunk({}, "tool_calls")) + DONE
    out = fed(EventPipe(exchange), stream)
    read = [sse.data_of(part) for part in out.split(b"\n\n")[:-2]]
    listed = [choice["delta"] for part in read for choice in orjson.loads(part)["choices"]]
    calls = [call["function"] for delta in listed for call in delta.get("tool_calls") or ()]
    assert [(call["name"], orjson.loads(call["arguments"])) for call in calls] == [
        ("read_file", path) for path in paths
    ]
    assert "internal_errors" not in exchange.metrics.counts


def _alive() -> int:
    """How many chunks somebody keeps."""
    gc.collect()
    return sum(type(one).__name__ == "_Came" for one in gc.get_objects())


@pytest.mark.parametrize(
    "delta",
    [
        {"tool_calls": [{"index": 0, "id": "again", "function": {"arguments": "x"}}]},
        {"content": [{"type": "text", "text": "word "}]},
        {"tool_calls": [{"index": 7, "function": {"name": "", "arguments": "x"}}]},
    ],
)
def test_chunks_that_were_replaced(delta: dict[str, Any]) -> None:
    """Nobody keeps them, however many there are."""
    opened = {"index": 0, "id": "c", "function": {"name": "read_file", "arguments": '{"path":"'}}
    before = _alive()
    pipe = EventPipe(exchange_of(Repair.all(), model="qwen3-coder"))
    pipe.feed(event(chunk({"role": "assistant", "tool_calls": [opened]})))
    most = 0
    for _ in range(4):
        for _ in range(500):
            pipe.feed(event(chunk(delta)))
        most = max(most, _alive() - before)
    assert most < 200
