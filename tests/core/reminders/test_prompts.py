"""What the conversation alone brings: a prompt that names files, a plan that turns to edits."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.exchange.memory import Memory
from batchwrap.core.model import Model
from batchwrap.core.reminders.prompts import Named
from batchwrap.directives import DEFAULT_DIRECTIVES
from batchwrap.options import Batching, Options, ReadAhead, Reminders
from tests.core.apis import APIS, MESSAGES, Api, each_api
from tests.core.harness import Bench, answer, call, entries
from tests.strategies import EDIT_FILE, GREP, READ_FILE
from tests.work import assert_linear

Messages = list[dict[str, Any]]
BODY: dict[str, Any] = {"model": "m", "tools": [READ_FILE, EDIT_FILE, GREP]}
PREFETCH, GROUP, LAPSE = "before you begin,", "from here on,", "every call sends"
CLOSE: dict[str, Any] = {"role": "assistant", "content": "Done."}


def user(text: str) -> dict[str, Any]:
    """A prompt."""
    return {"role": "user", "content": text}


def turn(number: int, name: str, *paths: str, result: str = "ok") -> Messages:
    """A turn of the model: a single call for a path, and one multi-call for several."""
    items: list[dict[str, Any]] = [{"path": path} for path in paths]
    if name == "edit_file":
        items = [{**item, "old_string": f"{number}", "new_string": "n"} for item in items]
    if name == "grep":
        items = [{"pattern": paths[0]}]
    if len(items) == 1:
        made = call(f"c{number}", name, items[0])
    else:
        made = call(f"c{number}", f"multi_{name.removesuffix('_file')}", {"files": items})
    return answer({"tool_calls": [made]}, {f"c{number}": result})


def told(messages: Messages, bench: Bench | None = None, **more: Any) -> list[tuple[int, str]]:
    """(place, first three words) of each reminder in what is sent of a conversation."""
    sent = (bench or Bench()).sent({**BODY, **more, "messages": messages})
    return [
        (place, " ".join(part.split()[:3]))
        for place, message in enumerate(sent)
        for part in str(message.get("content")).split("[Reminder: ")[1:]
    ]


def with_options(**options: Any) -> Bench:
    """A bench with these options for reminders."""
    return Bench(Options(reminders=Reminders(**options)))


@each_api
def test_a_prompt_that_names_files(api: Api) -> None:
    """The first request has the directive, in no mode at all, and each later one at its place."""
    bench = Bench(api=api)
    messages = [user("Compare src/a.py with src/b.py, please.")]
    [first] = bench.sent({**BODY, "messages": messages})
    before, reminder = first["content"].split("\n\n[Reminder: ")
    assert before == "Compare src/a.py with src/b.py, please."
    assert reminder.startswith("before you begin, read all files named in the prompt in one multi_")
    for number in range(3):
        messages += turn(number, "grep", f"{number}")
        assert told(messages, bench) == told(messages, Bench(api=api)) == [(0, PREFETCH)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fix a.py and b.py.", True),
        ("Fix `./src/a.py`, then @docs/b.md:12.", True),
        ("Fix a.py, A.PY and ./a.py.", False),
        ("Fix a.py.", False),
        ("Fix what is in src/ and tests/.", False),
        ("Look at https://example.com/a.html and https://example.com/b.html.", False),
        ("Do we need node.js and asp.net?", False),
        ("Do we need Moment.js, lodash.js, or llama.cpp and whisper.cpp?", False),
        ("Ask me@example.org and you@example.org.", False),
        ("See python.org and www.gnu.org.", False),
        ("See python.org/a.html and docs.python.org/b.html.", False),
        ("From 9 a.m. to 5 p.m.", False),
        ("J.R.R. Tolkien in Washington D.C., of all places.", False),
        ("Use v1.2.3 or 2.0.1, e.g. with 10.0.0.1 and 3.14.", False),
        ("Fix docs/todo.org and docs/notes.org.", True),
        ("Fix a.c and b.h.", True),
        ("Copy .env and secrets.yaml.", False),
        (" ".join(f"{number}.py" for number in range(20)), True),
        (" ".join(f"{number}.py" for number in range(21)), False),
        ("<system-reminder>Open: a.py, b.py</system-reminder>Go on.", False),
        ("<system-reminder>Open: c.py</system-reminder>Compare a.py and b.py.", True),
        ("Go on.\n<environment_details>\na.py\nb.py\n</environment_details>", False),
        ("", False),
        ("x" * 200_000, False),
        ("a.py " * 100_000, False),
        ("/" * 50_000 + "a.py " + "../" * 50_000 + "b.py", False),
    ],
)
def test_what_names_files(text: str, expected: bool) -> None:
    """Two files or more, in the words of a person and not in what an agent adds to them."""
    assert bool(told([user(text)])) is expected


def test_content_of_parts() -> None:
    """The texts of a content count together, and what is not a text does not."""
    parts = [{"type": "text", "text": "Compare a.py"}, {"type": "text", "text": "and b.py."}]
    assert told([{"role": "user", "content": parts}]) == [(0, PREFETCH)]
    image = {"type": "image_url", "image_url": {"url": "https://a.b/a.py b.py c.py"}}
    assert told([{"role": "user", "content": [parts[0], image]}]) == []


def test_only_the_newest_prompt_counts() -> None:
    """A text that agents send before the prompt names files that need not be read."""
    rules = user("# AGENTS.md\nSee docs/style.md and docs/tests.md.")
    assert told([rules, user("Fix a.py.")]) == []
    assert told([user("Fix a.py and b.py."), user("<system-reminder>x</system-reminder>")]) == [
        (1, PREFETCH)
    ]
    assert told([user("Fix a.py and b.py."), user("But not now.")]) == []


def test_a_later_prompt() -> None:
    """A later prompt has it, too, once, if it names files that are new."""
    messages = [user("Compare a.py and b.py."), *turn(0, "read_file", "a.py", "b.py"), CLOSE]
    assert told([*messages, user("Now rename f in a.py and in ./b.py.")]) == [(0, PREFETCH)]
    assert told([*messages, user("And b.py with c.py?")]) == [(0, PREFETCH)]
    again = [*messages, user("Now c.py and d.py.")]
    assert told(again) == [(0, PREFETCH), (4, PREFETCH)]
    assert told([*again, *turn(1, "grep", "x"), *turn(2, "grep", "y")]) == told(again)


def test_what_the_model_knows_already() -> None:
    """Files that a call has named are known; those that a result has listed are not."""
    looked = [user("Look around."), *turn(0, "grep", "x", result="src/a.py:1:x\nsrc/b.py:2:x")]
    assert told([*looked, CLOSE, user("Fix a.py and b.py.")]) == [(4, PREFETCH)]
    read = [*looked, *turn(1, "read_file", "/repo/src/a.py", "/repo/src/b.py"), CLOSE]
    assert told([*read, user("Fix src/a.py and b.py.")]) == []
    assert told([*read, user("Fix lib/a.py and lib/b.py.")]) == [(6, PREFETCH)]


def test_a_list_that_is_in_every_prompt() -> None:
    """Who names the same files each time is told once."""
    messages: Messages = []
    for number in range(6):
        messages += [user(f"Step {number}. The files: a.py, b.py, c.py."), CLOSE]
    assert told(messages[:-1]) == [(0, PREFETCH)]


@pytest.mark.parametrize("follows", [False, True])
def test_prompts_that_always_name_other_files(follows: bool) -> None:
    """A model that ignores it twice is left alone; one that follows gets it up to the maximum."""
    messages: Messages = []
    for number in range(20):
        paths = [f"{number}_{name}.py" for name in "ab"]
        messages.append(user(f"Compare {paths[0]} with {paths[1]}."))
        for one in [paths] if follows else [[path] for path in paths]:
            messages += turn(len(messages), "read_file", *one)
        messages.append(CLOSE)
    given = [words for _, words in told(messages[:-1], with_options(every=None, on_lapse=False))]
    assert given == [PREFETCH] * (12 if follows else 2)


def test_a_lapse_after_it() -> None:
    """It holds no other reminder back: two single reads are a lapse at once."""
    messages = [user("Compare a.py and b.py.")]
    messages += [*turn(0, "read_file", "a.py"), *turn(1, "read_file", "b.py")]
    assert told(messages) == [(0, PREFETCH), (4, LAPSE)]


@pytest.mark.parametrize("placement", ["user", "system"])
def test_placement(placement: Any) -> None:
    """It stands where the option says."""
    bench = with_options(placement=placement)
    first, second = bench.sent({**BODY, "messages": [user("Compare a.py and b.py.")]})
    assert first == user("Compare a.py and b.py.")
    assert second["role"] == placement and "before you begin" in second["content"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_per_conversation": 0}, False),
        ({"directives": [one for one in DEFAULT_DIRECTIVES if one.kind != "prefetch"]}, False),
        ({"directives": [replace(one, when="plan") for one in DEFAULT_DIRECTIVES]}, False),
        ({"directives": [replace(one, when="build") for one in DEFAULT_DIRECTIVES]}, True),
    ],
)
def test_switched_off(options: dict[str, Any], expected: bool) -> None:
    """A directive is left out, or kept for plan mode, as any other."""
    assert bool(told([user("Compare a.py and b.py.")], with_options(**options))) is expected


def test_no_multi_tool_for_it() -> None:
    """It is not given where it would name a tool that is not there."""
    for tools in ([EDIT_FILE], [GREP], []):
        assert told([user("Compare a.py and b.py.")], tools=tools) == []


@each_api
def test_models_that_think(api: Api) -> None:
    """It is withheld where the model is known to think, or the request says so."""
    bench, messages = Bench(api=api), [user("Compare a.py and b.py.")]
    bench.model = Model(thinks=True)
    assert told(messages, bench) == []
    assert [one.data["reason"] for one in bench.metrics.events if one.name == "withheld"] == [
        "thinking"
    ]


def test_a_plan_that_turns_to_edits() -> None:
    """A first edit alone, after two turns that looked, brings the grouping directive."""
    looked = [user("Fix it."), *turn(0, "grep", "f"), *turn(1, "read_file", "a.py")]
    assert told(looked) == []
    edited = [*looked, *turn(2, "edit_file", "a.py")]
    assert told(edited) == [(6, GROUP)]
    assert told([*edited, *turn(3, "grep", "g"), *turn(4, "edit_file", "b.py")]) == [(6, GROUP)]


@pytest.mark.parametrize(
    "turns",
    [
        [("edit_file", "a.py")],
        [("read_file", "a.py"), ("edit_file", "a.py")],
        [("grep", "f"), ("read_file", "a.py"), ("edit_file", "a.py", "b.py")],
        [("grep", "f"), ("read_file", "a.py"), ("edit_file", "a.py", "b.py"), ("edit_file", "c")],
    ],
    ids=["nothing was read", "hardly", "a batch", "after a batch"],
)
def test_edits_without_a_plan(turns: list[tuple[str, ...]]) -> None:
    """Who has not looked yet, or groups edits anyway, is not told."""
    messages = [user("Fix it.")]
    for number, (name, *paths) in enumerate(turns):
        messages += turn(number, name, *paths)
    assert told(messages) == []


def test_an_edit_that_fails() -> None:
    """The next call is a reaction to it; the directive comes with the edit that succeeds."""
    looked = [user("Fix it."), *turn(0, "read_file", "a.py", "b.py")]
    failed = [*looked, *turn(1, "edit_file", "a.py", result="Error: old_string not found")]
    assert told(failed) == []
    assert told([*failed, *turn(2, "edit_file", "a.py")]) == [(6, GROUP)]


def test_grouping_is_gated() -> None:
    """Planning holds it back, and a speed at which grouping does not pay."""
    looked = [user("Fix it."), *turn(0, "read_file", "a.py", "b.py")]
    planning = Bench()
    planning.mode = "plan"
    messages = [*looked, *turn(1, "edit_file", "plan.md")]
    assert GROUP not in str(told(messages, planning))
    slow = Bench()
    slow.memory.observations.judge_pace("m", 50)
    assert told(messages, slow) == []
    assert told(messages, with_options(directives=DEFAULT_DIRECTIVES[:1])) == []


def test_both_in_one_conversation() -> None:
    """The usual way of a job: the prompt's files, one edit alone, and then edits in a batch."""
    messages = [user("Rename f in a.py and b.py."), *turn(0, "read_file", "a.py", "b.py")]
    messages += turn(1, "edit_file", "a.py")
    assert told(messages) == [(0, PREFETCH), (4, GROUP)]
    bench = Bench()
    messages += turn(2, "edit_file", "b.py", "c.py")
    told(messages, bench)
    judged = [one.data for one in bench.metrics.events if one.name == "judged"]
    assert [(one["directive"], one["followed"]) for one in judged] == [("group_edits", True)]


