"""Requests are sent as their provider takes them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.repair.request import history
from batchwrap.core.repair.request.history import NO_RESULT
from batchwrap.core.repair.request.request_repair import repair_request
from batchwrap.core.repair.request.servers import SERVERS
from batchwrap.core.repair.request.validity import Checked, is_valid
from batchwrap.options import Repair
from batchwrap.providers import provider_files, rules_named
from tests.core.harness import Bench, call, chunk, completion
from tests.core.repair.samples import Entry, entries
from tests.work import assert_linear

REQUESTS = entries("request")
RULES = [*SERVERS, *(file.provider.name for file in provider_files())]
USER = {"role": "user", "content": "go"}


def mended(body: dict[str, Any], provider: str, options: Repair | None = None) -> dict[str, Any]:
    """The body as this provider takes it."""
    return repair_request(body, rules_named(provider), options or Repair.all(), lambda _: None)


def comparable(body: dict[str, Any]) -> dict[str, Any]:
    """The body with arguments and results as values: their spacing is free."""
    made: dict[str, Any] = copy.deepcopy(body)
    for message in made["messages"]:
        for one in message.get("tool_calls") or ():
            one["function"]["arguments"] = json.loads(one["function"]["arguments"])
        if message["role"] == "tool" and message["content"].startswith("{"):
            message["content"] = json.loads(message["content"])
    return made


def pairs(body: dict[str, Any]) -> list[tuple[str, str]]:
    """(id of a call, id in its result), in order."""
    calls = [one["id"] for m in body["messages"] for one in m.get("tool_calls") or ()]
    results = [m["tool_call_id"] for m in body["messages"] if m["role"] == "tool"]
    return list(zip(calls, results, strict=True))


WANTED = [entry for entry in REQUESTS if entry["expected_after_repair"]["kind"] == "request"]
EXACT = [entry for entry in WANTED if "properties" not in entry["expected_after_repair"]["body"]]


@pytest.mark.parametrize("entry", EXACT, ids=lambda entry: entry["id"])
def test_requests(entry: Entry) -> None:
    """A request becomes what its entry says, and the agent's own stays as it was."""
    body, provider = entry["sample"]["body"], entry["sample"]["provider"]
    before = copy.deepcopy(body)
    made = mended(body, provider)
    wanted = entry["expected_after_repair"]["body"]
    allowed = wanted.get("accept_any", [wanted])
    assert comparable(made) in [comparable(one) for one in allowed]
    assert body == before
    assert mended(made, provider) is made, "what is right is the same object"
    if entry["negative"]:
        assert made is body


@pytest.mark.parametrize("entry", REQUESTS, ids=lambda entry: entry["id"])
def test_all_rules_are_known(entry: Entry) -> None:
    """The rules of every provider, and of every kind of server, in the collection are there."""
    assert entry["sample"]["provider"] in RULES


def sample(name: str) -> dict[str, Any]:
    """The body of an entry."""
    body: dict[str, Any] = next(e["sample"]["body"] for e in REQUESTS if e["id"] == name)
    return body


def test_ids_for_mistral() -> None:
    """Ids are nine letters and digits, the same in each request, and answer their calls."""
    made = mended(sample("req.id-mistral-1"), "mistral")
    [(called, answered)] = pairs(made)
    assert re.fullmatch("[a-zA-Z0-9]{9}", called) and called == answered
    assert mended(sample("req.id-mistral-1"), "mistral") == made


@given(st.lists(st.text(max_size=8), unique=True, max_size=30))
def test_ids_never_collide(given_ids: list[str]) -> None:
    """Whatever ids came, those that are sent differ, and each result answers its call."""
    messages: list[dict[str, Any]] = [USER]
    for one in given_ids:
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call(one, "f", {})]},
            {"role": "tool", "tool_call_id": one, "content": one},
        ]
    made = pairs(mended({"model": "m", "messages": messages}, "mistral"))
    assert all(called == answered for called, answered in made)
    assert len({called for called, _ in made}) == len(given_ids)


def test_ids_that_repeat() -> None:
    """Ids that come again in a later turn are told apart, each result with its own call."""
    body = sample("req.id-dup-1")
    made = mended(body, "any")
    [first, second] = pairs(made)
    assert first[0] == first[1] != second[0] == second[1]
    assert second[0] == "list_dir:1", "in the model's own form"
    contents = [message.get("content") for message in made["messages"]]
    assert contents == [message.get("content") for message in body["messages"]]


