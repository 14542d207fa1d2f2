"""A clock that takes no time: waits move it, and nothing is kept waiting."""

from __future__ import annotations

from threading import Event, Thread
from typing import Any

import httpx
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwrap
from batchwrap import Limit, Throttle
from batchwrap.errors import ConfigError
from batchwrap.testing import Lab, ManualClock, RateLimit, Raw, Reply, Script
from tests.adapters.callers import Caller, Web
from tests.adapters.conftest import caller, closing, serve, threads, web
from tests.adapters.conversation import USER

__all__ = ["caller", "closing", "serve", "threads", "web"]

BODY = {"model": "m", "messages": [USER]}


@given(st.lists(st.floats(0, 1e6)))
def test_it_only_goes_on(steps: list[float]) -> None:
    """It shows what was slept, and starts with a day."""
    clock = ManualClock()
    assert clock.now() % 86_400 == 0
    for seconds in steps:
        before = clock.now()
        clock.sleep(seconds)
        assert clock.now() >= before
    assert clock.passed_s == pytest.approx(sum(steps), abs=1e-3)


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_it_does_not_go_back(seconds: float) -> None:
    """Less than nothing is refused."""
    with pytest.raises(ConfigError, match="seconds: "):
        ManualClock().sleep(seconds)


def test_waits_for_a_limit(web: Web, serve: Any) -> None:
    """An hour of waiting takes no real time, in threads and tasks, and nothing is refused."""
    clock = ManualClock()
    limits = [RateLimit("requests", 2, 1_800)]
    lab = serve(lambda _: Reply("ok"), limits=limits, clock=clock, tokens_per_s=10, ttft_s=1)
    throttle = Throttle(limits=[Limit("requests", 2, 1_800)], clock=clock, max_wait_s=3_600)
    client = batchwrap.wrap(web.open(), throttle=throttle)
    for _ in range(6):
        assert web.post(client, lab, json=BODY).status_code == 200
    assert lab.refusals == 0
    assert 3_500 < clock.passed_s < 3_700
    assert batchwrap.stats(client).waited_s == pytest.approx(clock.passed_s, abs=20)


def test_waits_after_a_refusal(caller: Caller, serve: Any) -> None:
    """`Retry-After` moves the clock."""
    clock = ManualClock()
    lab = serve(Raw(429, {"retry-after": "100"}, (b"{}",)), Reply("ok"), clock=clock)
    client = batchwrap.wrap(caller.open(lab), throttle=Throttle(clock=clock))
    assert caller.ask(client).choices[0].message.content == "ok"
    assert 100 <= clock.passed_s < 120


def test_streams_take_simulated_time(caller: Caller, serve: Any) -> None:
    """The lab's tokens move the clock at the lab's speed."""
    clock = ManualClock()
    lab = serve(Reply("one two three four five"), clock=clock, tokens_per_s=1, ttft_s=5)
    caller.ask(caller.open(lab), stream=True)
    [entry] = lab.journal
    assert clock.passed_s == pytest.approx(5 + entry.completion_tokens)


def test_a_wait_that_is_too_long(caller: Caller, serve: Any) -> None:
    """The limit for waits counts simulated seconds, too."""
    clock = ManualClock()
    throttle = Throttle(limits=[Limit("requests", 1, 100)], clock=clock, max_wait_s=50)
    client = batchwrap.wrap(caller.open(serve(Reply("ok")), max_retries=0), throttle=throttle)
    caller.ask(client)
    with pytest.raises(openai.RateLimitError, match="max_wait_s=50"):
        caller.ask(client)
    assert clock.passed_s < 50


def test_a_wait_for_another_request_is_real() -> None:
    """Who waits for a running request gets its turn when that is over, at no simulated time."""
    clock = ManualClock()
    throttle = Throttle(limits=[Limit("concurrency", 1)], clock=clock)
    runs, waits = Event(), Event()

    def answer(_: Any) -> Reply:
        runs.set()
        waits.wait(60)
        return Reply("ok")

    with Lab(answer, clock=clock, ttft_s=0) as lab, httpx.Client(timeout=60) as bare:
        client = batchwrap.wrap(bare, throttle=throttle)
        url = f"{lab.base_url}/chat/completions"
        others = [Thread(target=client.post, args=(url,), kwargs={"json": BODY}) for _ in range(4)]
        for other in others:
            other.start()
        assert runs.wait(60)
        assert [entry.status for entry in lab.journal] == []
        waits.set()
        for other in others:
            other.join(60)
        assert [entry.status for entry in lab.journal] == [200] * 4
    assert clock.passed_s < 5


def test_only_with_the_memory() -> None:
    """Others share a store's time."""
    with pytest.raises(ConfigError, match=r"Throttle\.clock: needs store"):
        Throttle(store="sqlite:///x.db", clock=ManualClock())


def test_a_script_is_played_once() -> None:
    """What users import from here is the lab's own."""
    script = Script(Reply("one"))
    assert script({}) == Reply("one")
    assert script.left == 0
