"""A read of many events is guarded once: what stands before a mistake of ours, and behind it."""

from __future__ import annotations

from itertools import count

import orjson

from batchwrap.adapters.events import EventPipe
from batchwrap.core.exchange.actions import Head
from batchwrap.core.exchange.machine import Exchange
from batchwrap.engine import Engine
from batchwrap.options import Options
from batchwrap.throttle.accounts import Origin
from tests.adapters.conversation import TOOLS, USER
from tests.adapters.events import DONE, event
from tests.core.harness import chunk, gather
from tests.fuzz.mistakes import MistakeAt

# A call that is made and cannot be written as an event counts as given to the agent.
WRITERS = (
    "batchwrap.core.parse.rendered",
    "batchwrap.core.formats.chat.format.ChatFormat.event_name",
)
ARGUMENTS = '{"files": [{"path": "a"}, {"path": "b"}, {"path": "c"}]}'


def streaming() -> Exchange:
    """An exchange whose stream has just begun."""
    body = {"model": "m", "messages": [USER], "tools": TOOLS, "stream": True}
    exchange = Engine(Options()).call(body, Origin("none.invalid", "k")).exchange
    exchange.start()
    exchange.reserved(0.0)
    exchange.received(Head(200, {"content-type": "text/event-stream"}, is_stream=True), 0.0)
    exchange.first({"choices": []})
    return exchange


def test_a_text_in_one_read() -> None:
    """Whatever fails of a text that came in one read, it is handed out to the byte."""
    said = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": "a "}) for _ in "123")]
    stream = b"".join([*map(event, [*said, chunk({}, "stop")]), DONE])
    for call in count(1):
        pipe = EventPipe(streaming())
        with MistakeAt(call) as mistake:
            out = pipe.feed(stream)
        assert out + pipe.finish() == stream, mistake.function
        if mistake.function is None:
            return


def test_a_multi_call_in_one_read() -> None:
    """Whatever fails of a multi-call that came in one read, no item is lost or run twice."""
    head = {"index": 0, "id": "c", "type": "function"}
    first = {**head, "function": {"name": "multi_read", "arguments": ""}}
    pieces = [ARGUMENTS[at : at + 7] for at in range(0, len(ARGUMENTS), 7)]
    parts = [first, *({"index": 0, "function": {"arguments": piece}} for piece in pieces)]
    stream = b"".join(
        [
            event(chunk({"role": "assistant", "content": "Well."})),
            *(event(chunk({"tool_calls": [part]})) for part in parts),
            event(chunk({}, "tool_calls")),
            DONE,
        ]
    )
    for call in count(1):
        pipe = EventPipe(streaming())
        with MistakeAt(call) as mistake:
            out = pipe.feed(stream)
        events = (out + pipe.finish()).split(b"\n\n")
        datas = (one.removeprefix(b"data: ") for one in events if b"{" in one)
        made = gather([orjson.loads(data) for data in datas])["tool_calls"]
        ran = [(one["function"]["name"], one["function"]["arguments"]) for one in made]
        items = [("read_file", f'{{"path": "{name}"}}') for name in "abc"]
        if mistake.function in WRITERS:
            continue
        is_begun = bool(ran) and ran == items[: len(ran)]  # its rest is "not run" for the model
        assert is_begun or ran == [("multi_read", ARGUMENTS)], mistake.function
        if mistake.function is None:
            assert ran == items
            return
