"""Events in the log: at the levels that the documentation says, as names and numbers."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest
from openai import APIConnectionError, OpenAI

import batchwrap
from batchwrap import Limit, Throttle
from batchwrap.lab import Raw, Reply
from batchwrap.observe.log import log
from batchwrap.options import Event, EventName
from batchwrap.testing import ManualClock
from tests.adapters.callers import Caller

PAGE = Path(__file__).parents[2] / "docs/observability.md"
ROWS = re.findall(r"^\| `(\w+)` \| .+ \| (\w+) \|$", PAGE.read_text(encoding="utf-8"), re.M)
REFUSED = Raw(429, {"retry-after": "0.01", "content-type": "application/json"}, (b"{}",))


def test_all_events_have_a_level() -> None:
    """The table is complete."""
    assert {name for name, _ in ROWS} == set(get_args(EventName))


@pytest.mark.parametrize(("name", "level"), ROWS)
def test_levels(name: Any, level: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each event is logged at its level, and not above."""
    caplog.set_level(logging.DEBUG, logger="batchwrap")
    log(Event(name=name, data={"seconds_s": 1.5, "kind": "bucket"}))
    [record] = caplog.records
    assert (record.levelname.lower(), record.name) == (level, "batchwrap")
    assert record.getMessage() == f"{name} seconds_s=1.5 kind=bucket"


def test_a_request(caller: Caller, serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """At the level "info" there is what cost time, and no line for what went well."""
    caplog.set_level(logging.INFO, logger="batchwrap")
    caller.ask(batchwrap.wrap(caller.open(serve(REFUSED, Reply("hush")))))
    said = [record.getMessage() for record in caplog.records if record.name == "batchwrap"]
    assert [line.split()[0] for line in said] == ["refused", "waiting", "waited"]
    [refused] = [line for line in said if line.startswith("refused")]
    assert refused.startswith("refused status=429 kind=bucket")


SLOW = Limit("requests", 1, per_s=30)


def test_a_wait_is_told_when_it_begins(caller: Caller, serve: Any) -> None:
    """With its limit and its expected length; and when it is over. Both before the request is."""
    clock, seen = ManualClock(), list[tuple[str, float, Mapping[str, Any]]]()
    throttle = Throttle(limits=[SLOW], clock=clock)

    def hear(event: Event) -> None:
        seen.append((event.name, clock.passed_s, event.data))

    client = batchwrap.wrap(
        caller.open(serve(Reply("one"), Reply("two"))), throttle=throttle, on_event=hear
    )
    caller.ask(client)
    caller.ask(client)
    [begins] = [(at, data) for name, at, data in seen if name == "waiting"]
    [ends] = [(at, data) for name, at, data in seen if name == "waited"]
    assert begins[0] < 1 and begins[1]["limit"] == str(SLOW)
    assert begins[1]["expected_s"] == pytest.approx(30, abs=1)
    assert ends[0] == pytest.approx(30, abs=1) == ends[1]["seconds_s"]


def test_no_wait_is_no_event(caller: Caller, serve: Any) -> None:
    """The time that our own work takes is not reported as a wait, whatever the machine does."""
    seen: list[str] = []
    throttle = Throttle(limits=[Limit("requests", 1e6)])
    client = batchwrap.wrap(
        caller.open(serve(*[Reply("hush")] * 5)),
        throttle=throttle,
        on_event=lambda event: seen.append(event.name),
    )
    for _ in range(5):
        caller.ask(client)
    assert "ended" in seen and not {"waiting", "waited"} & {*seen}
    assert batchwrap.stats(client).waited_s == 0


def test_who_waits_now(serve: Any) -> None:
    """`stats` shows who waits at this moment: for what, for how long, and how long it may take."""
    lab = serve(*[Reply("hush")] * 3)
    with OpenAI(base_url=lab.base_url, api_key="key") as bare:
        client = batchwrap.wrap(bare, limits=[SLOW])
        ask: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        client.chat.completions.create(**ask)
        waits = threading.Event()

        def ask_again() -> None:
            with suppress(APIConnectionError):
                told.chat.completions.create(**ask)

        told = batchwrap.wrap(bare, limits=[SLOW], on_event=lambda event: waits.set())
        told.chat.completions.create(**ask)
        waits.clear()
        thread = threading.Thread(target=ask_again)
        thread.start()
        assert waits.wait(60)
        assert batchwrap.stats(client).waiting == ()
        stats = batchwrap.stats(told)
        assert "waiting now" in str(stats)
        [one] = stats.waiting
        assert (one.limit, one.limits) == (str(SLOW), "own")
        assert one.expected_s is not None and 0 < one.expected_s <= 30 and one.waited_s >= 0
        assert stats.waiting[0].limits in {it.limits for it in batchwrap.stats().waiting}
        told.close()
        thread.join(60)
        assert batchwrap.stats(told).waiting == ()