_TURNS = st.one_of(
    st.tuples(
        st.sampled_from(["read_file", "edit_file", "grep"]),
        st.lists(st.sampled_from([f"{name}.py" for name in "abcdef"]), min_size=1, max_size=3),
    ),
    st.lists(st.sampled_from([f"src/{name}.py" for name in "abcdefgh"]), max_size=4),
)


@given(
    st.sampled_from(APIS),
    st.lists(_TURNS, max_size=25),
    st.sampled_from(["append", "user", "system"]),
    st.integers(0, 5),
    st.data(),
)
def test_the_prefix_stays(
    api: Api, turns: list[Any], placement: Any, most: int, data: st.DataObject
) -> None:
    """Whatever prompts and turns come: no reminder moves, and there are not more than allowed."""
    bench = Bench(
        Options(reminders=Reminders(placement=placement, max_per_conversation=most)), api=api
    )
    messages, before = [user("Begin with a.py and b.py.")], list[bytes]()
    for number, one in enumerate([None, *turns]):
        if isinstance(one, tuple):
            messages += turn(number, one[0], *one[1])
        elif one is not None:
            messages += [CLOSE, user(f"Now {', '.join(one)}.")]
        if data.draw(st.booleans()):
            bench.memory = Memory()
        sent = bench.sent({**BODY, "messages": messages})
        written = [orjson.dumps(message) for message in sent]
        assert written[: len(before)] == before
        assert sum(str(one.get("content")).count("[Reminder: ") for one in sent) <= most
        before = written


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.data())
def test_thinking_that_begins_unasked(thoughts: list[bool], data: st.DataObject) -> None:
    """What was sent before the first signed turn stays, in any process, as it was."""
    bench = Bench(api=MESSAGES)
    body = MESSAGES.form.request({**BODY, "messages": [user("Compare a.py and b.py.")]})
    sent: Messages = []
    for number, thinks in enumerate(thoughts):
        if data.draw(st.booleans()):
            bench.memory = Memory()
        translator = bench.translator(body)
        view = translator.request()
        assert view is not None
        assert view["messages"][: len(sent)] == sent
        sent = view["messages"]
        name = data.draw(st.sampled_from(["read_file", "edit_file", "grep"]))
        made = {"type": "tool_use", "id": f"toolu_{number}", "name": name}
        blocks = [{**made, "input": {"path": f"{number}.py"}}]
        if thinks:
            blocks.insert(0, {"type": "thinking", "thinking": "Hm.", "signature": "s"})
        said: Any = {"type": "message", "role": "assistant", "content": blocks}
        said = translator.response({**said, "stop_reason": "tool_use"}) or said
        key = said["content"][-1]["id"]
        result = {"type": "tool_result", "tool_use_id": key, "content": "ok"}
        turn = [
            {"role": "assistant", "content": said["content"]},
            {"role": "user", "content": [result]},
        ]
        body = {**body, "messages": [*body["messages"], *turn]}


