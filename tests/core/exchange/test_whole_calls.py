"""A call is handed on as a whole: in any order of fragments, of any form, with all its fields."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.moves import ids
from batchwrap.options import Batching, Options, Repair
from tests.core.harness import Bench, answer, call, chunk, completion, gather, ran
from tests.core.samples import EDIT_REQUEST, EDIT_USER, edit
from tests.strategies import cuts, texts, turns

PLAIN = Options(reminders=None)
EDITS = {"files": [edit("a.py", "1"), edit("a.py", "2")]}
PATCH = {"id": "p", "type": "custom", "custom": {"name": "apply_patch", "input": '{"*** [" Begin'}}


@st.composite
def interleaved(draw: st.DrawFn, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Chunks in which the fragments of several calls come in any order that keeps each call's."""
    queues = []
    for index, made in enumerate(calls):
        form = made["type"]
        key = "arguments" if form == "function" else "input"
        first, *pieces = draw(cuts(made[form][key]))
        head = {**made, "index": index, form: {**made[form], key: first}}
        queues.append([head, *({"index": index, form: {key: piece}} for piece in pieces)])
    chunks = [chunk({"tool_calls": [queue.pop(0)]}) for queue in queues]
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        chunks.append(chunk({"tool_calls": [queue.pop(0)]}))
    return [*chunks, chunk({}, "tool_calls")]


def forms(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The calls that a careful client puts together, of either form."""
    calls: dict[int, dict[str, Any]] = {}
    for delta in (choice["delta"] for piece in chunks for choice in piece["choices"]):
        for part in delta.get("tool_calls") or ():
            known = calls.setdefault(part["index"], {})
            for name, value in part.items():
                if name in ("function", "custom"):
                    held = known.setdefault(name, {})
                    for field, text in value.items():
                        held[field] = held.get(field, "") + text
                elif name != "index":
                    known[name] = value
    return [calls[index] for index in sorted(calls)]


def broken(text: str, data: st.DataObject) -> str:
    """Arguments as they are, cut off, or with something in them that JSON does not have."""
    place = data.draw(st.integers(0, len(text)))
    odd = data.draw(st.sampled_from(["", "", "\n", ",", "\\", "}", "NaN", "'"]))
    rest = data.draw(st.sampled_from([text[place:], text[place:], ""]))
    return text[:place] + odd + rest


@given(turns(), st.data(), st.sampled_from([None, Repair(), Repair.all()]))
def test_short_way(
    turn: tuple[dict[str, Any], Any], data: st.DataObject, repair: Repair | None
) -> None:
    """Pieces of texts and arguments on the fast path come out as they would without it."""
    calls = [
        {**made, "function": {**made["function"], "arguments": text}}
        for made in turn[0]["tool_calls"]
        for text in [broken(made["function"]["arguments"], data)]
    ]
    pieces = texts | st.sampled_from(["<think>", "</think>", "a", "aa", "aaa", "", "<tool_call>"])
    said = [chunk({"content": text}) for text in data.draw(st.lists(pieces, max_size=4))]
    chunks = [*said, *data.draw(interleaved(calls)), *said]
    model = data.draw(st.sampled_from(["m", "qwen3-coder", "gpt-oss", "qwq-thinking"]))
    seen = []
    for fast in (True, False):
        bench = Bench(replace(PLAIN, repair=repair))
        out = bench.ask_streamed({**EDIT_REQUEST, "model": model}, chunks, fast=fast)
        seen.append((out, bench.metrics.counts))
    assert seen[0] == seen[1]


@given(turns(), st.data())
def test_fragments_in_any_order(turn: tuple[dict[str, Any], Any], data: st.DataObject) -> None:
    """However the fragments of several calls are mixed, the agent gets the calls, and no other."""
    message, means = turn
    bench = Bench(PLAIN)
    chunks = data.draw(interleaved(message["tool_calls"]))
    seen = {"role": "assistant", "tool_calls": forms(bench.ask_streamed(EDIT_REQUEST, chunks))}
    history = [*EDIT_REQUEST["messages"], *answer(seen)]
    while local := bench.translator({**EDIT_REQUEST, "messages": history}).local_answer():
        history += answer(local.completion()["choices"][0]["message"])
    order = [json.dumps(made, sort_keys=True) for made in ran(history)]
    assert sorted(order) == sorted(json.dumps(made, sort_keys=True) for made in means)


@pytest.mark.parametrize("streamed", [False, True])
@given(data=st.data())
def test_a_custom_call_behind_calls_that_wait(streamed: bool, data: st.DataObject) -> None:
    """It keeps its name and its input, to the byte, and goes back as it came."""
    bench, calls = Bench(PLAIN), [call("c", "multi_edit", EDITS), PATCH]
    if streamed:
        made = forms(bench.ask_streamed(EDIT_REQUEST, data.draw(interleaved(calls))))
    else:
        seen = bench.ask(EDIT_REQUEST, completion({"role": "assistant", "tool_calls": calls}))
        made = seen["choices"][0]["message"]["tool_calls"]
    history = [EDIT_USER, *answer({"role": "assistant", "content": None, "tool_calls": made})]
    while local := bench.translator({**EDIT_REQUEST, "messages": history}).local_answer():
        history += answer(local.completion()["choices"][0]["message"])
    last = history[-2]["tool_calls"][0]
    assert (last["type"], last["custom"]) == ("custom", PATCH["custom"])
    for process in (bench, Bench(PLAIN)):
        sent = process.request({**EDIT_REQUEST, "messages": history})
        assert sent is not None
        assert [one for one in sent["messages"][1]["tool_calls"] if one["id"] == "p"] == [PATCH]


def own(*paths: str) -> dict[str, Any]:
    """An answer with the model's own single edits."""
    calls = [call(f"c{n}", "edit_file", edit(path, str(n))) for n, path in enumerate(paths)]
    return {"role": "assistant", "content": None, "tool_calls": calls}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("paths", "options", "fields", "waves"),
    [
        (["a.py", "a.py"], {}, {}, [1, 1]),
        (["a.py", "./A.py", "b.py"], {}, {}, [2, 1]),
        (["a.py", "b.py"], {}, {}, [2]),
        (["a.py", "b.py"], {"delivery": "serial"}, {}, [1, 1]),
        (["a.py", "b.py"], {"approvals": True}, {}, [1, 1]),
        (["a.py", "b.py"], {}, {"parallel_tool_calls": False}, [1, 1]),
        (["a.py", "a.py"], {"delivery": "at_once"}, {}, [2]),
    ],
)
def test_the_models_own_calls_wait_where_they_conflict(
    streamed: bool, paths: list[str], options: Any, fields: Any, waves: list[int]
) -> None:
    """Two edits of one file never go out together, also where the model made them one by one."""
    bench = Bench(Options(reminders=None, batching=Batching(**options)))
    message, body = own(*paths), {**EDIT_REQUEST, **fields}
    pieces = [[made["function"]["arguments"]] for made in message["tool_calls"]]
    history = bench.run(body, message, pieces=pieces if streamed else None)
    assert [len(m["tool_calls"]) for m in history if m["role"] == "assistant"] == waves
    assert len(ran(history)) == len(paths)
    sent = bench.request({**body, "messages": history})
    assert sent is not None
    if len(waves) > 1:
        assert sent["messages"][1]["tool_calls"] == message["tool_calls"]
        assert [one["tool_call_id"] for one in sent["messages"][2:]] == [
            made["id"] for made in message["tool_calls"]
        ]


