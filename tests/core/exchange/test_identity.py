"""Whose calls are whose: agents that cut ids, edit and forget; users of one client; forgers."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchwrap.core.exchange.memory import Memory
from batchwrap.core.moves import ids
from batchwrap.core.moves.results import CUT_OFF
from batchwrap.options import Batching, Options, Reminders
from tests.core.apis import CHAT, MESSAGES, Api, each_api
from tests.core.harness import Bench, answer, call, chunk, completion, ran
from tests.core.samples import EDIT_REQUEST, EDIT_USER, edit, has_multi, key
from tests.strategies import examples, turns
from tests.work import assert_linear

PLAIN = Options(reminders=None)
NEVER = Options(batching=Batching(coalesce="never"), reminders=Reminders(every=2))
EDITS = {"files": [edit("a.py", "1"), edit("a.py", "2"), edit("b.py", "3")]}
MARK = {"cache_control": {"type": "ephemeral"}}
Message = dict[str, Any]
OPENAI_ID = "call_DdmO9pD3xa9XTPNJ32zg2hcA"

# What agents make of ids: pi cuts them to 40, for Mistral it keeps nine letters and digits; others
# have names of their own.
SHORTENED: dict[str, Callable[[str], str]] = {
    "kept": lambda call_id: call_id,
    "40": lambda call_id: call_id[:40],
    "9": lambda call_id: re.sub("[^a-zA-Z0-9]", "", call_id)[:9].ljust(9, "0"),
    "renamed": lambda call_id: f"x{hash(call_id) % 10**8:08}",
}


class Agent:
    """Runs what it is given, until the provider is asked, in a way of its own."""

    def __init__(self, bench: Bench, shorten: Callable[[str], str] = str) -> None:
        self.bench = bench
        self.shorten = shorten
        self.messages: list[Message] = [EDIT_USER]

    def body(self) -> dict[str, Any]:
        """Its next request."""
        return {**EDIT_REQUEST, "messages": self.messages}

    def take(self, message: Message) -> None:
        """Run all calls of an answer."""
        calls = [{**one, "id": self.shorten(one["id"])} for one in message.get("tool_calls") or ()]
        results = {one["id"]: f"<{one['function']['arguments']}>" for one in calls}
        self.messages = [*self.messages, *answer({**message, "tool_calls": calls}, results)]

    def turn(self, message: Message) -> None:
        """One answer of the provider, waves included."""
        self.take(self.bench.say(self.body(), message))
        for _ in range(100):
            local = self.local()
            if local is None:
                return
            self.take(local)
        raise AssertionError("it never ends")

    def local(self) -> Message | None:
        """The local answer to the next request, if there is one."""
        return self.bench.local(self.body())

    def sent(self) -> list[Message]:
        """What the provider gets."""
        return self.bench.sent(self.body())


def says(*calls: Message) -> Message:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def told(messages: list[Message]) -> str:
    """All results."""
    return "\n".join(str(m["content"]) for m in messages if m["role"] == "tool")


@each_api
@pytest.mark.parametrize("way", SHORTENED)
@examples(40, quick=12)
@given(turn=turns())
def test_ids_that_agents_shorten(api: Api, way: str, turn: tuple[Message, list[Any]]) -> None:
    """Every call runs once, and the model sees its own message again, whatever is left of ids."""
    message, means = turn
    names = {SHORTENED[way](made["id"]) for made in message["tool_calls"]}
    assume(has_multi(message) and len(names) == len(message["tool_calls"]))
    agent = Agent(Bench(PLAIN, api=api), SHORTENED[way])
    agent.turn(message)
    assert sorted(map(key, ran(agent.messages))) == sorted(map(key, means))
    sent = agent.sent()
    made = [one for m in sent for one in m.get("tool_calls") or ()]
    said = api.written(message)["tool_calls"]
    assert [one["function"] for one in made] == [one["function"] for one in said]
    assert len(sent) == 2 + len(made)
    assert "not run" not in told(sent)


@pytest.mark.parametrize("cut", [40, 32])
def test_long_ids_that_agents_cut(cut: int) -> None:
    """A provider's own ids may be cut where derived ones are not: what waits comes all the same."""
    made = [
        call(f"chatcmpl-tool-{name * 32}", *rest)
        for name, rest in {
            "a": ("multi_edit", EDITS),
            "b": ("read_file", {"path": "q.py"}),
            "c": ("batch", {"calls": [{"tool": "edit_file", "arguments": edit("a.py", "4")}]}),
        }.items()
    ]
    agent = Agent(Bench(PLAIN), lambda call_id: call_id[:cut])
    agent.turn(says(*made))
    assert len(ran(agent.messages)) == 5
    sent = [one for m in agent.sent() for one in m.get("tool_calls") or ()]
    assert [one["function"] for one in sent] == [one["function"] for one in made]


