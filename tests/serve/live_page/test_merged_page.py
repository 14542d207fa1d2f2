"""What several processes show is what one process would show that had done all of it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.limits.cost import Cost
from batchwrap.engine import Engine
from batchwrap.options import Event, Limit, Options, Throttle
from batchwrap.serve import Settings
from batchwrap.serve.live_page import PAGE_STATE, Recents, Snapshots
from batchwrap.serve.live_page.recent_turns import MOST_CONVERSATIONS
from batchwrap.serve.peers import Peers
from batchwrap.serve.sampler import KEPT, PERIOD_S, Sampler
from batchwrap.throttle.accounts import Origin
from tests.serve.publishing import SECRET, publish

SETTINGS = Settings(upstream="http://localhost:1/v1")
FIRST = 1_000


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = FIRST * PERIOD_S

    def __call__(self) -> float:
        """The time that it shows."""
        return self.now_s


class Process:
    """One process without its server."""

    def __init__(self, clock: Clock, peers: Peers | None = None, store: str = "memory") -> None:
        self._clock = clock
        self._peers = peers
        throttle = Throttle(limits=[Limit("tokens", 100)], store=store)
        self._engine = Engine(Options(throttle=throttle))
        self.sampler = Sampler(self._engine, clock)
        self._recents = Recents(peers.alias if peers else None)
        stats = self._engine.counters.stats
        self._snapshots = Snapshots(
            SETTINGS, stats, self.sampler, self._recents, clock, peers=peers
        )
        sample(self)

    def answer(self, conversation: str, tokens: int) -> None:
        """The end of a request, which the provider has refused once, and a repair."""
        at = self._clock.now_s
        data = {"conversation": conversation, "model": "m", "prompt_tokens": tokens}
        self._recents.take(Event(name="ended", data=data, at_unix_s=at))
        self._recents.take(Event(name="refused", data={"status": 429}, at_unix_s=at))
        counts = {"requests": 1, "prompt_tokens": tokens, "waited_s": 0.5, "repairs.index": 1}
        self._engine.counters.add({**counts, f"defects.{tokens}": 1})

    def spend(self, tokens: int) -> None:
        """A request that runs."""
        request = self._engine.budget.request({"model": "m"}, Origin(host="h", api_key="k"))
        request.reserve(Cost(1, tokens), Cost(1, tokens))

    def publish(self) -> None:
        """Publish once."""
        assert self._peers is not None
        publish(self._peers, {PAGE_STATE: self._snapshots.published})

    def end(self) -> None:
        """End as a process that is killed after it has published."""
        assert self._peers is not None
        self.publish()
        assert self._peers.end([PAGE_STATE])

    def shows(self, since: int = 0) -> dict[str, Any]:
        """The data of the page."""
        data: dict[str, Any] = orjson.loads(anyio.run(self._snapshots.since, since))
        return data


def sample(*processes: Process) -> None:
    """Each of them takes a sample."""

    async def take() -> None:
        for one in processes:
            await one.sampler.take()

    anyio.run(take)


def several(folder: Path, clock: Clock, count: int, store: str = "memory") -> list[Process]:
    """Processes that serve one port."""
    return [Process(clock, Peers(folder, f"{name}", SECRET), store) for name in range(count)]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), st.integers(0, 3), st.integers(0, 5), st.integers(1, 9)),
        st.tuples(st.just("pass"), st.integers(1, 9)),
        st.tuples(st.just("end"), st.integers(1, 3)),
    ),
    max_size=30,
)


@given(STEPS)
def test_as_one(steps: list[Any]) -> None:
    """Whichever of them gets a request, and whenever one ends and is replaced."""
    with TemporaryDirectory() as folder:
        clock = Clock()
        alone, processes = Process(clock), several(Path(folder), clock, 4)
        replaced = 0
        for step, *how in steps:
            if step == "answer":
                process, conversation, tokens = how
                for one in (alone, processes[process]):
                    one.answer(f"conversation {conversation}", tokens)
            elif step == "pass":
                for _ in range(how[0]):
                    clock.now_s += PERIOD_S
                    sample(alone, *processes)
            else:  # a process that is killed loses what it has not sampled
                sample(alone, *processes)
                processes[how[0]].end()
                replaced += 1
                named = Peers(Path(folder), f"new-{replaced}", SECRET)
                processes[how[0]] = Process(clock, named)
        clock.now_s += PERIOD_S
        sample(alone, *processes)
        for one in processes:
            one.publish()
        expected = alone.shows()
        for shown in (one.shows() for one in processes):
            for name in ("began", "counters", "repairs", "defects", "refusals"):
                assert shown[name] == expected[name], name
            assert _turns(shown) == _turns(expected)
            assert _tokens(shown) == _tokens(expected)
            assert len({one["number"] for one in shown["conversations"]}) == len(_turns(shown))
            since = shown["samples"][-1]["n"] - 1
            assert processes[0].shows(since)["samples"] == processes[0].shows()["samples"][-1:]


def _turns(shown: dict[str, Any]) -> list[Any]:
    """The turns, without the order of those of one moment."""
    turns = [sorted(map(repr, one["turns"])) for one in shown["conversations"]]
    return sorted(turns)


def _tokens(shown: dict[str, Any]) -> list[Any]:
    return [(sample["n"], sample["tokens"]) for sample in shown["samples"]]


def test_buckets_are_shared(tmp_path: Path) -> None:
    """One that has sent no request yet shows the buckets of the others, with their history."""
    clock = Clock()
    store = f"sqlite:///{tmp_path / 'shared.db'}"
    one, two, three = several(tmp_path, clock, 3, store)
    for spender in (one, two):
        spender.spend(30)
        clock.now_s += PERIOD_S
        sample(one, two, three)
        for process in (one, two, three):
            process.publish()
    for process in (one, two, three):
        shown = process.shows()
        [account] = shown["accounts"]
        [limit] = account["limits"]
        assert limit["reserved"] == 60
        levels = [sample["levels"].get(limit["id"]) for sample in shown["samples"]]
        assert [reserved for _, _, reserved in levels[-2:]] == [30, 60]
        assert levels[:-2] == [None]
    one.end()
    assert three.shows()["accounts"][0]["limits"][0]["reserved"] == 60


def test_bounded(tmp_path: Path) -> None:
    """However many processes have ended and whatever they did, what stays is bounded."""
    clock = Clock()
    own = Process(clock, Peers(tmp_path, "own", SECRET))
    for number in range(12):
        gone = Process(clock, Peers(tmp_path, f"{number}", SECRET))
        for _ in range(KEPT // 6):
            clock.now_s += PERIOD_S
            gone.answer(f"{number} {clock.now_s % 7}", 1)
            sample(gone)
        gone.end()
    sample(own)
    shown = own.shows()
    assert len(shown["samples"]) == KEPT
    assert shown["samples"][-1]["tokens"][0] == shown["counters"]["requests"]
    assert len(shown["conversations"]) == MOST_CONVERSATIONS
    [ended] = tmp_path.iterdir()
    assert len(orjson.loads(ended.read_bytes().partition(b"\n")[2])["samples"]) == KEPT


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"\0" * 99])
def test_a_broken_file(tmp_path: Path, content: bytes) -> None:
    """What cannot be read is left out: the page is there."""
    own, other = several(tmp_path, Clock(), 2)
    own.answer("a", 5)
    other.publish()
    for path in (tmp_path / "1.worker.page", tmp_path / "ended.page"):
        path.write_bytes(content)
    assert own.shows()["counters"]["requests"] == 1
