"""The states of an exchange: what may be told to it, and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.exchange.actions import Action, Head
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.exchange.states import AFTER, ALLOWED, OutOfOrder, State
from batchwrap.core.moves.script_run import ScriptOutcome
from batchwrap.core.repair.faults import MALFORMED
from batchwrap.throttle.estimate import Estimator
from tests.core.harness import context_of

DONE = {
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    ]
}
PIECE = {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]}
REFUSED = {"error": {"message": "Slow down.", "type": "rate_limit_error"}}


def exchange_for(*, stream: bool) -> Exchange:
    """An exchange of a short request, whose refusals are retried."""
    return Exchange(
        {"model": "m", "messages": [{"role": "user", "content": "go"}], "stream": stream},
        context=context_of(),
        counter=Estimator(),
        limits_tokens=True,
        backoff=lambda refusal: 1.0,
    )


def told(exchange: Exchange) -> Mapping[str, Callable[[Any], object]]:
    """Everything that a driver may tell it, with any of several answers."""
    return {
        "start": lambda _: exchange.start(),
        "loaded": lambda _: exchange.loaded({}),
        "ran": lambda _: exchange.ran(ScriptOutcome()),
        "reserved": lambda _: exchange.reserved(0.0),
        "withdraw": lambda _: exchange.withdraw(),
        "received": lambda status: exchange.received(
            Head(status, {}, exchange.streams and status == 200), 0.0
        ),
        "body": lambda status: exchange.body(WholeBody(DONE if status == 200 else REFUSED)),
        "first": lambda status: exchange.first(PIECE if status == 200 else REFUSED),
        "chunk": lambda _: exchange.chunk(PIECE),
        "chunk_ran": lambda _: exchange.chunk_ran(ScriptOutcome()),
        "lost": lambda _: exchange.lost(MALFORMED),
        "end": lambda _: exchange.end(),
        "waited": lambda _: exchange.waited(),
        "ask_again": lambda _: exchange.ask_again(),
    }


@given(
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(sorted(ALLOWED)), st.sampled_from([200, 400, 429, 500]))),
)
def test_any_order(stream: bool, calls: list[tuple[str, int]]) -> None:
    """A call out of order raises and changes nothing; one in order leads where its action says."""
    exchange = exchange_for(stream=stream)
    for name, status in calls:
        before = exchange.state
        counted = dict(exchange.metrics.counts)
        if before not in ALLOWED[name]:
            with pytest.raises(OutOfOrder, match=rf"{name}\(\) .* {before.value}\(\)"):
                told(exchange)[name](status)
            assert (exchange.state, exchange.metrics.counts) == (before, counted)
            continue
        said = told(exchange)[name](status)
        if isinstance(said, get_args(Action)):
            assert exchange.state is AFTER[type(said)]
        else:  # about a stream, or about what is being sent
            assert exchange.state is before


@given(st.booleans(), st.lists(st.sampled_from([200, 400, 429, 500]), min_size=20, max_size=20))
def test_in_order(stream: bool, statuses: list[int]) -> None:
    """Whoever tells it what it waits for never meets an error, and comes to an end."""
    exchange = exchange_for(stream=stream)
    for status in [*statuses, 200, 200, 200, 200, 200]:
        if exchange.state in (State.DONE, State.STREAMING):
            break
        told(exchange)[exchange.state.value](status)
    assert exchange.state in (State.DONE, State.STREAMING)


def test_every_action() -> None:
    """Each action leads to a state, and each state but the last is left by a call."""
    assert AFTER.keys() == set(get_args(Action))
    left = frozenset[State]().union(*ALLOWED.values())
    assert left == set(State) - {State.DONE}
