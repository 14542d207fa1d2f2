"""Messages: what is read is written back, and a stream is the same however it is cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.adapters.events import EventPipe
from batchwrap.core.exchange.actions import Head
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.formats import sse
from batchwrap.core.formats.endpoints import endpoint_at
from batchwrap.core.formats.messages.format import MESSAGES_FORMAT
from batchwrap.options import Batching, Options
from batchwrap.throttle.estimate import Estimator
from tests.core.apis import MESSAGES
from tests.core.harness import Bench, context_of
from tests.strategies import EDIT_FILE, READ_FILE

TOOLS = [
    {"name": one["function"]["name"], "input_schema": one["function"]["parameters"]}
    for one in (READ_FILE, EDIT_FILE)
]
BODY = {"model": "m", "max_tokens": 9, "tools": TOOLS, "stream": True}
PATHS = ["a.py", "b.py", "c.py"]

_texts = st.sampled_from(["", "one", "two\nlines"])
_marks = st.sampled_from([{}, {"cache_control": {"type": "ephemeral"}}])
_text_blocks = st.builds(lambda text, mark: {"type": "text", "text": text, **mark}, _texts, _marks)
_odd_blocks = st.sampled_from(
    [{"type": "image", "source": {"data": "x"}}, {"type": "from_the_future", "content": [1]}]
)
_calls = st.builds(
    lambda n, path: {
        "type": "tool_use",
        "id": f"t{n}",
        "name": "read_file",
        "input": {"path": path},
    },
    st.integers(0, 9),
    st.sampled_from(PATHS),
)
_results = st.builds(
    lambda n, content, mark: {
        "type": "tool_result",
        "tool_use_id": f"t{n}",
        "content": content,
        **mark,
    },
    st.integers(0, 9),
    _texts | st.lists(_text_blocks | _odd_blocks, max_size=2),
    _marks,
)
_messages = st.one_of(
    st.builds(
        lambda results, others: {"role": "user", "content": [*results, *others]},
        st.lists(_results, max_size=3),
        st.lists(_text_blocks | _odd_blocks, max_size=2),
    ),
    st.builds(lambda text: {"role": "user", "content": text}, _texts),
    st.builds(
        lambda content: {"role": "assistant", "content": content},
        _texts | st.lists(_calls | _text_blocks | _odd_blocks, max_size=3),
    ),
    st.builds(lambda text: {"role": "system", "content": text}, _texts),
)


@given(st.lists(_messages, max_size=6), st.booleans())
def test_what_nobody_changed_is_the_same(messages: list[Any], has_system: bool) -> None:
    """Reading and writing gives the same objects, whatever the messages hold."""
    body = {"messages": messages, **({"system": "Be brief."} if has_system else {})}
    entries = MESSAGES_FORMAT.read(MESSAGES_FORMAT.items(body))
    assert sum(entry.items for entry in entries) == len(messages) + has_system
    written = MESSAGES_FORMAT.with_items({}, MESSAGES_FORMAT.write(entries))
    assert written["messages"] == messages
    assert all(a is b for a, b in zip(written["messages"], messages, strict=True))
    assert written.get("system") == body.get("system")


def events_of(*blocks: tuple[dict[str, Any], list[str]]) -> list[dict[str, Any]]:
    """A stream of some blocks, each with its pieces."""
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    usage = {"input_tokens": 9, "output_tokens": 1}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**start, "stop_reason": None, "usage": usage}},
        {"type": "ping"},
    ]
    for index, (block, pieces) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        is_call = block["type"] == "tool_use"
        kind, key = ("input_json_delta", "partial_json") if is_call else ("text_delta", "text")
        events += [
            {"type": "content_block_delta", "index": index, "delta": {"type": kind, key: piece}}
            for piece in pieces
        ]
        events.append({"type": "content_block_stop", "index": index})
    over = {"stop_reason": "tool_use", "stop_sequence": None}
    return [
        *events,
        {"type": "message_delta", "delta": over, "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]


def call(number: int, name: str, given: Any, size: int) -> tuple[dict[str, Any], list[str]]:
    """A call in pieces."""
    text = json.dumps(given)
    block = {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}
    return block, [text[at : at + size] for at in range(0, len(text), size)]


def stream_of(draw: Any) -> list[dict[str, Any]]:
    """A stream of texts, single calls and multi-calls."""
    blocks: list[tuple[dict[str, Any], list[str]]] = []
    for number in range(draw(st.integers(1, 4))):
        kind, size = draw(st.sampled_from(["text", "one", "several"])), draw(st.integers(1, 40))
        if kind == "text":
            blocks.append(({"type": "text", "text": ""}, ["some ", "text"]))
        elif kind == "one":
            blocks.append(call(number, "read_file", {"path": draw(st.sampled_from(PATHS))}, size))
        else:
            paths = draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3, unique=True))
            blocks.append(call(number, "multi_read", {"files": [{"path": p} for p in paths]}, size))
    return events_of(*blocks)


# Four calls of three reads each go out at once.
ROOMY = Options(batching=Batching(max_items=12))


def begun() -> Exchange:
    """An exchange whose answer begins to stream."""
    exchange = Exchange(
        {**BODY, "messages": [{"role": "user", "content": "Read a.py, b.py and c.py."}]},
        context=context_of(ROOMY),
        endpoint=endpoint_at("/v1/messages"),  # type: ignore[arg-type]
        counter=Estimator(),
        limits_tokens=False,
        backoff=lambda _: None,
    )
    exchange.start()
    exchange.reserved(0.0)
    exchange.received(Head(200, {}, is_stream=True), 0.0)
    exchange.first({"type": "error"})  # none that means anything: the stream goes on
    return exchange


def accumulated(data: bytes) -> list[dict[str, Any]]:
    """The blocks of a stream, as anthropic's accumulator reads it: an index is a position."""
    blocks: list[dict[str, Any]] = []
    texts: list[str] = []
    stopped: list[int] = []
    for event in sse.Splitter().feed(data):
        told = orjson.loads(sse.data_of(event))
        assert event.startswith(f"event: {told['type']}\n".encode())
        match told["type"]:
            case "content_block_start":
                assert told["index"] == len(blocks)
                blocks.append(told["content_block"])
                texts.append("")
            case "content_block_delta":
                assert told["index"] not in stopped
                delta = told["delta"]
                texts[told["index"]] += delta.get("partial_json", delta.get("text", ""))
            case "content_block_stop":
                assert told["index"] not in stopped
                stopped.append(told["index"])
    assert sorted(stopped) == list(range(len(blocks)))
    return [{**block, "whole": text} for block, text in zip(blocks, texts, strict=True)]