@pytest.mark.parametrize("provider", ["mistral", "moonshot", "openai"])
@pytest.mark.parametrize("given_id", ["", "same", "functions.read:0", "functions.read:7" * 500])
def test_ids_that_repeat_often(provider: str, given_id: str) -> None:
    """Servers that give all calls one id do not make long conversations slow."""

    def steps(size: int) -> Iterator[None]:
        said = [call(given_id, "read", "{}"), call(given_id, "read", "{}")]
        turn = {"role": "assistant", "content": None, "tool_calls": said}
        results = [{"role": "tool", "tool_call_id": given_id, "content": "a"}] * 2
        mended({"messages": [{"role": "user", "content": "a"}, *[turn, *results] * size]}, provider)
        yield

    assert_linear(steps, 64)


def test_arguments_that_were_cut_off() -> None:
    """Nothing of them is sent as if it had been done; the result tells of the failure."""
    made = mended(sample("req.badargs-1"), "any")
    [one] = made["messages"][1]["tool_calls"]
    assert one["function"]["arguments"] == "{}"
    assert made["messages"][2]["content"] == "error: arguments were cut off"


def test_thoughts_that_are_missing() -> None:
    """A provider that wants thoughts beside calls gets empty ones."""
    assert mended(sample("req.reasoning-1"), "deepseek")["messages"][1]["reasoning_content"] == ""


@pytest.mark.parametrize("name", ["hist.failed-1", "hist.failed-3", "ctx.budget-1"])
def test_left_alone(name: str) -> None:
    """What only a person can decide is left as it is."""
    body = sample(name)
    assert mended(body, "cerebras", Repair()) is body


def test_failures_are_folded() -> None:
    """Of calls that failed in a row in the same way the last one stays, and tells how many."""
    body = sample("hist.failed-1")
    made = mended(body, "any", Repair(fold_failures=True))["messages"]
    assert [message["role"] for message in made] == ["system", "user", "assistant", "tool", "user"]
    assert pairs({"messages": made}) == [("c3", "c3")]
    assert made[3]["content"].startswith("error: old text not found\n")
    assert "3 times" in made[3]["content"]


def attempt(number: int, **changed: Any) -> list[dict[str, Any]]:
    """A call and its result, as they are in a row of failures."""
    facts = {"said": None, "name": "edit", "path": "a", "result": "error: no", **changed}
    made = call(f"c{number}", facts["name"], {"path": facts["path"]})
    return [
        {"role": "assistant", "content": facts["said"], "tool_calls": [made]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": facts["result"]},
    ]


OTHERS: dict[str, list[dict[str, Any]]] = {
    "another result": attempt(2, result="error: not there"),
    "a success": attempt(2, result="done"),
    "other arguments": attempt(2, path="b"),
    "another tool": attempt(2, name="write"),
    "a word of the model": attempt(2, said="Once more."),
    "a word of the user": [USER, *attempt(2)],
    "two calls": [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [call("c2", "edit", {}), call("d", "edit", {})],
        },
        {"role": "tool", "tool_call_id": "c2", "content": "error: no"},
        {"role": "tool", "tool_call_id": "d", "content": "error: no"},
    ],
}


@pytest.mark.parametrize("name", OTHERS)
def test_failures_that_differ(name: str) -> None:
    """What is not the same failure once more stays where it is."""
    body = {"model": "m", "messages": [USER, *attempt(1), *OTHERS[name]]}
    assert mended(body, "any") is body


def test_failures_by_the_users_own_rule() -> None:
    """What counts as failed is what the user's function says."""
    body = {
        "model": "m",
        "messages": [USER, *attempt(1, result="nope"), *attempt(2, result="nope")],
    }
    assert mended(body, "any") is body
    told: list[str] = []
    made = repair_request(body, rules_named("any"), Repair.all(), told.append, failed="nope".__eq__)
    assert len(made["messages"]) == 3
    assert told == ["fold_failures"]


def test_a_large_output_is_capped() -> None:
    """Where output is charged in advance, and only there, no more is asked for than wanted."""
    body = sample("ctx.budget-1")
    assert mended(body, "cerebras")["max_completion_tokens"] == 16_384
    assert mended(body, "cerebras", Repair(max_output=100))["max_completion_tokens"] == 100
    assert mended(body, "cerebras", Repair(max_output=100_000)) is body
    assert mended(body, "openai") is body


THOUGHT = {"role": "assistant", "reasoning_content": "Hm, a.py.", "content": None}
THOUGHT["tool_calls"] = [call("c1", "read_file", {"path": "a.py"})]  # type: ignore[assignment]