@pytest.mark.parametrize("fields", [{}, {"n": 2}])
def test_unknown_tools_are_the_agents_own_business(fields: dict[str, Any]) -> None:
    """Subagents and the like run side by side, as the model called them."""
    calls = [call(f"c{n}", "task", {"prompt": str(n)}) for n in range(3)]
    made = completion({"role": "assistant", "tool_calls": calls})
    assert Bench(PLAIN).ask({**EDIT_REQUEST, **fields}, made) == made


def test_what_cannot_come_later_does_not_wait() -> None:
    """Of several choices only one goes on: nothing could be handed out later."""
    made = completion(own("a.py", "a.py"))
    assert Bench(PLAIN).ask({**EDIT_REQUEST, "n": 2}, made) == made


@pytest.mark.parametrize("cut", [False, True])
def test_a_reader_that_stops_at_the_finish(cut: bool) -> None:
    """What is remembered does not wait for the end mark, nor for the finish of a message."""
    bench = Bench(PLAIN)
    translator = bench.translator(EDIT_REQUEST)
    translator.request()
    reads = {"calls": [{"tool": "read_file", "arguments": {"path": "b.py"}}]}
    parts = [
        chunk({"tool_calls": [{**call("b", "batch", reads), "index": 0}]}),
        chunk({"tool_calls": [{**call("c", "multi_edit", EDITS), "index": 1}]}),
        *([] if cut else [chunk({}, "tool_calls")]),
    ]
    made = [(part, translator.chunk(part)) for part in parts]
    seen = gather([new for part, news in made for new in ([part] if news is None else news)])
    assert len(seen["tool_calls"]) == (1 if cut else 2)
    history = [EDIT_USER, *answer({"role": "assistant", **seen})]
    local = bench.translator({**EDIT_REQUEST, "messages": history}).local_answer()
    assert (local is None) is cut
    derived = ids.decode(seen["tool_calls"][0]["id"])
    assert derived is not None
    assert bench.memory.turns.named(derived.turn, 0.0)


@given(st.data(), texts)
def test_late_fields_follow_the_first_call(data: st.DataObject, signature: str) -> None:
    """A signature rides on the first derived call, wherever in the stream it comes."""
    signed = {"extra_content": {"google": {"thought_signature": signature}}}
    reads = call("c", "multi_read", {"files": [{"path": "a"}, {"path": "b"}]})
    chunks = data.draw(interleaved([reads]))
    place = data.draw(st.integers(1, len(chunks) - 1))
    chunks.insert(place, chunk({"tool_calls": [{"index": 0, **signed}]}))
    first, second = forms(Bench(PLAIN).ask_streamed(EDIT_REQUEST, chunks))
    assert first["extra_content"] == signed["extra_content"]
    assert "extra_content" not in second
