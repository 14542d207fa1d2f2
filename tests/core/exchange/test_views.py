"""Two views of one conversation: nothing lost, nothing invented, nothing reordered."""

import copy
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchwrap.core.moves import ids
from batchwrap.core.moves.results import CUT_OFF
from batchwrap.options import Batching, Options
from tests.core.apis import Api, each_api
from tests.core.harness import (
    Bench,
    answer,
    call,
    chunk,
    completion,
    fragments,
    gather,
    ran,
)
from tests.core.samples import READ_REQUEST, has_multi, key, touches
from tests.strategies import READ_FILE, WRITE_FILE, cuts, texts, turns

TWO = '{"files": [{"path": "a.py"}, {"path": "b.py", "offset": 3}]}'


def whole(message: dict[str, Any], data: st.DataObject) -> list[list[str]]:
    """The arguments of each call of a message, cut anywhere."""
    return [data.draw(cuts(made["function"]["arguments"])) for made in message["tool_calls"]]


@each_api
@given(turns(), st.booleans(), st.sampled_from(["parallel", "first"]), st.data())
def test_every_call_runs_once(
    api: Api, turn: tuple[dict[str, Any], Any], plain: bool, style: str, data: st.DataObject
) -> None:
    """The agent runs exactly the model's calls, each once, however it takes them."""
    message, means = turn
    assume(style == "parallel" or has_multi(message))  # else it is the agent's own business
    pieces = None if plain else whole(message, data)
    history = Bench(api=api).run(READ_REQUEST, message, pieces=pieces, style=style)
    assert sorted(map(key, ran(history))) == sorted(map(key, means))


@each_api
@given(turns(), st.booleans(), st.sampled_from(["parallel", "first"]), st.data())
def test_conflicting_calls_keep_their_order(
    api: Api, turn: tuple[dict[str, Any], Any], plain: bool, style: str, data: st.DataObject
) -> None:
    """Calls that touch one file, one of them writing, never go out together, or reversed."""
    message, means = turn
    assume(has_multi(message))
    pieces = None if plain else whole(message, data)
    history = Bench(api=api).run(READ_REQUEST, message, pieces=pieces, style=style)
    waves = [
        [key(made) for made in ran([turn])] for turn in history if turn.get("role") == "assistant"
    ]
    single = {made["id"] for made in message["tool_calls"]}
    own = [made["id"] in single for turn in history for made in turn.get("tool_calls") or ()]
    place: dict[str, list[int]] = {}
    for number, wave in enumerate(waves):
        for made in wave:
            place.setdefault(made, []).append(number)
    order = [(made, place[key(made)].pop(0)) for made in means]
    for first, (one, before) in enumerate(order):
        for other, after in order[first + 1 :]:
            if touches(one, other) and not (style == "parallel" and any(own)):
                assert before < after


@each_api
@given(turns(), st.booleans(), st.booleans(), st.sampled_from(["parallel", "first"]), st.data())
def test_fold_undoes_expand(
    api: Api,
    turn: tuple[dict[str, Any], Any],
    plain: bool,
    known: bool,
    style: str,
    data: st.DataObject,
) -> None:
    """The provider gets its own message back, every call answered once, in order.

    To the byte while the turn is remembered; with the same items after a restart.
    """
    message, means = turn
    assume(has_multi(message))
    bench = Bench(Options(reminders=None), api=api)
    history = bench.run(
        READ_REQUEST, message, pieces=None if plain else whole(message, data), style=style
    )
    before = copy.deepcopy(history)
    if not known:
        bench = Bench(bench.options, api=api)
    sent = bench.sent({**READ_REQUEST, "messages": history})
    assert history == before
    results = [message for message in sent if message["role"] == "tool"]
    own = [made for message in sent for made in message.get("tool_calls") or ()]
    given = {made["id"]: made for made in own}
    if known:
        assert own == api.written(message)["tool_calls"]
        assert len(sent) == 2 + len(own)
    else:
        # Of an id that is too long, a beginning and a digest stand in the derived one.
        assert {
            ids.short(i): json.loads(made["function"]["arguments"]) for i, made in given.items()
        } == {
            ids.short(made["id"]): json.loads(made["function"]["arguments"])
            for made in message["tool_calls"]
        }
    assert [result["tool_call_id"] for result in results] == list(given)
    texts = "\n".join(result["content"] for result in results)
    assert texts.count("ran ") >= len(means)
    assert "not run" not in texts
    assert "no result" not in texts