@each_api
@given(turns(), st.data())
def test_what_stands_in_the_history_counts(
    api: Api, turn: tuple[Message, list[Any]], data: st.DataObject
) -> None:
    """Arguments that a person or the agent has changed reach the model as they are now."""
    message, _ = turn
    assume(has_multi(message))
    agent = Agent(Bench(PLAIN, api=api))
    agent.turn(message)
    calls = [one for m in agent.messages for one in m.get("tool_calls") or ()]
    changed = data.draw(st.sampled_from(calls))
    given_now = {**json.loads(changed["function"]["arguments"]), "note": "a person was here"}
    changed["function"]["arguments"] = json.dumps(given_now)
    known, fresh = agent.sent(), Agent(Bench(PLAIN, api=api))
    fresh.messages = agent.messages
    for sent in (known, fresh.sent()):
        assert json.dumps(sent).count("a person was here") >= 1
        assert "not run" not in told(sent)


@each_api
@given(turns(), st.data())
def test_results_by_id_whatever_stands_between(
    api: Api, turn: tuple[Message, list[Any]], data: st.DataObject
) -> None:
    """Pictures, messages and notes between results cost none of them, and stay in order."""
    message, _ = turn
    assume(has_multi(message) and "no result" not in json.dumps(message))
    agent = Agent(Bench(PLAIN, api=api))
    agent.turn(message)
    first, *rest = agent.messages[1:]
    mixed, others = [first], list[Message]()
    for one in rest:
        # All results of a turn stand at the beginning of one message of this API.
        is_free = api is not MESSAGES or one["role"] != "tool"
        for kind in data.draw(st.lists(st.sampled_from(["user", "system", "empty", "picture"]))):
            text = f"note {len(others)}"
            image = [{"type": "image_url", "image_url": {"url": text}}]
            other: Message = {"role": kind, "content": text}
            if kind == "empty":
                other = {"role": "assistant", "content": ""}
            elif kind == "picture":
                other = {"role": "user", "content": image}
            if is_free and mixed[-1] is not first and (kind != "empty" or api is not MESSAGES):
                others.append(other)
                mixed.append(other)
        mixed.append(one)
    agent.messages = [EDIT_USER, *mixed]
    for bench in (agent.bench, Bench(PLAIN, api=api)):
        agent.bench = bench
        sent = agent.sent()
        results = [one for one in agent.messages if one["role"] == "tool"]
        whole = told(sent)
        assert all(whole.count(one["content"]) >= 1 for one in results)
        assert "no result" not in whole
        notes = json.dumps([m for m in sent if m["role"] in ("user", "system")])
        assert re.findall(r"note \d+", notes) == re.findall(r"note \d+", json.dumps(others))
        if api is CHAT:
            assert [m for m in sent if m in others] == others
        pairs = [i for m in sent for i in [one["id"] for one in m.get("tool_calls") or ()]]
        assert [m["tool_call_id"] for m in sent if m["role"] == "tool"] == pairs


@each_api
@given(turns(), st.data())
def test_a_window(api: Api, turn: tuple[Message, list[Any]], data: st.DataObject) -> None:
    """What a window has cut off is said to be cut off, in the same process and in another."""
    message, _ = turn
    assume(has_multi(message))
    agent = Agent(Bench(PLAIN, api=api))
    agent.turn(message)
    starts = [n for n, one in enumerate(agent.messages) if one["role"] == "assistant"]
    assume(len(starts) > 1)
    start = data.draw(st.sampled_from(starts[1:]))
    agent.messages = [{"role": "user", "content": "summary"}, *agent.messages[start:]]
    # Said of an item: arguments and results may hold the same words.
    assert not re.search(r"^\[[\d/-]+\] not run", told(agent.sent()), re.MULTILINE)


