"""Reminders stand where they are due, and stay there in every later request."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.failures import looks_failed
from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.reminders.directives import names_of, prepare
from batchwrap.core.reminders.schedule import Offered, Walk
from batchwrap.core.tools.find import find
from batchwrap.core.tools.multi import multi_tools
from batchwrap.directives import Directive
from batchwrap.options import Batching, Options, Reminders
from tests.core.harness import Bench, answer, call, entries, specs
from tests.strategies import EDIT_FILE, READ_FILE

TODO: dict[str, Any] = {"type": "function", "function": {"name": "todo_write"}}
TOOLS = [READ_FILE, EDIT_FILE, TODO]
MULTIS = multi_tools(find(specs(*TOOLS), Batching()), set(), mixed=True)
NAMED = " ".join(f"{number}_{k}.py" for number in range(60) for k in range(3))
USER = {"role": "user", "content": f"Do it: {NAMED}"}


def walk_with(options: Reminders) -> Walk:
    """A walk before the first message, for an agent that reads, edits and has a to-do list."""
    names = names_of(specs(*TOOLS), MULTIS)
    offered = Offered(
        multis={multi.name: multi for multi in MULTIS},
        cap=8,
        failed=looks_failed,
        ready=prepare(options.directives, names),
        todo=names["todo"],
        batches={"read_files"},
    )
    return Walk.begin(offered, options)


def remind(messages: list[Any], options: Reminders) -> tuple[list[Any], int]:
    """The messages with their reminders, and how many they are."""
    walk = walk_with(options)
    return CHAT_FORMAT.write(walk.go(entries(messages))), walk.reminded


def turn(name: str, number: int, calls: int = 1, result: str = "ok") -> list[dict[str, Any]]:
    """One assistant turn with its results."""
    made = [call(f"c{number}_{k}", name, {"path": f"{number}_{k}.py"}) for k in range(calls)]
    return answer({"tool_calls": made}, {one["id"]: result for one in made})


def conversation(*names: str) -> list[dict[str, Any]]:
    """A conversation of one call in each turn; every file is named in the prompt."""
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


def said(messages: list[dict[str, Any]], **options: Any) -> list[str]:
    """The reminders that stand in a conversation, without their brackets."""
    texts = [message.get("content") for message in remind(messages, Reminders(**options))[0]]
    return [text.split("[Reminder: ")[1][:-1] for text in texts if "[Reminder: " in str(text)]


def test_every_n_turns() -> None:
    """A reminder stands after every N assistant turns without a batch."""
    assert places(conversation(*["other"] * 7), every=3) == [3, 6]


def test_never_by_count() -> None:
    """Without a number of turns only lapses bring reminders."""
    assert places(conversation(*["other"] * 20), every=None) == []
    assert places(conversation("read_file", "read_file"), every=None) == [2]


def test_none_at_the_start() -> None:
    """The first request carries none: the tool's description is as recent."""
    assert places([USER], every=1) == []


@pytest.mark.parametrize("name", ["multi_read", "batch", "read_files"])
def test_silent_after_a_batch(name: str) -> None:
    """A multi-call, or one of a multi-tool of the agent's own, starts the count anew."""
    assert places(conversation("other", "other", name, "other", "other"), every=3) == []


def test_silent_after_parallel_calls() -> None:
    """Reads made in parallel are a batch; the same call twice is not."""
    parallel = [*conversation("other", "other"), *turn("read_file", 9, calls=2)]
    assert places([*parallel, *turn("other", 10)], every=3) == []
    twice = answer({"tool_calls": [call(key, "read_file", {"path": "a.py"}) for key in "ab"]})
    assert places([*conversation("other", "other"), *twice], every=3) == [3]


def test_on_a_lapse() -> None:
    """Two single reads in a row bring the reminder at once, with the names of both tools."""
    messages = conversation("read_file", "read_file")
    assert places(messages) == [2]
    reminded, count = remind(messages, Reminders())
    assert count == 1
    assert reminded[-1]["content"].startswith("ok\n\n[Reminder: every call sends")
    assert "your last two read_file calls could have been one multi_read" in reminded[-1]["content"]
    assert places(messages, on_lapse=False) == []


def test_a_lapse_has_the_calls_own_arguments() -> None:
    """A directive may show the call: ranges are spelled out; long texts are not repeated."""
    old = {"path": "0_0.py", "old_string": "x" * 99, "new_string": "y"}
    made = [call("a", "edit_file", old), call("b", "edit_file", {**old, "old_string": "z"})]
    messages = [USER, *(message for one in made for message in answer({"tool_calls": [one]}))]
    own = Directive("own", "better: {multi}({call}).", kind="lapse")
    [text] = said(messages, directives=[own])
    start = text.index("multi_edit(") + len("multi_edit(")
    assert json.loads(text[start : text.index(")", start)])["files"] == [
        {"path": "0_0.py", "old_string": "…", "new_string": "y"},
        {"path": "0_0.py", "old_string": "z", "new_string": "y"},
    ]


def test_a_lapse_is_not_nagged_about() -> None:
    """After a reminder the model has three turns before the next one."""
    assert places(conversation(*["read_file"] * 8)) == [2, 5, 8]
    assert places(conversation(*["read_file"] * 8), cooldown=5) == [2, 7]


