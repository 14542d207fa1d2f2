"""Responses: what is read is written back, and a stream is the same however it is cut."""

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
from batchwrap.core.formats.responses.format import RESPONSES_FORMAT
from batchwrap.options import Batching, Options
from batchwrap.throttle.estimate import Estimator
from tests.core.harness import context_of
from tests.strategies import EDIT_FILE, READ_FILE

TOOLS = [{"type": "function", **one["function"]} for one in (READ_FILE, EDIT_FILE)]
BODY: dict[str, Any] = {"model": "m", "tools": TOOLS, "stream": True, "store": False}
PATHS = ["a.py", "b.py", "c.py"]

_texts = st.sampled_from(["", "one", "two\nlines"])
_parts = st.builds(lambda text: {"type": "input_text", "text": text}, _texts)
_odd = st.sampled_from(
    [
        {"type": "from_the_future", "value": [1]},
        {"type": "compaction", "encrypted_content": "e"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
    ]
)
_items = st.one_of(
    _odd,
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["user", "developer", "assistant", "system"]),
        _texts | st.lists(_parts, max_size=2),
    ),
    st.builds(
        lambda n, path: {
            "type": "function_call",
            "call_id": f"c{n}",
            "name": "read_file",
            "arguments": json.dumps({"path": path}),
        },
        st.integers(0, 9),
        st.sampled_from(PATHS),
    ),
    st.builds(
        lambda n, output: {"type": "function_call_output", "call_id": f"c{n}", "output": output},
        st.integers(0, 9),
        _texts | st.lists(_parts, max_size=2),
    ),
)


@given(st.lists(_items, max_size=8), st.booleans())
def test_what_nobody_changed_is_the_same(items: list[Any], has_instructions: bool) -> None:
    """Reading and writing gives the same objects, whatever the items are."""
    body = {"input": items, **({"instructions": "Be brief."} if has_instructions else {})}
    entries = RESPONSES_FORMAT.read(RESPONSES_FORMAT.items(body))
    assert sum(entry.items for entry in entries) == len(items) + has_instructions
    written = RESPONSES_FORMAT.with_items({}, RESPONSES_FORMAT.write(entries))
    assert all(a is b for a, b in zip(written["input"], items, strict=True))
    assert written.get("instructions") == body.get("instructions")


