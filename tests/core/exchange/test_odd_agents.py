"""Agents that answer out of order, in part, twice or never: nothing is lost or made up."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.moves import ids
from batchwrap.options import Batching, Options
from tests.core.apis import Api, each_api
from tests.core.harness import Bench
from tests.core.samples import READ_REQUEST
from tests.strategies import cuts, turns

OPTIONS = Options(reminders=None, batching=Batching(coalesce="never"))
Messages = list[dict[str, Any]]


@st.composite
def answers(draw: st.DrawFn, calls: Messages) -> Messages:
    """Results of some calls, in any order, some of them twice and with another text."""
    kept = draw(st.lists(st.sampled_from(calls), max_size=2 * len(calls))) if calls else []
    return [
        {"role": "tool", "tool_call_id": made["id"], "content": f"<{place} of {made['id']}>"}
        for place, made in enumerate(kept)
    ]


def handed_out(bench: Bench, message: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    """The message in the agent view, plain or from a stream that is cut anywhere."""
    if data.draw(st.booleans()):
        return bench.say(READ_REQUEST, message)
    pieces = [data.draw(cuts(made["function"]["arguments"])) for made in message["tool_calls"]]
    return bench.say(READ_REQUEST, message, pieces)


@each_api
@given(turns(), st.data())
def test_any_answers(api: Api, turn: tuple[dict[str, Any], Any], data: st.DataObject) -> None:
    """Each text that the agent gives reaches the model once, and each call of ours is answered.

    The model sees the ids of its own only, unless nothing of a turn was answered. What comes
    next locally are calls of the turn that were not answered, each once.
    """
    message, _ = turn
    bench = Bench(OPTIONS, api=api)
    seen = handed_out(bench, message, data)
    calls = seen.get("tool_calls") or []
    said = data.draw(answers(calls))
    body = {**READ_REQUEST, "messages": [*READ_REQUEST["messages"], seen, *said]}

    local = bench.local(body)
    answered = {one["tool_call_id"] for one in said}
    if local is not None:
        fresh = [made["id"] for made in local["tool_calls"]]
        assert fresh
        assert len(set(fresh)) == len(fresh)
        assert answered.isdisjoint(fresh)

    if data.draw(st.booleans()):
        bench = Bench(OPTIONS, api=api)  # another process
    sent = bench.sent(body)
    texts = json.dumps(sent)
    # Of two results for one item the first counts, and a later one is appended.
    assert all(texts.count(json.dumps(one["content"])[1:-1]) == 1 for one in said)
    own = [made for one in sent for made in one.get("tool_calls") or ()]
    results = [one["tool_call_id"] for one in sent if one["role"] == "tool"]
    if said:
        assert not any(ids.decode(made["id"]) for made in own)
        own_ids = {made["id"] for made in message["tool_calls"]}
        assert set(results) <= own_ids | set(map(ids.short, own_ids))
        multi = [m["id"] for m in own if m["function"]["name"].startswith(("multi_", "batch"))]
        assert all(results.count(made) == 1 for made in multi)
    else:
        assert sent == [*READ_REQUEST["messages"], api.written(seen)]


@each_api
@given(turns(), st.data())
def test_a_turn_that_is_cut_out(
    api: Api, turn: tuple[dict[str, Any], Any], data: st.DataObject
) -> None:
    """A history of which the agent keeps a part is sent with what is left, in its order."""
    message, _ = turn
    bench = Bench(OPTIONS, api=api)
    history = bench.run(READ_REQUEST, message)
    start = data.draw(st.integers(1, len(history)))
    kept = [history[0], *history[start:]]
    sent = bench.sent({**READ_REQUEST, "messages": kept})
    texts = [one["content"] for one in kept if one["role"] == "tool"]
    whole = json.dumps(sent)
    places = [whole.find(json.dumps(text)[1:-1]) for text in texts]
    assert -1 not in places