def test_a_window_moves_on_while_calls_wait() -> None:
    """What was handed out and dropped by a window is not handed out again."""
    agent = Agent(Bench(PLAIN))
    edits = [edit("a.py", str(number)) for number in range(10, 14)]
    whole = says(call("c", "multi_edit", {"files": edits}), call("d", "multi_edit", EDITS))
    agent.take(agent.bench.ask(agent.body(), completion(whole))["choices"][0]["message"])
    done = list(ran(agent.messages))
    while (local := agent.local()) is not None:
        agent.take(local)
        agent.messages = [EDIT_USER, *agent.messages[-1 - len(local["tool_calls"]) :]]
        done += ran(agent.messages)
    assert len(done) == len(edits) + len(EDITS["files"])
    assert len(set(map(key, done))) == len(done)


def test_items_that_nobody_remembers() -> None:
    """Items that wait are not forgotten without a word where another process goes on."""
    reads = {"files": [{"path": f"{number}.py"} for number in range(12)]}
    agent = Agent(Bench(PLAIN))
    whole = says(call("c", "multi_read", reads))
    agent.take(agent.bench.ask(agent.body(), completion(whole))["choices"][0]["message"])
    assert len(ran(agent.messages)) < len(reads["files"])
    agent.bench = Bench(PLAIN)
    assert told(agent.sent()).endswith("were not run, as far as this conversation shows")


def test_cut_off_behind() -> None:
    """The same where the agent has dropped the later wave, as far as that is known."""
    agent = Agent(Bench(PLAIN))
    agent.turn(says(call("c", "multi_edit", EDITS)))
    agent.messages = [*agent.messages[:4], {"role": "user", "content": "go on"}]
    assert f"[2/3] {CUT_OFF}" in told(agent.sent())
    agent.bench = Bench(PLAIN)
    assert "[2/3] not run, as far as this conversation shows" in told(agent.sent())


CHANGES: dict[str, Callable[[dict[str, Any], int], dict[str, Any]]] = {
    "a mark at a part": lambda body, _: _last(
        body, lambda m: {**m, "content": [{"type": "text", "text": m["content"], **MARK}]}
    ),
    "a mark at a message": lambda body, _: _last(body, lambda m: {**m, **MARK}),
    "content as parts": lambda body, turn: _each(
        body,
        lambda m: (
            {**m, "content": [{"type": "text", "text": m["content"]}]}
            if turn % 2 and m.get("content")
            else m
        ),
    ),
    "a note behind": lambda body, _: {
        **body,
        "messages": [*body["messages"], {"role": "system", "content": "Mind the time."}],
    },
    "another temperature": lambda body, turn: {**body, "temperature": turn / 10},
    "tool_choice is reset": lambda body, turn: (
        body if turn else {**body, "tool_choice": "required"}
    ),
    "tools in another order": lambda body, turn: {**body, "tools": body["tools"][:: (-1) ** turn]},
    "a tool more": lambda body, turn: {
        **body,
        "tools": [
            *body["tools"],
            *({"type": "function", "function": {"name": f"t{n}"}} for n in range(turn)),
        ],
    },
    "spaces in arguments": lambda body, turn: _each(
        body,
        lambda m: (
            {
                **m,
                "tool_calls": [
                    {
                        **one,
                        "function": {
                            **one["function"],
                            "arguments": json.dumps(
                                json.loads(one["function"]["arguments"]),
                                indent=turn,
                                sort_keys=True,
                            ),
                        },
                    }
                    for one in m["tool_calls"]
                ],
            }
            if m.get("tool_calls")
            else m
        ),
    ),
    "a clock": lambda body, turn: {
        **body,
        "messages": [{"role": "system", "content": f"It is 12:0{turn}."}, *body["messages"]],
    },
}


def _last(body: dict[str, Any], change: Callable[[Message], Message]) -> dict[str, Any]:
    *before, last = body["messages"]
    return {**body, "messages": [*before, change(last)]}


def _each(body: dict[str, Any], change: Callable[[Message], Message]) -> dict[str, Any]:
    return {
        **body,
        "messages": [
            change(m) if m.get("content") or m.get("tool_calls") else m for m in body["messages"]
        ],
    }