def exchange(arguments: str = TWO, **changes: Any) -> tuple[Bench, list[dict[str, Any]]]:
    """A bench after one multi-call, and the agent's history with its results."""
    bench = Bench(Options(reminders=None))
    calls = [call("c", "multi_read", arguments)]
    made = {"role": "assistant", "content": None, "tool_calls": calls, **changes}
    seen = bench.ask(READ_REQUEST, completion(made))["choices"][0]["message"]
    return bench, [*READ_REQUEST["messages"], *answer(seen)]


def provider_view(bench: Bench, history: list[dict[str, Any]], **fields: Any) -> Any:
    """The messages that the provider gets for a history."""
    body = {**READ_REQUEST, "messages": history, **fields}
    return (bench.request(body) or body)["messages"]


def test_the_folded_result() -> None:
    """One tool message holds each item's text under a line with index, tool and path."""
    bench, history = exchange()
    assert provider_view(bench, history)[-1] == {
        "role": "tool",
        "tool_call_id": "c",
        "content": "[1/2] read_file a.py\ntext of 0\n[2/2] read_file b.py\ntext of 1",
    }


def test_results_in_any_order() -> None:
    """The items' order is the model's, in whatever order the agent answers."""
    bench, history = exchange()
    expected = provider_view(bench, history)
    assert provider_view(bench, [*history[:2], history[3], history[2]]) == expected


def test_a_missing_result_is_named() -> None:
    """An item that the agent did not answer says so; no overall success is claimed."""
    bench, history = exchange()
    content = provider_view(bench, history[:-1])[-1]["content"]
    assert content == "[1/2] read_file a.py\ntext of 0\n[2/2] read_file b.py\nno result"


def test_a_history_that_became_shorter() -> None:
    """A fork that goes back to before the last results is folded as it is now."""
    bench, history = exchange()
    whole = provider_view(bench, history)
    assert provider_view(bench, history[:2]) == history[:2]
    assert "no result" in provider_view(bench, history[:3])[-1]["content"]
    assert provider_view(bench, history) == whole


def test_two_results_for_one_item() -> None:
    """The first counts; a different later text is appended, the same one is not."""
    bench, history = exchange()
    same, other = history[2], {**history[2], "content": "later"}
    content = provider_view(bench, [*history, same, other])[-1]["content"]
    assert content.startswith("[1/2] read_file a.py\ntext of 0\nlater\n[2/2]")


def test_no_results_at_all() -> None:
    """A turn that the agent never answered is left as the agent wrote it."""
    bench, history = exchange()
    assert provider_view(bench, history[:2]) == history[:2]


def test_images_in_results() -> None:
    """Content parts other than text stay parts, in their place."""
    bench, history = exchange()
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    history[3] = {**history[3], "content": [{"type": "text", "text": "see"}, image]}
    lines = ["[1/2] read_file a.py", "text of 0", "[2/2] read_file b.py", "see"]
    assert provider_view(bench, history)[-1]["content"] == [
        {"type": "text", "text": "\n".join(lines)},
        image,
    ]


def test_a_call_that_the_agent_dropped() -> None:
    """Where the agent removed a call from its history, the rest folds and says what is missing."""
    bench, history = exchange()
    assistant = {**history[1], "tool_calls": history[1]["tool_calls"][1:]}
    folded = provider_view(bench, [history[0], assistant, history[3]])
    assert folded[-1]["content"] == f"[1/2] {CUT_OFF}\n[2/2] read_file b.py\ntext of 1"


def test_reordered_calls() -> None:
    """Calls that the agent keeps in another order fold into the model's own order."""
    bench, history = exchange()
    expected = provider_view(bench, history)
    assistant = {**history[1], "tool_calls": history[1]["tool_calls"][::-1]}
    assert provider_view(bench, [history[0], assistant, *history[2:]]) == expected


def test_fold_without_tools() -> None:
    """A summary request without tools still shows the model its own calls."""
    bench, history = exchange()
    folded = provider_view(bench, [*history, {"role": "user", "content": "Sum up."}], tools=None)
    assert folded[1]["tool_calls"][0]["function"]["name"] == "multi_read"


