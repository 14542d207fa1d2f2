"""The last turns and refusals: bounded, in order, and without anything that is not shown."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.options import Event
from batchwrap.serve.live_page.recent_turns import (
    LONGEST_NAME,
    MOST_CONVERSATIONS,
    MOST_REFUSALS,
    MOST_TURNS,
    Recents,
)


def ended(conversation: str, at_unix_s: float = 0.0, **data: Any) -> Event:
    """The end of a request."""
    known = {"conversation": conversation} if conversation else {}
    facts = {"model": "m", "duration_s": 0.1, **known, **data}
    return Event(name="ended", data=facts, at_unix_s=at_unix_s)


@given(st.lists(st.sampled_from([*"abcdefghijkl", ""]), max_size=200))
def test_bounded(names: list[str]) -> None:
    """The last conversations are kept, the newest first, each with its last turns in order."""
    recents = Recents()
    for place, name in enumerate(names):
        recents.take(ended(name, place))
    shown = recents.conversations
    expected = list(dict.fromkeys(reversed(names)))[:MOST_CONVERSATIONS]
    assert len(shown) == len(expected)
    assert [bool(one["number"]) for one in shown] == [bool(name) for name in expected]
    for one, name in zip(shown, expected, strict=True):
        places = [place for place, other in enumerate(names) if other == name]
        times = [turn["at"] for turn in one["turns"]]
        assert len(times) <= MOST_TURNS and times == places[-len(times) :]
    orjson.dumps(shown)


def test_numbers() -> None:
    """A conversation keeps its number, and nobody is shown the digest that it is found by."""
    recents = Recents()
    for name in ("a", "", "b", "a"):
        recents.take(ended(name, said=(("read", 1, 5),), provider="p", first_s=1.0))
    assert [one["number"] for one in recents.conversations] == [1, 2, 0]
    assert set(recents.conversations[0]["turns"][0]) == {"at", "model", "duration_s", "said"}


def test_refusals() -> None:
    """The last refusals are kept; long names are cut."""
    recents = Recents()
    for number in range(3 * MOST_REFUSALS):
        data = {
            "status": 429,
            "kind": "bucket",
            "scope": "\ud800" + "x" * 999,
            "retry_after_s": number,
        }
        recents.take(Event(name="refused", data=data, at_unix_s=number))
    recents.take(Event(name="waiting", data={"limit": "l"}))
    assert len(recents.refusals) == MOST_REFUSALS
    assert recents.refusals[0]["at"] == 3 * MOST_REFUSALS - 1
    shown = recents.refusals[0]["scope"]
    assert shown.startswith("\\ud800x") and shown.count("x") == LONGEST_NAME - 1
    orjson.dumps(recents.refusals)