def test_all_messages_have_their_place() -> None:
    """The directive of a later prompt keeps its place when the conversation goes on from it."""
    bench, messages = Bench(), [user("Compare a.py and b.py.")]
    sent = [bench.sent({**BODY, "messages": messages})]
    for number in range(6):
        messages += [*turn(number, "grep", f"{number}"), CLOSE, user(f"{number}x.py, {number}y.py")]
        sent.append(bench.sent({**BODY, "messages": messages}))
    assert all(later[: len(one)] == one for one, later in pairwise(sent))


@each_api
def test_what_read_ahead_has_delivered(api: Api) -> None:
    """A read of a file that came with an earlier one is no lapse."""
    options = Options(batching=Batching(read_ahead=ReadAhead()))
    bench = Bench(options, api=api)
    body = {**BODY, "messages": [user("Look at a.py and b.py.")]}
    for path in ("a.py", "b.py"):
        made = [call(f"call_{path[0]}", "read_file", {"path": path})]
        said = {"role": "assistant", "content": None, "tool_calls": made}
        body = {**body, "messages": bench.run(body, said, results=lambda _: "text")}
    sent = bench.sent(body)
    assert "[read ahead] read_file b.py" in str(sent[2])
    assert "[Reminder: " not in str(sent[1:])


def test_names_in_many_prompts() -> None:
    """What is known of earlier prompts is not copied for the next one."""

    def steps(size: int) -> Iterator[None]:
        said = [user(f"Compare src/f{number}.py with src/main.py.") for number in range(size)]
        prompts, named = entries(said), Named()
        for upto in range(1, size + 1):
            named.read(prompts, upto)
            yield

    assert_linear(steps, 400)