def test_the_same_call_again_is_no_lapse() -> None:
    """Repeating a call is not a batch that was missed, and does not hide one that was."""
    messages = [USER, *turn("read_file", 0), *turn("read_file", 0)]
    assert places(messages) == []
    assert places([*messages, *turn("read_file", 1)]) == [3]


def test_what_was_not_known_is_no_lapse() -> None:
    """A file that only the first one named could not have been read along with it."""
    first = answer({"tool_calls": [call("a", "read_file", {"path": "0_0.py"})]}, {"a": "see u.py"})
    second = answer({"tool_calls": [call("b", "read_file", {"path": "src/u.py"})]})
    assert places([USER, *first, *second]) == []
    named = {"role": "user", "content": "Do it: 0_0.py and src/u.py"}
    assert places([named, *first, *second]) == [0, 2]


def test_what_follows_a_failure_is_no_lapse() -> None:
    """A second attempt rests on the first one's error."""
    assert places([USER, *turn("read_file", 0, result="Error: no"), *turn("read_file", 1)]) == []


@pytest.mark.parametrize("arguments", ["{", "5", '{"limit": 3}'])
def test_arguments_that_name_no_file(arguments: str) -> None:
    """Calls without a path that can be read are no lapse."""
    made = [answer({"tool_calls": [call(key, "read_file", arguments)]}) for key in "ab"]
    assert places([USER, *made[0], *made[1]]) == []


def test_named_in_a_call() -> None:
    """A file that the model itself named before was known, too."""
    edit = answer({"tool_calls": [call("e", "other", {"see": "src/u.py"})]})
    reads = [
        answer({"tool_calls": [call(path, "read_file", {"path": path})]})
        for path in ("0_0.py", "lib/u.py")
    ]
    assert places([USER, *edit, *reads[0], *reads[1]]) == [3]


def test_other_calls_between_are_no_lapse() -> None:
    """A read that follows an edit may depend on it."""
    assert places(conversation("read_file", "edit_file", "read_file")) == []


def test_turns_for_the_to_do_list_alone() -> None:
    """Two of them bring the reminder to call it along with others; one beside a read is none."""
    alone = conversation("todo_write", "read_file", "todo_write")
    assert places(alone) == [3]
    assert said(alone)[0].startswith("todo_write needs no turn of its own")
    beside = answer({"tool_calls": [call("a", "todo_write", {}), call("b", "read_file", {})]})
    assert places([USER, *beside, *beside, *beside]) == []
    assert places(alone, on_lapse=False) == []


def test_maximum() -> None:
    """There are at most so many reminders in one conversation."""
    assert places(conversation(*["other"] * 9), every=2, max_per_conversation=2) == [2, 4]
    assert places(conversation(*["other"] * 9), every=1, max_per_conversation=0) == []


def test_after_the_last_result() -> None:
    """With several results, the reminder stands at the end of the last one."""
    messages = [USER, *turn("read_file", 0, calls=1), *turn("other", 1, calls=3)]
    reminded, _ = remind(messages, Reminders(every=2))
    assert reminded[:-1] == messages[:-1]
    assert "multi_read" in reminded[-1]["content"]


def test_not_before_all_results() -> None:
    """A turn is judged when all its calls have their results."""
    messages = [USER, *turn("other", 0, calls=3)]
    assert places(messages[:-1], every=1) == []
    assert places(messages, every=1) == [1]


def test_several_general_ones_take_turns() -> None:
    """Of several directives of one kind the one that was given least is next."""
    own = [Directive("a", "First."), Directive("b", "Second."), Directive("c", "No {nothing}.")]
    texts = said(conversation(*["other"] * 5), every=1, directives=own)
    assert texts == ["First.", "Second.", "First.", "Second.", "First."]


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
        # As in a text, so that the prompt stays the same whether it comes as text or as parts.
        assert last["content"][-1]["text"].startswith("\n\n[Reminder:" if before else "[Reminder:")
    else:
        assert last["content"].split("\n\n")[:-1] == before


@pytest.mark.parametrize("content", [5, {"text": "a"}, True])
def test_content_that_nobody_understands(content: Any) -> None:
    """It is left alone."""
    messages = [USER, {"role": "assistant", "content": "ok"}, {"role": "user", "content": content}]
    assert remind(messages, Reminders(every=1)) == (messages, 0)


def test_waves_are_one_turn() -> None:
    """What the agent got in two turns, the second without a round trip, is one batch."""
    bench = Bench(Options(reminders=Reminders(every=1)))
    body = {"messages": [USER], "tools": [READ_FILE, EDIT_FILE]}
    edits = [{"path": "0_0.py", "old_string": old, "new_string": "z"} for old in ("x", "y")]
    message = {"tool_calls": [call("c", "multi_edit", {"files": edits})]}
    history = bench.run(body, message, results=lambda made: "ok")
    assert [m["role"] for m in history] == ["user", *["assistant", "tool"] * 2]
    sent = bench.request({**body, "messages": history})
    assert sent is not None
    assert "[Reminder: " not in str(sent["messages"])


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