def text_of(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or ""


@each_api
@pytest.mark.parametrize("change", CHANGES)
@examples(30, quick=8)  # of each of ten changes, in each API
@given(spoken=st.lists(turns(), min_size=1, max_size=4))
def test_benign_changes_cancel_nothing(
    api: Api, change: str, spoken: list[tuple[Message, Any]]
) -> None:
    """What waits still comes, and the text of the prompt's beginning stays as it was."""
    hold(api, change, spoken)


@each_api
@pytest.mark.parametrize("change", ["a mark at a part", "content as parts"])
def test_a_reminder_behind_parts(api: Api, change: str) -> None:
    """The model reads the same behind a result, whether that is a text or a list of parts."""
    reads = [("read_file", {"path": path}) for path in ("a.py", "b.py", "c.py", "d.py")]
    spoken = [(says(call(f"c{n}", *read)), [read]) for n, read in enumerate(reads)]
    sent = hold(api, change, spoken)
    assert "[Reminder" in "".join(sent)


def hold(api: Api, change: str, spoken: list[tuple[Message, Any]]) -> list[str]:
    """Hold a conversation whose requests change in a way that means nothing.

    Returns:
        The texts of the last request.
    """
    bench, history, before = Bench(NEVER, api=api), [EDIT_USER], list[str]()
    number = 0
    for message, means in spoken:
        asked = CHANGES[change]({**EDIT_REQUEST, "messages": history}, number)
        sent = [text_of(m) for m in bench.sent(asked)]
        if change not in ("a clock", "a note behind"):
            assert sent[: len(before)] == before
            before = sent
        answered: Message | None = bench.say(asked, message)
        ran_before = len(ran(history))
        while answered is not None:
            history = [*history, *answer(answered)]
            number += 1
            asked = CHANGES[change]({**EDIT_REQUEST, "messages": history}, number)
            answered = bench.local(asked)
        assert len(ran(history)) - ran_before == len(means)
    return before


@each_api
@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"tools": EDIT_REQUEST["tools"][:1]},
        {"tool_choice": "none"},
        {"tool_choice": {"type": "function", "function": {"name": "grep"}}},
    ],
)
def test_other_changes_cancel(api: Api, change: dict[str, Any]) -> None:
    """Another model, a tool that is gone, or a choice that is new: another matter."""
    agent = Agent(Bench(PLAIN, api=api))
    agent.take(agent.bench.say(agent.body(), says(call("c", "multi_edit", EDITS))))
    assert agent.bench.local({**agent.body(), **change}) is None
    assert agent.local() is not None


@each_api
@given(turns(), turns(), st.data())
def test_two_users_of_one_client(
    api: Api, one: tuple[Message, list[Any]], other: tuple[Message, list[Any]], data: st.DataObject
) -> None:
    """Where ids are repeated and prompts are the same, each gets its own calls, and no other."""
    bench = Bench(PLAIN, api=api)
    users = [Agent(bench), Agent(bench)]
    for agent, (message, _) in zip(users, (one, other), strict=True):
        renumbered = [{**c, "id": f"call_{n}"} for n, c in enumerate(message["tool_calls"])]
        agent.take(bench.say(agent.body(), {**message, "tool_calls": renumbered}))
    # Histories that are equal to the byte cannot be told apart: then nothing more is handed out.
    began = [agent.messages[1]["tool_calls"][0] for agent in users]
    begin_alike = began[0] == began[1]
    waits = [True, True]
    while any(waits):
        who = data.draw(st.sampled_from([n for n in (0, 1) if waits[n]]))
        local = users[who].local()
        waits[who] = local is not None
        if local is not None:
            users[who].take(local)
    for agent, (message, means) in zip(users, (one, other), strict=True):
        mine = sorted(map(key, ran(agent.messages)))
        assert all(mine.count(made) <= list(map(key, means)).count(made) for made in mine)
        if has_multi(message) and not begin_alike:
            assert mine == sorted(map(key, means))


@each_api
@pytest.mark.parametrize("key_of", ["alice", "bob"])
def test_another_account(api: Api, key_of: str) -> None:
    """The whole history of somebody else opens nothing: not what waits, not what was written."""
    bench, memory = Bench(PLAIN, api=api), Memory()
    bench.memory = memory.of("alice")
    agent = Agent(bench)
    secret = {"files": [edit("a.py", "1"), edit("a.py", "SECRET")], "x": "SECRET"}
    agent.take(bench.say(agent.body(), says(call("c", "multi_edit", secret))))
    bench.memory = memory.of(key_of)
    assert (agent.local() is None) is (key_of == "bob")
    assert ("SECRET" in json.dumps(agent.sent())) is (key_of == "alice")