def reads_in(blocks: list[dict[str, Any]]) -> list[str]:
    """The paths of the files that the calls read, those of multi-calls as well."""
    found: list[str] = []
    for block in blocks:
        if block["type"] == "tool_use":
            given = json.loads(block["whole"])
            found += [one["path"] for one in given.get("files", [given])]
    return found


@given(st.data())
def test_cut_anywhere(data: st.DataObject) -> None:
    """However the bytes are cut, the agent gets each read once, in blocks without gaps."""
    events = stream_of(data.draw)
    whole = b"".join(sse.render(orjson.dumps(one), one["type"]) for one in events)
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pipe = EventPipe(begun())
    out = b"".join(pipe.feed(whole[a:b]) for a, b in pairwise([0, *places, len(whole)]))
    blocks = accumulated(out + pipe.finish())
    given_blocks = accumulated(whole)
    assert reads_in(blocks) == reads_in(given_blocks)
    assert all(block.get("name") != "multi_read" for block in blocks)
    texts = [block["whole"] for block in given_blocks if block["type"] == "text"]
    assert [block["whole"] for block in blocks if block["type"] == "text"] == texts


@given(st.data())
def test_broken_off_anywhere(data: st.DataObject) -> None:
    """After a mistake of ours the blocks have no gaps, and no read is handed out twice."""
    events = stream_of(data.draw)
    place = data.draw(st.integers(0, len(events)))
    exchange = begun()
    pipe, out = EventPipe(exchange), b""
    for number, event in enumerate(events):
        if number == place:
            exchange.break_off()
        out += pipe.feed(sse.render(orjson.dumps(event), event["type"]))
    out += pipe.finish()
    blocks = accumulated(out)
    rendered = b"".join(sse.render(orjson.dumps(one), one["type"]) for one in events)
    meant, found = reads_in(accumulated(rendered)), reads_in(blocks)
    left = list(meant)
    for path in found:  # of a call that was taken apart the rest may be missing
        left.remove(path)
    texts = [block["whole"] for block in blocks if block["type"] == "text"]
    assert texts == [b["whole"] for b in accumulated(rendered) if b["type"] == "text"]


MULTI = call(1, "multi_read", {"files": [{"path": "a.py"}, {"path": "b.py"}]}, 9)
STREAM = events_of(
    ({"type": "text", "text": ""}, ["hi"]), MULTI, call(2, "read_file", {"path": "c.py"}, 5)
)
QUIRKS: dict[str, Any] = {
    "no stops": [e for e in STREAM if e["type"] != "content_block_stop"],
    "no end": [e for e in STREAM if not e["type"].startswith("message_")],
    "gaps": [{**e, "index": 3 * e["index"]} if "index" in e else e for e in STREAM],
    "no indices": [{k: v for k, v in e.items() if k != "index"} for e in STREAM],
    "odd indices": [{**e, "index": [1]} if "index" in e else e for e in STREAM],
    "the same index": [{**e, "index": 0} if "index" in e else e for e in STREAM],
}


