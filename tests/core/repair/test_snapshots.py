"""Snapshots of a text become deltas; deltas stay what they are."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from batchwrap.core.repair.snapshots import TextSnapshots

TEXTS = st.text(st.sampled_from("abcdef \n"), min_size=20, max_size=80)


def read(texts: list[str], finish: str | None = "stop") -> tuple[list[dict[str, Any]], list[int]]:
    """What comes out for deltas with these texts, and a 1 for each text in snapshots."""
    counted: list[int] = []
    snapshots = TextSnapshots(lambda: counted.append(1))
    given_ = [{"index": 0, "delta": {"content": text}, "finish_reason": None} for text in texts]
    out = [one for choice in given_ for one in snapshots.feed(choice)]
    if finish is not None:
        out += snapshots.feed({"index": 0, "delta": {}, "finish_reason": finish})
    return out + snapshots.finish(), counted


def said(choices: list[dict[str, Any]]) -> str:
    """The text that a client puts together."""
    return "".join(choice["delta"].get("content", "") for choice in choices)


@given(TEXTS, st.lists(st.integers(1, 79), min_size=3, max_size=12), st.booleans())
def test_snapshots(text: str, cuts: list[int], ends: bool) -> None:
    """However a text is cut into snapshots, it comes out once."""
    places = [place for place in sorted(cuts) if place < len(text)]
    assume(len(set(places)) >= 3 and len(set(text)) >= 4)
    out, counted = read([text[:place] for place in [*places, len(text)]], "stop" if ends else None)
    assert (said(out), counted) == (text, [1])


@given(st.lists(st.text(st.sampled_from("ab="), max_size=4), max_size=80))
def test_deltas(texts: list[str]) -> None:
    """Deltas come out in their order, as the same texts, however much they repeat themselves."""
    out, counted = read(texts)
    assert [choice["delta"].get("content") for choice in out] == [*texts, None]
    assert counted == []


def test_nothing_waits_for_long() -> None:
    """A text that repeats itself without end goes out after so many deltas."""
    snapshots = TextSnapshots(lambda: None)
    out = []
    for number in range(1_000):
        out += snapshots.feed({"index": number, "delta": {"content": "na "}})
        assert len(snapshots.held) < 64
    assert [choice["index"] for choice in out] == list(range(1_000))