@each_api
def test_a_forged_id_opens_nothing(api: Api) -> None:
    """A call with somebody's id and other arguments, or in another conversation, gets nothing."""
    bench = Bench(PLAIN, api=api)
    alice = Agent(bench)
    secret = {"files": [edit("a.py", "1"), edit("a.py", "SECRET")]}
    alice.take(bench.say(alice.body(), says(call("c", "multi_edit", secret))))
    [derived] = alice.messages[1]["tool_calls"]
    mallory = Agent(bench)
    guesses = [
        (EDIT_USER, {**derived, "function": {**derived["function"], "arguments": "{}"}}),
        ({"role": "user", "content": "What else was there?"}, derived),
    ]
    for prompt, forged in guesses:
        mallory.messages = [prompt, *answer(says(forged))]
        assert mallory.local() is None
        assert "SECRET" not in json.dumps(mallory.sent())


@each_api
def test_forged_calls_lose_no_result(api: Api) -> None:
    """Ids that nobody made: every result still reaches the model."""
    for first, second in (
        (ids.DerivedId("aB3d", 0, 1, "R", "c"), ids.DerivedId("aB3d", 1, 2, "R", "c")),
        (ids.DerivedId("aB3d", 0, 0, "r", "c"), ids.DerivedId("aB3d", 0, 9, "r", "c")),
        (ids.DerivedId("aB3d", 0, 0, "z", "c"), ids.DerivedId("aB3d", 1, 0, "z", "c")),
    ):
        calls = [call(ids.encode(one), "read_file", {"path": "a"}) for one in (first, second)]
        agent = Agent(Bench(PLAIN, api=api))
        agent.messages = [EDIT_USER, *answer(says(*calls))]
        assert all(f"text of {n}" in told(agent.sent()) for n in (0, 1))


def test_a_small_request_stays_small() -> None:
    """A count that is forged costs a line, not thousands."""
    forged = ids.encode(ids.DerivedId("aB3d", ids.MOST_ITEMS - 1, ids.MOST_ITEMS, "r", "c"))
    agent = Agent(Bench(PLAIN))
    agent.messages = [EDIT_USER, *answer(says(call(forged, "read_file", {"path": "a"})))]
    assert len(json.dumps(agent.sent())) < 3 * len(json.dumps(agent.messages))


@pytest.mark.parametrize("same", [False, True])
def test_thousands_of_turns(same: bool) -> None:
    """The work is linear in the history, whatever its ids say."""

    def steps(size: int) -> Any:
        messages: list[Message] = [EDIT_USER]
        for number in range(size):
            nonce = "aaaa" if same else f"{number:04}"
            made = ids.encode(ids.DerivedId(nonce, number % 600, 0, "r", f"c{number // 600}"))
            messages += answer(says(call(made, "read_file", {"path": "a"})))
        bench = Bench(PLAIN)
        bench.ask(EDIT_REQUEST, completion(says(call("c", "multi_edit", EDITS))))  # not empty
        yield bench.request({**EDIT_REQUEST, "messages": messages})

    assert_linear(steps, 300)


def test_thousands_of_results_without_calls() -> None:
    """They are read once each, also where single calls become batches."""

    def steps(size: int) -> Any:
        orphans = [{"role": "tool", "tool_call_id": f"c{n}", "content": "r"} for n in range(size)]
        bench = Bench(Options(batching=Batching(coalesce="always")))
        yield bench.request({**EDIT_REQUEST, "messages": [EDIT_USER, *orphans, EDIT_USER]})

    assert_linear(steps, 300)


def test_thousands_of_calls_at_once() -> None:
    """A stream in which all of them are written at the same time costs no more for each."""

    def steps(size: int) -> Any:
        began = [call(f"c{n}", "read_file", "") | {"index": n} for n in range(size)]
        rest = [{"index": n, "function": {"arguments": '{"path": "a"}'}} for n in range(size)]
        translator = Bench().translator(EDIT_REQUEST)
        translator.request()
        for one in (*began, *rest):
            yield translator.chunk(chunk({"tool_calls": [one]}))
        yield translator.chunk(chunk({}, "tool_calls"))

    assert_linear(steps, 300)


def test_openais_ids_fit() -> None:
    """The ids that an agent sees have 40 characters at most, of OpenAI's all that is needed."""
    agent = Agent(Bench(PLAIN))
    agent.turn(says(call(OPENAI_ID, "multi_edit", EDITS)))
    made = [one["id"] for m in agent.messages for one in m.get("tool_calls") or ()]
    assert max(map(len, made)) == 40
    agent.bench = Bench(PLAIN)
    assert [m["tool_calls"][0]["id"] for m in agent.sent() if m["role"] == "assistant"] == [
        OPENAI_ID
    ]
