"""Reminders stand where they are due, and stay there in every later request."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.reminders.schedule import Offered, Walk
from batchwrap.core.views.deliver import looks_failed
from batchwrap.core.views.find import find
from batchwrap.core.views.multi import multi_tools
from batchwrap.options import Batching, Options, Reminders
from tests.core.harness import Bench, answer, call
from tests.strategies import EDIT_FILE, READ_FILE

MULTIS = multi_tools(find([READ_FILE], Batching()), set(), mixed=False)
USER = {"role": "user", "content": "Do it."}


def remind(messages: list[Any], options: Reminders) -> tuple[list[Any], int]:
    """The messages with their reminders, and how many they are."""
    multis = {multi.name: multi for multi in MULTIS}
    walk = Walk.begin(Offered(multis=multis, cap=8, failed=looks_failed), options)
    return walk.go(messages), walk.reminded


def turn(name: str, number: int, calls: int = 1) -> list[dict[str, Any]]:
    """One assistant turn with its results."""
    made = [call(f"c{number}_{k}", name, {"path": f"{number}_{k}.py"}) for k in range(calls)]
    return answer({"tool_calls": made})


def conversation(*names: str) -> list[dict[str, Any]]:
    """A conversation of one call in each turn."""
    turns = [message for number, name in enumerate(names) for message in turn(name, number)]
    return [USER, *turns]


def places(messages: list[dict[str, Any]], **options: Any) -> list[int]:
    """The assistant turns after which a reminder stands."""
    reminded, _ = remind(messages, Reminders(**options))
    changed = [new is not old for new, old in zip(reminded, messages, strict=True)]
    turns, found = 0, []
    for message, here in zip(messages, changed, strict=True):
        turns += message["role"] == "assistant"
        if here:
            found.append(turns)
    return found


def test_every_n_turns() -> None:
    """A reminder stands after every N assistant turns without a batch."""
    assert places(conversation(*["edit_file"] * 7), every=3) == [3, 6]


def test_none_at_the_start() -> None:
    """The first request carries none: the tool's description is as recent."""
    assert places([USER], every=1) == []


def test_silent_after_a_batch() -> None:
    """A multi-call, or reads made in parallel, start the count anew."""
    multi = conversation("edit_file", "edit_file", "multi_read", "edit_file", "edit_file")
    assert places(multi, every=3) == []
    parallel = [*conversation("edit_file", "edit_file"), *turn("read_file", 9, calls=2)]
    assert places([*parallel, *turn("edit_file", 10)], every=3) == []


def test_on_a_lapse() -> None:
    """Two single reads in a row bring the reminder at once, with the batch spelled out."""
    messages = conversation("read_file", "read_file")
    assert places(messages) == [2]
    reminded, count = remind(messages, Reminders())
    assert count == 1
    assert reminded[-1]["content"].startswith("text of 0\n\n[Reminder: your last two read_file")
    assert 'multi_read({"files":[{"path":"0_0.py"},{"path":"1_0.py"}]})' in reminded[-1]["content"]
    assert places(messages, on_lapse=False) == []


def test_a_lapse_is_not_nagged_about() -> None:
    """After a reminder the model has three turns before the next one."""
    assert places(conversation(*["read_file"] * 8)) == [2, 5, 8]


def test_the_same_file_again_is_no_lapse() -> None:
    """Repeating a call is not a batch that was missed."""
    messages = [USER, *turn("read_file", 0), *turn("read_file", 0)]
    assert places(messages) == []


def test_other_calls_between_are_no_lapse() -> None:
    """A read that follows an edit may depend on it."""
    assert places(conversation("read_file", "edit_file", "read_file")) == []


def test_maximum() -> None:
    """There are at most so many reminders in one conversation."""
    assert places(conversation(*["edit_file"] * 9), every=2, max_per_conversation=2) == [2, 4]
    assert places(conversation(*["edit_file"] * 9), every=1, max_per_conversation=0) == []


def test_after_the_last_result() -> None:
    """With several results, the reminder stands at the end of the last one."""
    messages = [USER, *turn("read_file", 0, calls=1), *turn("edit_file", 1, calls=3)]
    reminded, _ = remind(messages, Reminders(every=2))
    assert reminded[:-1] == messages[:-1]
    assert "multi_read" in reminded[-1]["content"]


@pytest.mark.parametrize(
    ("content", "before"),
    [
        ("text", ["text"]),
        ("", []),
        (None, []),
        ([{"type": "text", "text": "a"}], ["a"]),
        ([{"type": "image_url", "image_url": {"url": "x"}}], []),
    ],
)
def test_any_content(content: Any, before: list[str]) -> None:
    """The reminder joins texts, content parts, images and empty contents."""
    messages = [USER, {"role": "assistant", "content": "ok"}, {"role": "user", "content": content}]
    [*_, last] = remind(messages, Reminders(every=1))[0]
    if isinstance(content, list):
        assert last["content"][:-1] == content
        assert last["content"][-1]["text"].startswith("[Reminder:")
    else:
        assert last["content"].split("\n\n")[:-1] == before


@given(
    st.lists(st.sampled_from(["read_file", "edit_file", "multi_read"]), max_size=50),
    st.integers(1, 8),
)
def test_the_prefix_stays(names: list[str], every: int) -> None:
    """Request k + 1 starts with request k, to the byte, over 50 turns."""
    bench = Bench(Options(reminders=Reminders(every=every)))
    before: list[Any] = []
    for k in range(len(names) + 1):
        body = {"messages": conversation(*names[:k]), "tools": [READ_FILE, EDIT_FILE]}
        sent = bench.request(body)
        assert sent is not None
        assert sent["messages"][: len(before)] == before
        before = sent["messages"]