def series(index: int, item: dict[str, Any], size: int) -> list[dict[str, Any]]:
    """The events of one item, its text in pieces."""
    where = {"output_index": index, "item_id": item["id"]}
    is_call = item["type"] == "function_call"
    kind = "response.function_call_arguments" if is_call else "response.output_text"
    text = item["arguments"] if is_call else item["content"][0]["text"]
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    empty: dict[str, Any] = {"arguments": ""} if is_call else {"content": []}
    begun = {**item, **empty}
    done = {"arguments" if is_call else "text": text}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": begun},
        *({"type": f"{kind}.delta", **where, "delta": piece} for piece in pieces),
        {"type": f"{kind}.done", **where, **done},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def stream_of(draw: Any) -> list[dict[str, Any]]:
    """A stream of texts, single calls and multi-calls."""
    items: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["text", "one", "several"]))
        call = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}"}
        if kind == "text":
            part = {"type": "output_text", "text": "some text"}
            message = {"type": "message", "id": f"msg_{number}", "role": "assistant"}
            items.append({**message, "content": [part]})
        elif kind == "one":
            given_path = json.dumps({"path": draw(st.sampled_from(PATHS))})
            items.append({**call, "name": "read_file", "arguments": given_path})
        else:
            paths = draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=3, unique=True))
            listed = json.dumps({"files": [{"path": path} for path in paths]})
            items.append({**call, "name": "multi_read", "arguments": listed})
    size = draw(st.integers(1, 40))
    begun = {"id": "resp_1", "status": "in_progress", "output": []}
    events = [
        {"type": "response.created", "response": begun},
        *(event for index, item in enumerate(items) for event in series(index, item, size)),
        {"type": "response.completed", "response": {**begun, "output": items}},
    ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


# Four calls of three reads each go out at once.
ROOMY = Options(batching=Batching(max_items=12))


def begun() -> Exchange:
    """An exchange whose answer begins to stream."""
    exchange = Exchange(
        {**BODY, "input": "Read a.py, b.py and c.py."},
        context=context_of(ROOMY),
        endpoint=endpoint_at("/v1/responses"),  # type: ignore[arg-type]
        counter=Estimator(),
        limits_tokens=False,
        backoff=lambda _: None,
    )
    exchange.start()
    exchange.reserved(0.0)
    exchange.received(Head(200, {}, is_stream=True), 0.0)
    exchange.first({"type": "ping"})  # the stream goes on
    return exchange


def rendered(events: list[dict[str, Any]]) -> bytes:
    """A stream as bytes."""
    return b"".join(sse.render(orjson.dumps(one), one["type"]) for one in events)


def accumulated(data: bytes) -> list[dict[str, Any]]:
    """The items of a stream; each has an index of its own, and the last event repeats them."""
    items: list[dict[str, Any]] = []
    texts: list[str] = []
    final: list[dict[str, Any]] = []
    for event in sse.Splitter().feed(data):
        told = orjson.loads(sse.data_of(event))
        assert event.startswith(f"event: {told['type']}\n".encode())
        if told["type"] == "response.output_item.added":
            assert told["output_index"] == len(items)
            items.append(told["item"])
            texts.append("")
        elif told["type"].endswith(".delta"):
            assert told["item_id"] == items[told["output_index"]]["id"]
            texts[told["output_index"]] += told["delta"]
        elif told["type"] == "response.completed":
            final = told["response"]["output"]
    for one, item, text in zip(items, final, texts, strict=True):
        assert one["id"] == item["id"]
        assert text == (item.get("arguments") or item["content"][0]["text"])
    return final


def reads_in(items: list[dict[str, Any]]) -> list[str]:
    """The paths of the files that the calls read, those of multi-calls as well."""
    found: list[str] = []
    for item in items:
        if item["type"] == "function_call":
            given_one = json.loads(item["arguments"])
            found += [one["path"] for one in given_one.get("files", [given_one])]
    return found


@given(st.data())
def test_cut_anywhere(data: st.DataObject) -> None:
    """However the bytes are cut, the agent gets each read once, and an answer that agrees."""
    events = stream_of(data.draw)
    whole = rendered(events)
    places = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pipe = EventPipe(begun())
    out = b"".join(pipe.feed(whole[a:b]) for a, b in pairwise([0, *places, len(whole)]))
    items = accumulated(out + pipe.finish())
    assert reads_in(items) == reads_in(accumulated(whole))
    assert all(item.get("name") != "multi_read" for item in items)
    if all(item.get("name") != "multi_read" for item in accumulated(whole)):
        assert out == whole


@given(st.data())
def test_broken_off_anywhere(data: st.DataObject) -> None:
    """After a mistake of ours the answer agrees with itself, and no read is handed out twice."""
    events = stream_of(data.draw)
    place = data.draw(st.integers(0, len(events)))
    exchange = begun()
    pipe, out = EventPipe(exchange), b""
    for number, event in enumerate(events):
        if number == place:
            exchange.break_off()
        out += pipe.feed(rendered([event]))
    items = accumulated(out + pipe.finish())
    left = reads_in(accumulated(rendered(events)))
    for path in reads_in(items):  # of a call that was taken apart the rest may be missing
        left.remove(path)
    texts = [item for item in items if item["type"] == "message"]
    assert len(texts) == sum("item" in e and e["item"]["type"] == "message" for e in events) // 2


FILES = json.dumps({"files": [{"path": "a.py"}, {"path": "b.py"}]})
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "multi_read"}
ITEMS: list[dict[str, Any]] = [
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "hi"}],
    },
    {**CALL, "arguments": FILES},
    {**CALL, "id": "fc_2", "call_id": "c2", "name": "read_file", "arguments": '{"path": "c.py"}'},
]
STREAM: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "r", "output": []}},
    *(event for index, item in enumerate(ITEMS) for event in series(index, item, 9)),
    {"type": "response.completed", "response": {"id": "r", "output": ITEMS}},
]
LAST = "response.completed"


@given(st.data(), st.sampled_from([b"\n", b"\r\n"]))
def test_ended_anywhere(data: st.DataObject, end: bytes) -> None:
    """Wherever a stream ends, an error of ours stands by itself, not behind half an event."""
    whole = rendered(STREAM)
    whole = whole.replace(b"\n", end)
    begins = whole.index(2 * end) + len(2 * end)
    pipe = EventPipe(begun())
    out = pipe.feed(whole[: data.draw(st.integers(begins, len(whole)))]) + pipe.finish()
    events = sse.Splitter().feed(out.rstrip(b"\r\n") + b"\n\n")
    told = [orjson.loads(sse.data_of(event)) for event in events]
    assert told[-1]["type"] in ("response.failed", LAST)