def test_provider_that_repeats_its_ids() -> None:
    """The same id in every turn never mixes two turns up."""
    bench, history = exchange()
    again = bench.ask(
        {**READ_REQUEST, "messages": history},
        completion({"role": "assistant", "tool_calls": [call("c", "multi_read", TWO)]}),
    )["choices"][0]["message"]
    both = provider_view(bench, [*history, *answer(again)])
    assert [message["role"] for message in both] == [
        *("user", "assistant", "tool"),
        *("assistant", "tool"),
    ]
    assert [made["id"] for m in both for made in m.get("tool_calls", ())] == ["c", "c"]


@pytest.mark.parametrize("arguments", ["{}", '{"files": []}', '{"files": [{"pa', '{"files": [5]}'])
def test_arguments_without_an_item(arguments: str) -> None:
    """The agent's own tool answers to arguments that mean nothing, as it would without us."""
    bench, history = exchange(arguments)
    [made] = history[1]["tool_calls"]
    assert made["function"] == {"name": "read_file", "arguments": arguments}
    for memory in (bench, Bench(bench.options)):
        folded = provider_view(memory, history)
        assert folded[1]["tool_calls"] == [call("c", "multi_read", arguments)]
        assert folded[2] == {"role": "tool", "tool_call_id": "c", "content": "text of 0"}


def test_an_item_that_does_not_fit() -> None:
    """The items that fit run; the other one is reported as not run."""
    bench, history = exchange('{"files": [{"path": "a"}, {"offset": 1}, "c"]}')
    assert ran([history[1]]) == [("read_file", {"path": "a"}), ("read_file", {"path": "c"})]
    content = provider_view(bench, history)[-1]["content"]
    assert content.split("\n")[2:4] == ["[2/3] not run: `path` is missing", "[3/3] read_file c"]


def test_truncated_in_a_stream() -> None:
    """Items that were whole before the arguments broke off have been handed out."""
    made = {"content": "", "tool_calls": [call("c", "multi_read", "")]}
    pieces = [['{"files": [{"path": "a"}, {"pa']]
    seen = gather(Bench().ask_streamed(READ_REQUEST, fragments(made, pieces)))
    assert ran([{"role": "assistant", **seen}]) == [("read_file", {"path": "a"})]


def test_interleaved_calls_keep_their_order() -> None:
    """Fragments of a later call wait until the multi-call before them is complete."""

    def part(index: int, text: str, **head: Any) -> dict[str, Any]:
        function = {"arguments": text} | ({"name": head.pop("name")} if head else {})
        return chunk({"tool_calls": [{"index": index, **head, "function": function}]})

    seen = gather(
        Bench().ask_streamed(
            READ_REQUEST,
            [
                part(0, '{"files": [{"path"', id="c0", name="multi_read"),
                part(1, '{"files": [{"path": "c"', id="c1", name="multi_read"),
                part(2, '{"path": ', id="c2", name="read_file"),
                part(0, ': "a"}, {"path": "b"}]'),
                part(2, '"d"}'),
                part(0, "}"),
                part(1, "}]}"),
                chunk({}, "tool_calls"),
            ],
        )
    )
    assert [arguments["path"] for _, arguments in ran([{"role": "assistant", **seen}])] == [
        "a",
        "b",
        "c",
        "d",
    ]


def test_items_come_while_the_model_writes() -> None:
    """An item is handed out before the multi-call is complete; the last id knows the count."""
    translator = Bench().translator(READ_REQUEST)
    translator.request()
    head = {**call("c", "multi_read", ""), "index": 0}
    assert translator.chunk(chunk({"tool_calls": [head]})) == []

    def more(text: str) -> dict[str, Any]:
        return chunk({"tool_calls": [{"index": 0, "function": {"arguments": text}}]})

    # A comma alone might be one too many, so it waits for what follows it.
    first = translator.chunk(more('{"files": [{"path": "a"}, {'))
    assert first is not None and ran([{"role": "assistant", **gather(first)}]) == [
        ("read_file", {"path": "a"})
    ]
    last = translator.chunk(more('"path": "b"}]}'))
    assert last is not None
    [made] = last[0]["choices"][0]["delta"]["tool_calls"]
    derived = ids.decode(made["id"])
    assert derived is not None and (derived.index, derived.count, made["index"]) == (1, 2, 1)


