"""The fast path: pieces of what was begun go to who reads them, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.exchange.actions import Head
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.formats.format import Look
from batchwrap.options import Options, Repair
from batchwrap.throttle.estimate import Estimator
from tests.core.harness import Bench, chunk, context_of
from tests.core.samples import READ_REQUEST

CLOSER = Look.CLOSER
ITEM = '{"path": "a.py"}'


def streaming(repair: Repair | None) -> Exchange:
    """An exchange whose stream has just begun, and whose agent has got a text."""
    exchange = Exchange(
        {**READ_REQUEST, "stream": True, "n": 2},
        context=context_of(Options(repair=repair)),
        counter=Estimator(),
        limits_tokens=False,
        backoff=lambda refusal: None,
    )
    exchange.start()
    exchange.reserved(0.0)
    exchange.received(Head(200, {}, is_stream=True), 0.0)
    exchange.first(None)
    for index in (0, 1):
        assert exchange.chunk(text("Well", index)) is None
    return exchange


@pytest.fixture(params=[None, Repair(), Repair(leaked_calls="gated")], ids=["off", "on", "reads"])
def exchange(request: pytest.FixtureRequest) -> Exchange:
    """Such an exchange, with repairs and without."""
    return streaming(request.param)


def text(said: str, index: int = 0) -> dict[str, Any]:
    """A piece of a choice's text."""
    made = chunk({"content": said})
    made["choices"][0]["index"] = index
    return made


def arguments(piece: str) -> dict[str, Any]:
    """A piece of the only call's arguments."""
    return chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})


def begins(exchange: Exchange, name: str) -> None:
    """The model begins to call a tool."""
    head = {"index": 0, "id": "c", "type": "function", "function": {"name": name, "arguments": ""}}
    exchange.chunk(chunk({"tool_calls": [head]}))


def never() -> dict[str, Any]:
    """The event is not asked for."""
    raise AssertionError("the event is not needed")


def test_a_text(exchange: Exchange) -> None:
    """The pieces of a text go out as they came, those of two choices in any order."""
    for index in (0, 0, 1, 0, 1, 1):
        assert exchange.fast_path.take(text(", a file", index)) is None


@pytest.mark.parametrize(
    "event",
    [
        text("Well", 7),
        chunk({"content": "a", "role": "assistant"}),
        chunk({"content": "a"}, "stop"),
        chunk({"reasoning_details": "a"}),
        {**text("a"), "usage": {"prompt_tokens": 1}},
        {**text("a"), "error": {"message": "no"}},
        {"choices": []},
    ],
)
def test_whatever_is_more(event: dict[str, Any]) -> None:
    """An event that is more than a piece of what was begun is not taken in."""
    assert streaming(Repair()).fast_path.take(event) is CLOSER


def test_a_single_call(exchange: Exchange) -> None:
    """The arguments of a call that goes out as it comes do so, too."""
    begins(exchange, "read_file")
    for piece in ('{"', "path", '": "', "a\\n", "b, ", '"}'):
        assert exchange.fast_path.take(arguments(piece)) is None


def test_a_multi_call(exchange: Exchange) -> None:
    """Its items go out as each is complete; only then the event itself is needed."""
    begins(exchange, "multi_read")
    path = exchange.fast_path
    for piece in ('{"files": [', "\n  ", ITEM[:-1]):
        assert written(path.take(arguments(piece)), never) == []
    last = {**arguments("}]}"), "created": 2**70}
    [made] = written(path.take(last), lambda: last)
    call = made["choices"][0]["delta"]["tool_calls"][0]
    assert call["function"] == {"name": "read_file", "arguments": ITEM}
    assert made["created"] == 2**70


def written(taken: Any, original: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    """What goes out in the place of an event."""
    assert taken is not None and taken is not CLOSER
    made: list[dict[str, Any]] = taken(original)
    return made


def test_a_comma_waits() -> None:
    """Behind a comma that may be one too many, a piece is looked at closer, and held."""
    exchange = streaming(Repair())
    begins(exchange, "read_file")
    assert exchange.fast_path.take(arguments('{"path": "')) is None
    assert exchange.fast_path.take(arguments("a,")) is None
    comma = arguments('",\n')
    assert exchange.fast_path.take(comma) is CLOSER
    assert exchange.chunk(comma) == []
    assert exchange.fast_path.take(arguments('"limit": 1}')) is CLOSER


NAMES = ["reasoning_content", "reasoning"]


def thought(said: str, name: str, **others: None) -> dict[str, Any]:
    """A piece of reasoning content."""
    return chunk({**others, name: said})


@pytest.mark.parametrize("name", NAMES)
def test_reasoning(exchange: Exchange, name: str) -> None:
    """Its pieces go out as they came, also with null beside them."""
    for piece in ("Well", ", a", " file"):
        assert exchange.chunk(thought(piece, name)) is None
    path = exchange.fast_path
    assert path.take(thought(" of", name)) is None
    assert path.take(thought(" yours", name, content=None, tool_calls=None)) is None
    assert path.take(chunk({name: " or", "content": "not"})) is CLOSER


_texts = st.sampled_from(["", "a", " file", "\n", "<tool_call>", "<think>", "a file"])
_alone = st.builds(lambda name, said: {name: said}, st.sampled_from(["content", *NAMES]), _texts)
_beside = st.dictionaries(
    st.sampled_from(["content", "role", "tool_calls", *NAMES]), st.none(), max_size=2
)
_deltas = st.lists(
    st.builds(lambda said, null: {**null, **said}, _alone, _beside), min_size=1, max_size=12
)


@given(
    _deltas,
    st.sampled_from([None, Repair(), Repair(leaked_calls="gated", think_tags="tags")]),
)
def test_both_ways_agree(deltas: list[dict[str, Any]], repair: Repair | None) -> None:
    """Texts and reasoning come out alike by either way, and the same is counted."""
    chunks = [*map(chunk, deltas), chunk({}, "stop")]
    ways = []
    for fast in (True, False):
        bench = Bench(Options(repair=repair))
        ways.append((bench.ask_streamed(READ_REQUEST, chunks, fast=fast), bench.metrics.counts))
    assert ways[0] == ways[1]


def test_markup_is_looked_at() -> None:
    """A piece in which leaked markup may begin is not taken in, nor is what follows it."""
    exchange = streaming(Repair(leaked_calls="gated"))
    begun = text("a <tool_call")
    assert exchange.fast_path.take(begun) is CLOSER
    assert exchange.chunk(begun) == []
    assert exchange.fast_path.take(text(">")) is CLOSER


def test_nothing_after_a_mistake(exchange: Exchange) -> None:
    """Once the translation is broken off, every event is the account's to judge."""
    assert exchange.fast_path.take(text("a")) is None
    exchange.break_off()
    assert exchange.fast_path.take(text("a")) is CLOSER
    assert exchange.chunk(text("a")) is None