def at_their_end(event: dict[str, Any]) -> dict[str, Any]:
    """The event that ends a call, with its arguments in another way than its pieces had them."""
    wide = json.dumps({"files": [{"path": "a.py"}, {"path": "b.py"}]}, indent=4)
    if event.get("arguments") == FILES:
        return {**event, "arguments": wide}
    if event.get("item", {}).get("arguments") == FILES:
        return {**event, "item": {**event["item"], "arguments": wide}}
    return event


QUIRKS: dict[str, list[dict[str, Any]]] = {
    "no numbers": STREAM,
    "no deltas": [e for e in STREAM if not e["type"].endswith(".delta")],
    "no arguments at their end": [e for e in STREAM if not e["type"].endswith("arguments.done")],
    "only ends": [e for e in STREAM if e["type"] in ("response.output_item.done", LAST)],
    "no indices": [{k: v for k, v in e.items() if k != "output_index"} for e in STREAM],
    "odd indices": [{**e, "output_index": [1]} if "output_index" in e else e for e in STREAM],
    "other arguments at their end": [at_their_end(e) for e in STREAM],
    "the same index": [{**e, "output_index": 0} if "output_index" in e else e for e in STREAM],
}


@pytest.mark.parametrize("name", QUIRKS)
def test_almost_compatible_streams(name: str) -> None:
    """Whatever events say of their items, or leave out, each read is handed out once."""
    exchange = begun()
    pipe = EventPipe(exchange)
    out = b"".join(pipe.feed(rendered([event])) for event in QUIRKS[name])
    told = [orjson.loads(sse.data_of(e)) for e in sse.Splitter().feed(out + pipe.finish())]
    done = [e for e in told if e["type"] == "response.output_item.done"]
    assert [e["output_index"] for e in done] == [0, 1, 2, 3]
    assert reads_in([e["item"] for e in done]) == PATHS
    assert told[-1]["response"]["output"] == [e["item"] for e in done]
    assert exchange.metrics.counts["internal_errors"] == 0


@pytest.mark.parametrize("name", QUIRKS)
@pytest.mark.parametrize("place", range(len(STREAM)))
def test_almost_compatible_streams_broken_off(name: str, place: int) -> None:
    """After a mistake of ours the events still agree, and nothing is handed out twice."""
    exchange = begun()
    pipe, out = EventPipe(exchange), b""
    for number, event in enumerate(QUIRKS[name]):
        if number == place:
            exchange.break_off()
        out += pipe.feed(rendered([event]))
    told = [orjson.loads(sse.data_of(e)) for e in sse.Splitter().feed(out + pipe.finish())]
    done = [e for e in told if e["type"] == "response.output_item.done"]
    assert [e["output_index"] for e in done] == list(range(len(done)))
    read = reads_in([e["item"] for e in done])
    assert read[-1] == "c.py"
    assert read in (PATHS, ["a.py", "c.py"]), "of a call that was taken apart the rest is missing"
    assert sum(e["item"]["type"] == "message" for e in done) == 1
    assert told[-1]["response"]["output"] == [e["item"] for e in done]


MULTI = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "multi_read",
    "arguments": json.dumps({"files": [{"path": "a.py"}, {"path": "b.py"}]}),
}
ONE = {**MULTI, "id": "fc_2", "call_id": "call_2", "name": "read_file", "arguments": '{"path":"c"}'}


def handed_out(items: list[dict[str, Any]], final: list[Any], left_out: str = "") -> bytes:
    """What the agent gets of a stream without one kind of events."""
    events = [
        *(event for index, item in enumerate(items) for event in series(index, item, 9)),
        {"type": "response.completed", "response": {"id": "resp_1", "output": final}},
    ]
    pipe = EventPipe(begun())
    return pipe.feed(rendered([e for e in events if e["type"] != left_out])) + pipe.finish()


def test_arguments_without_pieces() -> None:
    """A call whose arguments come at its end only is taken apart like any other."""
    out = handed_out([MULTI, ONE], [MULTI, ONE], "response.function_call_arguments.delta")
    told = [orjson.loads(sse.data_of(event)) for event in sse.Splitter().feed(out)]
    done = [one["item"] for one in told if one["type"] == "response.output_item.done"]
    assert reads_in(done) == ["a.py", "b.py", "c"]
    assert told[-1]["response"]["output"] == done
    assert [item["name"] for item in done] == ["read_file"] * 3


def test_last_event_leaves_items_out() -> None:
    """The last event repeats what the agent has got, even if the provider's lacks an item."""
    text = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hm"}]}
    items = accumulated(handed_out([text, MULTI, ONE], [MULTI, ONE]))
    assert items[0] == text
    assert reads_in(items) == ["a.py", "b.py", "c"]
    assert [item["name"] for item in items[1:]] == ["read_file"] * 3
