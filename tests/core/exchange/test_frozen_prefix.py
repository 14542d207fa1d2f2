"""What was rewritten before is looked up, and comes out as if it were done anew."""

import copy
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.exchange.memory import Memory
from batchwrap.core.recent import Recent
from batchwrap.options import Batching, Options, Reminders
from tests.core.apis import Api, each_api
from tests.core.harness import Bench, answer, call
from tests.core.samples import READ_REQUEST, singles
from tests.strategies import examples, turns

OPTIONS = {
    coalesce: Options(batching=Batching(coalesce=coalesce), reminders=Reminders(every=2))
    for coalesce in ("never", "always")
}
Messages = list[dict[str, Any]]


def requests(
    bench: Bench, spoken: list[tuple[dict[str, Any], Any]], says: list[bool]
) -> list[dict[str, Any]]:
    """The agent's requests in a conversation with these turns, some followed by a person."""
    body, made = READ_REQUEST, [READ_REQUEST]
    for (message, _), is_answered in zip(spoken, says, strict=True):
        history = bench.run(body, copy.deepcopy(message))
        more = [{"role": "user", "content": "Go on."}] if is_answered else []
        body = {**READ_REQUEST, "messages": [*history, *more]}
        made.append(body)
    return made


@each_api
@pytest.mark.parametrize("coalesce", ["never", "always"])
@examples(50, quick=8)
@given(st.lists(turns(), max_size=6), st.data())
def test_the_same_as_anew(api: Api, coalesce: str, spoken: Any, data: st.DataObject) -> None:
    """A request comes out the same whether its beginning is settled or not."""
    bench = Bench(OPTIONS[coalesce], api=api)
    says = data.draw(st.lists(st.booleans(), min_size=len(spoken), max_size=len(spoken)))
    for body in requests(bench, spoken, says):
        settled = bench.request(copy.deepcopy(body))
        bench.memory.frozen_prefixes = Recent(64)
        assert bench.request(copy.deepcopy(body)) == settled


@each_api
@given(st.lists(turns(), max_size=6), st.data())
def test_the_prefix_stays(api: Api, spoken: Any, data: st.DataObject) -> None:
    """With the history left alone, request k + 1 starts with request k, reminders included."""
    bench = Bench(OPTIONS["never"], api=api)
    says = data.draw(st.lists(st.booleans(), min_size=len(spoken), max_size=len(spoken)))
    before: Messages = []
    for body in requests(bench, spoken, says):
        sent = api.format.items(bench.wire(body))
        assert sent[: len(before)] == before
        before = sent


def test_settled_messages_are_the_same_objects() -> None:
    """Only what is new since the last request is written."""
    bench = Bench()
    bench.request({**READ_REQUEST, "messages": singles(9)})
    first = bench.request({**READ_REQUEST, "messages": singles(10)})
    second = bench.request({**READ_REQUEST, "messages": singles(11)})
    assert first is not None
    assert second is not None
    same = [new is old for new, old in zip(second["messages"], first["messages"], strict=False)]
    assert all(same[:17])


def test_an_edited_history_is_written_anew() -> None:
    """A message that changed is sent as it is now."""
    bench = Bench()
    bench.request({**READ_REQUEST, "messages": singles(10)})
    edited = singles(11)
    edited[2] = {**edited[2], "content": "(left out)"}
    sent = bench.request({**READ_REQUEST, "messages": edited})
    assert sent is not None
    assert sent["messages"][2]["content"] == "(left out)"


def test_other_tools_are_an_offer_of_their_own() -> None:
    """A request with other tools is not written with what was settled for the first ones."""
    bench = Bench(OPTIONS["always"])
    body = {**READ_REQUEST, "messages": singles(4)}
    bench.request(body)
    other = {**body, "tools": READ_REQUEST["tools"][:1]}
    assert bench.request(other) == Bench(OPTIONS["always"]).request(other)


def test_memory_is_bounded() -> None:
    """A thousand conversations leave no more than the latest ones behind."""
    bench = Bench()
    for number in range(1_000):
        messages = singles(3)
        for message in messages:
            for made in message.get("tool_calls", ()):
                made["id"] += f"_{number}"
        bench.request({**READ_REQUEST, "messages": messages})
    assert len(bench.memory.frozen_prefixes) == 64


def test_forgotten() -> None:
    """Another process writes the same conversation in the same way."""
    body = {**READ_REQUEST, "messages": singles(12)}
    bench = Bench(OPTIONS["always"])
    for length in range(1, 25):
        bench.request({**READ_REQUEST, "messages": body["messages"][:length]})
    settled = bench.request(body)
    bench.memory = Memory()
    assert bench.request(body) == settled


def test_ids_that_are_repeated() -> None:
    """A provider that begins to count anew in each turn does not make two turns one."""
    bench = Bench(Options(reminders=None))
    read = call("0", "read_file", {"path": "a.py"})
    several = call("1", "multi_read", {"files": [{"path": "b.py"}, {"path": "c.py"}]})
    spoken = [[read], [read, several], [read]]
    history = READ_REQUEST["messages"]
    for calls in spoken:
        made = {"role": "assistant", "tool_calls": calls}
        history = bench.run({**READ_REQUEST, "messages": history}, made)
    sent = bench.request({**READ_REQUEST, "messages": history})
    assert sent is not None
    turns = [one["tool_calls"] for one in sent["messages"] if one["role"] == "assistant"]
    assert turns == spoken


@each_api
@pytest.mark.parametrize("delivery", ["serial", "parallel"])
@examples(100, quick=20)
@given(st.lists(turns(), min_size=1, max_size=3), st.data())
def test_forks(api: Api, delivery: Literal["serial", "parallel"], spoken: Any, data: Any) -> None:
    """A request comes out as if written anew, wherever forks of it were cut off before."""
    bench = Bench(Options(batching=Batching(delivery=delivery), reminders=None), api=api)
    body = requests(bench, spoken, [False] * len(spoken))[-1]
    other = answer({"tool_calls": [call("other", "read_file", {"path": "other.py"})]})
    for end in data.draw(st.lists(st.integers(1, len(body["messages"])), min_size=1, max_size=3)):
        fork = {**body, "messages": [*body["messages"][:end], *other]}
        bench.request(copy.deepcopy(fork))
    settled = bench.request(copy.deepcopy(body))
    bench.memory.frozen_prefixes = Recent(64)
    assert bench.request(copy.deepcopy(body)) == settled
