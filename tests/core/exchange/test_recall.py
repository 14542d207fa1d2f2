"""Processes that share what they keep do what one process does, whichever gets which request."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.exchange.recall import Record
from batchwrap.core.formats.sameness import Conversation, Prefixes
from batchwrap.options import Batching, Options, Reminders
from tests.core.apis import Api, each_api
from tests.core.harness import Bench, answer, call, entries
from tests.core.played import Player
from tests.core.processes import Processes, Shelf
from tests.core.samples import EDIT_REQUEST
from tests.core.script_play import says
from tests.strategies import Step, sessions

OPTIONS = Options(reminders=Reminders(every=2), batching=Batching(coalesce="never"))


def edit(path: str, old: str) -> dict[str, str]:
    """An item of a `multi_edit`."""
    return {"path": path, "old_string": old, "new_string": "new"}


def played(bench: Bench, session: list[Step]) -> list[Any]:
    """All that the provider and the agent get in a session."""
    player = Player(bench).play(session)
    return [*((one.sent, one.got, one.ran) for one in player.played), player.sent]


@each_api
@given(sessions, st.integers(1, 4))
def test_as_one_process(api: Api, session: list[Step], count: int) -> None:
    """The provider and the agent get the same bytes, though processes end all the time."""
    remembered = [replace(step, forgets="") for step in session]
    expected = played(Bench(OPTIONS, api=api), remembered)
    assert played(Processes(OPTIONS, api=api, count=count), session) == expected


class Lossy(Shelf):
    """A shelf of which records vanish, or are as they were some time ago, whenever it is read."""

    def __init__(self, chosen: random.Random) -> None:
        super().__init__()
        self._chosen = chosen
        self._old: dict[tuple[str, str], list[bytes]] = defaultdict(list)

    def keep(self, record: Record) -> None:
        """Keep a record, and remember it for later."""
        self._old[record.name, record.part].append(record.content)
        super().keep(record)

    def load(self, names: list[str]) -> dict[str, list[bytes]]:
        """What is left."""
        for name, part in [(it, part) for it in names for part in self.kept.get(it, ())]:
            what = self._chosen.choice(["there", "there", "gone", "old"])
            if what == "gone":
                del self.kept[name][part]
            elif what == "old":
                self.kept[name][part] = self._chosen.choice(self._old[name, part])
        return super().load(names)


@each_api
@given(sessions, st.randoms(use_true_random=False))
def test_lost_and_old_records(api: Api, session: list[Step], chosen: random.Random) -> None:
    """Nothing is handed out twice, or that the model has not called; nothing fails."""
    bench = Processes(OPTIONS, api=api)
    bench.shelf = Lossy(chosen)
    player = Player(bench).play([replace(step, retries=False) for step in session])
    for one in player.played:
        handed_out = [made["id"] for got in one.got for made in got.get("tool_calls") or ()]
        assert len(handed_out) == len(set(handed_out))
        if one.step.cut is None:
            ran, means = (
                Counter(map(repr, it)) for it in ([made for made, _ in one.ran], one.step.means)
            )
            assert ran <= means
    assert player.sent


def test_from_a_cut_history() -> None:
    """A turn is found by its nonce where the beginning of its conversation is cut off."""
    bench = Processes(OPTIONS)
    player = Player(bench)
    player.history = [{"role": "user", "content": "Before."}, *player.history]
    asked = player.body
    message = says(call("call_1", "multi_read", {"files": [{"path": "a"}, {"path": "b"}], "x": 1}))
    history = [*asked["messages"], *answer(bench.say(asked, message), {})]
    bench.begin_again()
    [said] = [one for one in bench.sent({**asked, "messages": history[1:]}) if "tool_calls" in one]
    # As the model wrote it: the field that nobody knows is kept in memory only.
    assert json.loads(said["tool_calls"][0]["function"]["arguments"])["x"] == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def bench_with_a_turn() -> tuple[Processes, dict[str, Any]]:
    """Processes of which one has answered, and the request that gets the next wave."""
    bench = Processes(OPTIONS)
    message = says(call("call_1", "multi_edit", {"files": [edit("a", "1"), edit("a", "2")]}))
    got = bench.say(EDIT_REQUEST, message)
    results = {one["id"]: "done" for one in got["tool_calls"]}
    return bench, {**EDIT_REQUEST, "messages": [*EDIT_REQUEST["messages"], *answer(got, results)]}


@given(st.data())
def test_forged_records(data: st.DataObject) -> None:
    """Whatever is wrong in a record, nothing breaks, and no other call is handed out."""
    bench, asked = bench_with_a_turn()
    expected = bench.local(asked)
    assert expected is not None
    for kept in bench.shelf.kept.values():
        for part, content in kept.items():
            kept[part] = json.dumps(spoilt(data, json.loads(content))).encode()
    bench.begin_again()
    found = bench.local(asked)
    assert found is None or [one["id"] for one in found["tool_calls"]] == [
        one["id"] for one in expected["tool_calls"]
    ]
    assert bench.sent(asked)


def spoilt(data: st.DataObject, value: Any) -> Any:
    """The value with something else in one place, or without it."""
    if not isinstance(value, dict | list) or not value or data.draw(st.integers(0, 4)) == 0:
        return data.draw(JSON)
    keys = sorted(value) if isinstance(value, dict) else range(len(value))
    key = data.draw(st.sampled_from(keys))
    value[key] = spoilt(data, value[key])
    return value


@given(st.binary(max_size=50) | JSON.map(lambda one: json.dumps(one).encode()))
def test_rubbish(content: bytes) -> None:
    """What is no record counts as missing."""
    bench, asked = bench_with_a_turn()
    bench.flush()
    for kept in bench.shelf.kept.values():
        kept["more"] = content
    bench.begin_again()
    assert bench.local(asked) is not None


def test_moved_records() -> None:
    """A turn at a place that is not its own opens nothing."""
    bench, asked = bench_with_a_turn()
    bench.flush()
    kept = {part: one for some in bench.shelf.kept.values() for part, one in some.items()}
    other = {**asked, "messages": [{"role": "user", "content": "?"}, *asked["messages"][1:]]}
    for place in range(4):
        bench.shelf.kept["at:" + digest_at(other, place)] = dict(kept)
    bench.begin_again()
    assert bench.local(other) is None


def digest_at(asked: dict[str, Any], place: int) -> str:
    """The digest of a conversation before one of its entries."""
    read = entries(asked["messages"])
    return Prefixes(read, 0, Conversation()).before(min(place, len(read))).digest.hex()
