"""Read-ahead goes on only while it pays, and shows no more than its budget."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.moves import ids
from batchwrap.core.moves.read_ahead import hit_rate, kept
from tests.core.harness import call, entries
from tests.core.moves.read_ahead.conversations import paths, read, turn, user
from tests.strategies import texts


def ahead_of(*added_paths: str) -> list[dict[str, Any]]:
    """A read to which others were added."""
    return read("start.py", ahead=tuple({"path": path} for path in added_paths))


def says(*said: str) -> list[dict[str, Any]]:
    """Turns of the model that only speak."""
    return [{"role": "assistant", "content": text} for text in said]


def test_too_few_say_nothing() -> None:
    """There is no rate while fewer than four are judged."""
    assert hit_rate(entries([])) is None
    assert hit_rate(entries([*ahead_of("a.py", "b.py", "c.py"), *says("", "", "")])) is None
    assert hit_rate(entries([*ahead_of("a.py", "b.py", "c.py", "d.py"), *says("", "")])) is None
    assert hit_rate(entries([*ahead_of("a.py", "b.py", "c.py", "d.py"), *says("", "", "")])) == 0


def test_wanted_reads() -> None:
    """A read is wanted if the model names its file within three turns, in words or calls."""
    messages = ahead_of("src/a.py", "b.py", "c.py", "x/__init__.py")
    named = turn("edit_file", {"path": "b.py", "old_string": "1", "new_string": "2"}, text="bc.py")
    silent = says("It is in a.py: see y/__init__.py", "", "", "c.py")
    assert hit_rate(entries([*messages, *named, *silent])) == 0.5


def test_added_reads_and_results_do_not_count() -> None:
    """What read-ahead does itself, or tools and users say, proves nothing."""
    messages = ahead_of("a.py", "b.py", "c.py", "d.py")
    again = read("z.md", "a.py b.py", ahead=({"path": "a.py"}, {"path": "b.py"}))
    assert hit_rate(entries([*messages, *user("c.py"), *again, *says("", "")])) == 0


def test_the_rest_of_a_turn_is_no_turn() -> None:
    """Added reads that an agent runs one by one wait for the model's turns, not for its own."""
    [own, *rest] = ahead_of("a.py", "b.py", "c.py", "d.py")
    one_by_one = [
        message
        for made, answer in zip(own["tool_calls"], rest, strict=True)
        for message in ({**own, "tool_calls": [made]}, answer)
    ]
    assert hit_rate(entries([*one_by_one, *says("", "")])) is None
    assert hit_rate(entries([*one_by_one, *says("", "a.py", "")])) == 0.25


def test_waves_are_no_turns() -> None:
    """Calls of one multi-call that go out one after the other are one turn of the model."""
    wave = [
        call(ids.encode(ids.DerivedId("wave", place, 0, "e", "c9")), "edit_file", {"path": "z.md"})
        for place in range(2)
    ]
    waves = [{"role": "assistant", "tool_calls": [made]} for made in wave]
    messages = ahead_of("a.py", "b.py", "c.py", "d.py")
    assert hit_rate(entries([*messages, *waves, *says("")])) is None
    assert hit_rate(entries([*messages, *waves, *says("", "")])) == 0


@pytest.mark.parametrize(
    ("later", "rate"),
    [
        (turn("read_file", {"path": "a.md", "offset": 150}), 1.0),
        (turn("edit_file", {"path": "a.md", "old_string": "1", "new_string": "2"}), 1.0),
        (turn("read_file", {"path": "a.md", "offset": 1}), 0.0),
        (says("a.md"), 0.0),
    ],
)
def test_wanted_parts(later: list[dict[str, Any]], rate: float) -> None:
    """The next part of a file is wanted if the model goes on behind its start, or edits."""
    part = ({"path": "a.md", "offset": 100},)
    messages = [
        message
        for _ in range(4)
        for message in (*read("a.md", "x", offset=50, ahead=part), *later, *says("", ""))
    ]
    assert hit_rate(entries(messages)) == rate


def test_it_stops_by_itself() -> None:
    """Nothing is added in a conversation in which too few added reads were wanted."""
    messages = [*ahead_of("e.py", "f.py", "g.py", "h.py"), *says("", "e.py", ""), *user("b.py")]
    assert hit_rate(entries(messages)) == 0.25
    assert paths(messages, "a.py", min_hit_rate=0.25) == ["b.py"]
    assert paths(messages, "a.py", min_hit_rate=0.3) == []


def test_what_is_kept() -> None:
    """Results are shown while they fit; never failures, pictures, or what has no result."""
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    results: list[list[object]] = [
        ["x" * 400],
        ["x" * 400_000],
        ["Error: no such file"],
        ["y" * 40],
        ["see", image],
        [],
        [""],
        [5],
        ["x" * 400],
    ]
    assert kept(results, 200) == [True, False, False, True, False, False, False, False, False]
    assert kept([["fine"], ["nope"]], 9, failed=lambda text: text == "nope") == [True, False]


@given(st.lists(st.lists(texts | st.none() | st.integers(), max_size=3)), st.integers(1, 50))
def test_never_more_than_the_budget(results: list[list[object]], max_tokens: int) -> None:
    """What is shown is at most the budget together, one answer for each result."""
    shown = kept(results, max_tokens)
    assert len(shown) == len(results)
    total = sum(
        len("\n".join(map(str, result))) // 4
        for result, is_shown in zip(results, shown, strict=True)
        if is_shown
    )
    assert total <= max_tokens