@pytest.mark.parametrize("name", ["multi_read", "multi_write"])
def test_a_chunk_has_one_call_at_most(name: str) -> None:
    """Calls that come to light together go out in chunks of their own, as OpenAI sends them."""
    item = {"path": "a"} if name == "multi_read" else {"path": "a", "content": "x"}
    items = [{**item, "path": path} for path in "abc"]
    whole = {
        "content": "I begin.",
        "tool_calls": [{"index": 0, **call("c", name, {"files": items})}],
    }
    asked = {**READ_REQUEST, "tools": [READ_FILE, WRITE_FILE]}
    chunks = Bench().ask_streamed(asked, [chunk(whole), chunk({}, "tool_calls")])
    deltas = [each["choices"][0]["delta"] for each in chunks]
    assert [len(delta.get("tool_calls", ())) for delta in deltas if delta] in (
        [1] * 3,
        [0, 1, 1, 1],
    )
    seen = gather(chunks)
    assert seen["content"] == "I begin." and seen["finish_reason"] == "tool_calls"
    assert [given["path"] for _, given in ran([{"role": "assistant", **seen}])] == list("abc")


def test_each_choice_on_its_own() -> None:
    """With n > 1 every choice is expanded by itself."""
    made = {"role": "assistant", "tool_calls": [call("c", "multi_read", TWO)]}
    answered = completion(made)
    answered["choices"].append({"index": 1, "message": made, "finish_reason": "tool_calls"})
    seen = Bench().ask(READ_REQUEST, answered)
    assert [len(choice["message"]["tool_calls"]) for choice in seen["choices"]] == [2, 2]
    one = {**chunk({"tool_calls": [{**call("c", "multi_read", TWO), "index": 0}]})["choices"][0]}
    both = {"choices": [one, {**one, "index": 1}]}
    [streamed] = Bench().ask_streamed(READ_REQUEST, [both], marked=None)
    assert [len(choice["delta"]["tool_calls"]) for choice in streamed["choices"]] == [2, 2]


def test_choices_that_are_none() -> None:
    """Something odd among the choices stays where it is."""
    made = completion({"role": "assistant", "tool_calls": [call("c", "multi_read", TWO)]})
    seen = Bench().ask(READ_REQUEST, {**made, "choices": [None, *made["choices"]]})
    assert seen["choices"][0] is None
    assert len(seen["choices"][1]["message"]["tool_calls"]) == 2


def test_usage_in_a_dropped_chunk_stays() -> None:
    """A chunk that carried only a part of a multi-call, and usage, keeps choice and usage."""
    head = {**call("c", "multi_read", ""), "index": 0}
    carried = {**chunk({"tool_calls": [head]}), "usage": {"total_tokens": 5}}
    [seen] = Bench().ask_streamed(READ_REQUEST, [carried])[:1]
    assert seen["usage"] == {"total_tokens": 5}
    assert seen["choices"][0]["delta"] == {}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": []},
        {"messages": "hi"},
        {"messages": ["hi"]},
        {"messages": [{"role": "user"}], "tools": "read_file"},
        {"messages": [{"role": "user"}], "tools": ["read_file"]},
    ],
)
def test_bodies_that_are_not_understood(body: dict[str, Any]) -> None:
    """A request of another shape goes through untouched, and is counted."""
    bench = Bench()
    assert bench.request(body) is None
    assert bench.metrics.counts["not_understood"] == 1


def test_switched_off() -> None:
    """Without batching neither view changes."""
    bench = Bench(Options(batching=None))
    translator = bench.translator(READ_REQUEST)
    assert translator.request() is None
    made = completion({"role": "assistant", "tool_calls": [call("c", "multi_read", TWO)]})
    assert translator.response(made) is None


def test_never_offered_still_folds() -> None:
    """A conversation that holds multi-calls stays valid when the offer is switched off."""
    _, history = exchange()
    bench = Bench(Options(batching=Batching(offer="never")))
    folded = provider_view(bench, history)
    assert folded[1]["tool_calls"][0]["function"]["name"] == "multi_read"


@each_api
@given(texts.filter(bool), st.booleans(), st.data())
def test_ordinary_answers_are_untouched(
    api: Api, text: str, calls: bool, data: st.DataObject
) -> None:
    """An answer without a multi-call is the provider's own, event by event."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    message |= {"tool_calls": [call("c", "read_file", {"path": "a"})]} if calls else {}
    assert Bench(api=api).asked(READ_REQUEST).response(api.answer(message)) is None
    pieces = whole(message, data) if calls else None
    translator = Bench(api=api).asked(READ_REQUEST)
    assert all(translator.chunk(event) is None for event in api.events(message, pieces))
    assert translator.end(None, marked=True) == []