@given(st.data(), st.sampled_from([b"\n", b"\r\n"]))
def test_ended_anywhere(data: st.DataObject, end: bytes) -> None:
    """Wherever a stream ends, an error of ours stands by itself, not behind half an event.

    An answer that is complete needs none: half of its last event goes out as it came.
    """
    whole = b"".join(sse.render(orjson.dumps(one), one["type"]) for one in STREAM)
    whole = whole.replace(b"\n", end)
    begins = whole.index(2 * end) + len(2 * end)
    came = whole[: data.draw(st.integers(begins, len(whole)))]
    pipe = EventPipe(begun())
    out = pipe.feed(came) + pipe.finish()
    splitter = sse.Splitter()
    told = [orjson.loads(sse.data_of(event)) for event in splitter.feed(out)]
    rest = splitter.rest()
    if told[-1]["type"] not in ("error", "message_delta", "message_stop"):
        told.append(orjson.loads(sse.data_of(rest)))  # whole, but for the blank line behind it
    assert told[-1]["type"] in ("error", "message_delta", "message_stop")
    assert came.endswith(rest) and not (rest and told[-1]["type"] == "error")


@pytest.mark.parametrize("name", QUIRKS)
def test_almost_compatible_streams(name: str) -> None:
    """Whatever events say of their blocks, or leave out, each read is handed out once."""
    exchange = begun()
    pipe = EventPipe(exchange)
    out = b"".join(pipe.feed(sse.render(orjson.dumps(e), e["type"])) for e in QUIRKS[name])
    told = [orjson.loads(sse.data_of(e)) for e in sse.Splitter().feed(out + pipe.finish())]
    starts = [e for e in told if e["type"] == "content_block_start"]
    assert [e["index"] for e in starts] == [0, 1, 2, 3]
    texts = ["", "", "", ""]
    for event in told:
        if event["type"] == "content_block_delta":
            texts[event["index"]] += event["delta"].get("partial_json", "")
    assert [json.loads(text)["path"] for text in texts[1:]] == PATHS
    assert exchange.metrics.counts["internal_errors"] == 0


@pytest.mark.parametrize("name", [name for name in QUIRKS if name != "no stops"])
@pytest.mark.parametrize("place", range(len(STREAM)))
def test_almost_compatible_streams_broken_off(name: str, place: int) -> None:
    """After a mistake of ours the blocks still agree, and nothing is handed out twice."""
    exchange = begun()
    pipe, out = EventPipe(exchange), b""
    for number, event in enumerate(QUIRKS[name]):
        if number == place:
            exchange.break_off()
        out += pipe.feed(sse.render(orjson.dumps(event), event["type"]))
    told = [orjson.loads(sse.data_of(e)) for e in sse.Splitter().feed(out + pipe.finish())]
    starts = [e for e in told if e["type"] == "content_block_start"]
    assert [e["index"] for e in starts] == list(range(len(starts)))
    texts = [""] * len(starts)
    for event in told:
        if event["type"] == "content_block_delta":
            texts[event["index"]] += event["delta"].get("partial_json", "")
    read = [
        file["path"]
        for text in texts[1:]
        for given_one in [json.loads(text)]
        for file in given_one.get("files", [given_one])
    ]
    assert read in (PATHS, ["a.py", "c.py"]), "of a call that was taken apart the rest is missing"
    assert starts[0]["content_block"]["type"] == "text"


_EDITS = [{"path": "a.py", "old_string": "x", "new_string": new} for new in "12"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "calls",
    [
        [("multi_read", {"files": [{"path": path} for path in PATHS]})],
        [("edit_file", one) for one in _EDITS],
        [("multi_edit", {"files": [_EDITS[0]]}), ("edit_file", _EDITS[1])],
    ],
)
@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("tool_use", "tool_use"),
        ("end_turn", "tool_use"),
        ("stop_sequence", "tool_use"),
        ("refusal", "refusal"),
        ("max_tokens", "max_tokens"),
        ("pause_turn", "pause_turn"),
        ("model_context_window_exceeded", "model_context_window_exceeded"),
    ],
)
def test_why_a_message_ends(
    reason: str, told: str, calls: list[tuple[str, Any]], stream: bool
) -> None:
    """Calls of ours are run, but a refusal or a message that was cut off does not look whole."""
    made = [call(number, name, given, 9) for number, (name, given) in enumerate(calls)]
    ended = {"type": "message_delta", "delta": {"stop_reason": reason}}
    bench = Bench(api=MESSAGES)
    translator = bench.translator({**BODY, "messages": [{"role": "user", "content": "Go."}]})
    translator.request()
    if stream:
        events = [event for event in events_of(*made) if event["type"] != "message_delta"]
        events.insert(-1, ended)
        out = [(event, translator.chunk(event)) for event in events]
        seen = [one for came, new in out for one in ([came] if new is None else new)]
        [end] = [one for one in seen if one["type"] == "message_delta"]
        assert end["delta"] == {"stop_reason": told}
    else:
        content = [{**block, "input": json.loads("".join(pieces))} for block, pieces in made]
        seen_whole = translator.response({"content": content, "stop_reason": reason})
        assert isinstance(seen_whole, dict) and seen_whole["stop_reason"] == told