@pytest.mark.parametrize("streamed", [False, True])
def test_thoughts_go_back(streamed: bool) -> None:
    """Reasoning that the agent drops is sent again; what was not kept is reported."""
    bench = Bench(options_for(Repair(provider="deepseek", keep_reasoning=True)))
    asked = {"model": "deepseek-v4", "messages": [USER]}
    if streamed:
        translator = bench.translator(asked)
        translator.request()
        deltas: list[dict[str, Any]] = [
            {"reasoning_content": "Hm, "},
            {"reasoning_content": "a.py."},
        ]
        deltas += [{"tool_calls": [{**call("c1", "read_file", {"path": "a.py"}), "index": 0}]}]
        for delta in deltas:
            translator.chunk(chunk(delta))
        translator.chunk(chunk({}, "tool_calls"))
    else:
        bench.ask(asked, completion(THOUGHT, "tool_calls"))
    dropped = {key: value for key, value in THOUGHT.items() if key != "reasoning_content"}
    result = {"role": "tool", "tool_call_id": "c1", "content": "x"}
    sent = bench.request({**asked, "messages": [USER, dropped, result]})
    assert sent is not None and sent["messages"][1] == THOUGHT
    assert "defects.lost_thoughts" not in bench.metrics.counts
    other = {**dropped, "tool_calls": [call("c9", "read_file", {"path": "a.py"})]}
    sent = bench.request({**asked, "messages": [USER, other, {**result, "tool_call_id": "c9"}]})
    assert sent is not None and sent["messages"][1]["reasoning_content"] == ""
    assert bench.metrics.counts["defects.lost_thoughts"] == 1


def test_a_large_output_is_reported() -> None:
    """Output that is charged in advance is reported where it is large, never lowered."""
    body = sample("ctx.budget-1")
    bench = Bench(options_for(Repair(provider="cerebras")))
    assert bench.request(body) is None
    assert bench.metrics.counts["defects.large_output_budget"] == 1


def options_for(repair: Repair) -> Any:
    """Options with this repair."""
    from batchwrap.options import Options

    return Options(repair=repair)


def test_a_turn_that_goes_on_is_left_open() -> None:
    """The newest turn may still be waiting for its results."""
    turn: dict[str, Any] = {"role": "assistant", "content": "x", "tool_calls": [call("c", "f", {})]}
    body = {"model": "m", "messages": [USER, turn]}
    assert mended(body, "any") is body
    after = {**body, "messages": [*body["messages"], USER]}
    assert mended(after, "any")["messages"][2]["content"] == NO_RESULT


@pytest.mark.parametrize("entry", ["req.pair-2", "req.numstr-1"])
def test_off(entry: str) -> None:
    """The option that is off leaves requests alone."""
    body = sample(entry)
    assert mended(body, "any", Repair(request=False)) is body
    assert mended(body, "any", Repair()) is not body


_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
_messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system", "developer"]) | _values},
    optional={
        "content": _values,
        "tool_call_id": st.sampled_from(["a", "b"]) | _values,
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {"id": st.sampled_from(["a", "b"]) | _values},
                optional={"function": st.fixed_dictionaries({"arguments": _values}) | _values},
            ),
            max_size=2,
        )
        | _values,
    },
)


@given(st.lists(_messages, max_size=6), st.sampled_from(["any", "mistral", "bedrock"]))
def test_the_quick_look(messages: list[Any], provider: str) -> None:
    """What looks right at a glance is right: the long way changes nothing of it."""
    rules = rules_named(provider)
    if not is_valid(messages, rules):
        return
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(history, "is_valid", lambda *_: False)
        assert history.repair_history(messages, rules, pytest.fail) == messages


def _turns(ids: list[str]) -> list[dict[str, Any]]:
    """A turn with one call, and its result, for each id."""
    function = {"name": "f", "arguments": "{}"}
    return [
        message
        for one in ids
        for message in (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": one, "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": one, "content": "r"},
        )
    ]


@given(
    st.builds(
        lambda ids, odd: [*_turns(ids), *odd],
        st.lists(st.sampled_from("abcdef"), unique=True),
        st.lists(_messages, max_size=2),
    ),
    st.lists(st.integers(0, 14), max_size=4),
    st.lists(_messages, max_size=2),
)
def test_a_conversation_that_grows(whole: list[Any], places: list[int], others: list[Any]) -> None:
    """What is known of a conversation's beginning changes no answer, wherever requests end."""
    rules, checked = rules_named("any"), None
    for place in sorted(places):
        checked = Checked(whole[:place], checked)
        for messages in (whole, whole[:place], [*whole[:place], *others], others):
            assert checked.is_valid(messages, rules) == is_valid(messages, rules)


@given(st.lists(_messages, max_size=6), st.sampled_from(RULES))
def test_odd_requests(messages: list[Any], provider: str) -> None:
    """No request makes it fail, and what was mended needs nothing more."""
    made = mended({"model": "m", "messages": messages, "tools": []}, provider)
    assert mended(made, provider) == made
