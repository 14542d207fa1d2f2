"""Calls of other forms than functions: custom ones, those of namespaces, toolsets, programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.exchange.fast_path import FastPath
from batchwrap.core.exchange.memory import Memory
from batchwrap.core.exchange.passthrough import NoSalvage
from batchwrap.core.formats.format import Look
from batchwrap.core.moves.script_run import ScriptRun
from batchwrap.options import Batching, Options, ReadAhead
from tests.core.apis import MESSAGES, RESPONSES, Api
from tests.core.harness import Bench
from tests.strategies import EDIT_FILE, READ_FILE

Body = dict[str, Any]
REASONING = ("thinking", "reasoning")


def _edit(number: int) -> Body:
    return {"path": "a.py", "old_string": "x", "new_string": str(number)}


# What the model calls: an edit of one file, so that each waits for the one before, or something
# that nobody knows, which waits for the edits.
_kinds = st.lists(st.sampled_from(["edit", "other", "custom"]), min_size=1, max_size=5)


def _item(number: int, kind: str) -> Body:
    call = {"id": f"fc_{number}", "type": "function_call", "call_id": f"call_{number}"}
    call["status"] = "completed"
    if kind == "edit":
        return {**call, "name": "edit_file", "arguments": json.dumps(_edit(number))}
    if kind == "other":
        return {**call, "name": "spawn", "namespace": "agents", "arguments": f'{{"task":{number}}}'}
    raw = {"type": "custom_tool_call", "id": f"ctc_{number}", "name": "exec"}
    return {**call, **raw, "input": f"*** {number}"}


def _item_events(items: list[Body], size: int) -> list[Body]:
    events: list[Body] = [{"type": "response.created", "response": {"id": "resp_1", "output": []}}]
    for index, item in enumerate(items):
        if item["type"] == "reasoning":
            series = ("response.output_item.added", "response.output_item.done")
            events += [{"type": kind, "output_index": index, "item": dict(item)} for kind in series]
            continue
        is_custom = item["type"] == "custom_tool_call"
        key = "input" if is_custom else "arguments"
        kind = "custom_tool_call_input" if is_custom else "function_call_arguments"
        place = {"output_index": index, "item_id": item["id"]}
        added = {"type": "response.output_item.added", "output_index": index}
        done = {"type": "response.output_item.done", "output_index": index, "item": item}
        events += [
            {**added, "item": {**item, key: "", "status": "in_progress"}},
            *(
                {"type": f"response.{kind}.delta", **place, "delta": piece}
                for piece in _pieces(item[key], size)
            ),
            {"type": f"response.{kind}.done", **place, key: item[key]},
            done,
        ]
    final = {"id": "resp_1", "status": "completed", "output": items}
    return [*events, {"type": "response.completed", "response": final}]


def _pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _items_in(events: list[Body]) -> list[Body]:
    """The items of a stream, which its events and its last one tell alike."""
    texts: dict[int, str] = {}
    done = []
    for event in events:
        if event["type"].endswith(".delta"):
            texts[event["output_index"]] = texts.get(event["output_index"], "") + event["delta"]
        if event["type"] == "response.output_item.done":
            item = event["item"]
            assert item.get("status", "completed") == "completed"
            done.append(item)
            if item["type"] == "reasoning":
                continue
            assert texts[event["output_index"]] == item.get("input", item.get("arguments"))
    assert events[-1]["response"]["output"] == done
    return done


def _answered(items: list[Body]) -> list[Body]:
    return [
        {"type": f"{item['type']}_output", "call_id": item["call_id"], "output": _result(item)}
        for item in items
    ]


def _result(call: Body) -> str:
    return f"ran {json.dumps(_said(call))}"


def _said(call: Body) -> list[Any]:
    """What a call says, apart from its ids."""
    given = [call.get(key) for key in ("arguments", "input")]
    read = [json.loads(one) if isinstance(one, str) and one[0] == "{" else one for one in given]
    return [call["type"], call["name"], *read]


def _block(number: int, kind: str) -> Body:
    call = {"type": "tool_use", "id": f"toolu_{number}"}
    if kind == "edit":
        return {**call, "name": "edit_file", "input": _edit(number)}
    return {**call, "name": "click", "toolset_name": "browser", "input": {"x": number}}


def _block_events(blocks: list[Body], size: int) -> list[Body]:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
    events: list[Body] = [{"type": "message_start", "message": message}]
    for index, block in enumerate(blocks):
        delta = {"type": "content_block_delta", "index": index}
        if block["type"] == "thinking":
            events += [
                {"type": "content_block_start", "index": index, "content_block": dict(block)},
                {"type": "content_block_stop", "index": index},
            ]
            continue
        begun = {**block, "input": {}}
        events += [
            {"type": "content_block_start", "index": index, "content_block": begun},
            *(
                {**delta, "delta": {"type": "input_json_delta", "partial_json": piece}}
                for piece in _pieces(json.dumps(block["input"]), size)
            ),
            {"type": "content_block_stop", "index": index},
        ]
    ended = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}
    return [*events, ended, {"type": "message_stop"}]


def _blocks_in(events: list[Body]) -> list[Body]:
    blocks: list[Body] = []
    for event in events:
        match event["type"]:
            case "content_block_start":
                assert event["index"] == len(blocks)
                blocks.append(event["content_block"])
                if blocks[-1]["type"] == "tool_use":
                    blocks[-1] = {**blocks[-1], "input": ""}
            case "content_block_delta":
                blocks[event["index"]]["input"] += event["delta"]["partial_json"]
            case "content_block_stop":
                block = blocks[event["index"]]
                if block["type"] == "tool_use":
                    block["input"] = json.loads(block["input"] or "{}")
    return blocks


class _Agent:
    """An agent that answers each call, and what its model said."""

    def __init__(self, api: Api, size: int | None, **options: Any) -> None:
        self.bench = Bench(Options(**options), api=api)
        self.is_messages = api is MESSAGES
        self.size = size
        self.calls: list[Body] = []
        task = {"role": "user", "content": "Edit a.py."}
        self.history: list[Body] = [task]
        tools = [READ_FILE["function"], EDIT_FILE["function"]]
        if self.is_messages:
            listed = [{"name": one["name"], "input_schema": one["parameters"]} for one in tools]
        else:
            listed = [{"type": "function", **one} for one in tools]
        self.fields: Body = {"model": "m", "tools": listed, "store": False}

    @property
    def body(self) -> Body:
        key = self.bench.api.format.items_key
        return {**self.fields, key: self.history}

    def first(self, calls: list[Body]) -> list[Body]:
        """What the agent gets of an answer."""
        translator = self.bench.translator(self.body)
        translator.request()
        if self.size is None:
            key = "content" if self.is_messages else "output"
            whole: Body = {key: calls, "stop_reason": "tool_use", "status": "completed"}
            seen = translator.response(whole)
            assert not isinstance(seen, ScriptRun)
            return (seen or whole)[key]  # type: ignore[no-any-return]
        path = FastPath(self.bench.api.format.piece_alone, translator.route_of, NoSalvage())
        out: list[Body] = []
        events = (_block_events if self.is_messages else _item_events)(calls, self.size)
        for event in events:
            write = path.take(event)
            if write is Look.CLOSER:
                path.close()
                new = translator.chunk(event)
            else:
                new = None if write is None else write(partial(dict, event))
            out += [event] if new is None else new
        return (_blocks_in if self.is_messages else _items_in)(out)

    def run(self, calls: list[Body]) -> list[Body]:
        """Run a turn to its end; what the provider gets then."""
        got: list[Body] | None = self.first(calls)
        while got is not None:
            made = [one for one in got if one["type"] not in REASONING]
            self.calls += made
            if self.is_messages:
                results = [
                    {"type": "tool_result", "tool_use_id": one["id"], "content": _result(one)}
                    for one in made
                ]
                said = {"role": "assistant", "content": got}
                self.history = [*self.history, said, {"role": "user", "content": results}]
            else:
                self.history = [*self.history, *got, *_answered(made)]
            got = self.waiting()
        sent = self.bench.translator(self.body).request() or self.body
        fault = self.bench.api.form.fault_in(sent)
        assert fault is None or "signature" in fault  # which nobody has made here
        return sent[self.bench.api.format.items_key]  # type: ignore[no-any-return]

    def waiting(self) -> list[Body] | None:
        """What is handed out without a round trip."""
        local = self.bench.translator(self.body).local_answer()
        if local is None:
            return None
        if self.size is None:
            return local.completion()["content" if self.is_messages else "output"]  # type: ignore[no-any-return]
        events = local.chunks(with_usage=False)
        return (_blocks_in if self.is_messages else _items_in)(events)


@pytest.mark.parametrize(("api", "call"), [(MESSAGES, _block), (RESPONSES, _item)])
@given(kinds=_kinds, size=st.none() | st.integers(1, 40))
def test_each_runs_as_it_was_made(
    api: Api, call: Callable[[int, str], Body], kinds: list[str], size: int | None
) -> None:
    """The agent gets each call once, in order and in its own form; the model sees its own."""
    calls = [call(number, kind) for number, kind in enumerate(kinds)]
    agent = _Agent(api, size)
    sent = agent.run(calls)
    assert [_said(one) for one in agent.calls] == [_said(one) for one in calls]
    if api is MESSAGES:
        said, answered = sent[1]["content"], sent[2]["content"]
        assert [one["content"] for one in answered] == [_result(one) for one in calls]
    else:
        said, answered = sent[1 : 1 + len(calls)], sent[1 + len(calls) :]
        assert answered == _answered(calls)
    assert said == calls


PROGRAM: Body = {"type": "program", "caller_id": "prog_1"}
CODE: Body = {"type": "code_execution_20260120", "tool_id": "srvtoolu_1"}


def _read_item(number: int, caller: Body | None) -> Body:
    call = {**_item(number, "edit"), "name": "read_file", "arguments": '{"path":"a.py"}'}
    return call if caller is None else {**call, "caller": caller}


def _read_block(number: int, caller: Body | None) -> Body:
    call = {**_block(number, "edit"), "name": "read_file", "input": {"path": "a.py"}}
    return call if caller is None else {**call, "caller": caller}


@pytest.mark.parametrize(
    ("api", "call", "program"), [(MESSAGES, _read_block, CODE), (RESPONSES, _read_item, PROGRAM)]
)
@pytest.mark.parametrize("size", [None, 5])
@pytest.mark.parametrize("is_program", [True, False])
def test_results_for_programs(
    api: Api, call: Callable[..., Body], program: Body, size: int | None, is_program: bool
) -> None:
    """A program gets what its tool gives: no reminder stands in it, and no read is added."""
    agent = _Agent(api, size, batching=Batching(read_ahead=ReadAhead()))
    agent.history = [{"role": "user", "content": "Mend a.py, b.py and c.py."}]
    for number in range(4):
        sent = agent.run([call(number, program if is_program else None)])
    is_as_it_came = [_has(sent, result) for result in map(_result, agent.calls)]
    assert len(agent.calls) == 4 if is_program else len(agent.calls) > 4
    assert all(is_as_it_came) == is_program


def _has(items: list[Body], result: str) -> bool:
    """Whether a result stands in a conversation as the agent gave it."""
    blocks = [one for item in items for one in (item, *_listed(item.get("content")))]
    return any(result in (block.get("output"), block.get("content")) for block in blocks)


def _listed(content: object) -> list[Body]:
    return content if isinstance(content, list) else []


@pytest.mark.parametrize("size", [None, 5])
@pytest.mark.parametrize("kind", ["other", "edit"])
def test_any_first_call_shows_the_offer(kind: str, size: int | None) -> None:
    """Where thinking is signed, each turn with calls says that multi-tools were offered."""
    agent = _Agent(MESSAGES, size)
    agent.fields["thinking"] = {"type": "adaptive"}
    first = agent.bench.translator(agent.body).request()
    agent.run([_block(0, kind)])
    agent.bench.memory = Memory()
    second = agent.bench.translator(agent.body).request()
    assert first is not None and second is not None
    assert len(first["tools"]) > len(agent.fields["tools"])
    assert second["tools"] == first["tools"]
    assert second["messages"][1]["content"] == [_block(0, kind)]


def _reasoned_item(number: int, kind: str) -> Body:
    thought = {"type": "reasoning", "id": f"rs_{number}", "summary": []}
    return thought if kind == "think" else _item(number, kind)


def _reasoned_block(number: int, kind: str) -> Body:
    thought = {"type": "thinking", "thinking": f"Hm {number}.", "signature": "s"}
    return thought if kind == "think" else _block(number, kind)


@pytest.mark.parametrize(
    ("api", "call"), [(MESSAGES, _reasoned_block), (RESPONSES, _reasoned_item)]
)
@pytest.mark.parametrize("forgets", [False, True])
@given(
    kinds=st.lists(st.sampled_from(["edit", "think", "other"]), max_size=5),
    size=st.none() | st.integers(1, 40),
)
def test_reasoning_stays_before_its_call(
    api: Api, call: Callable[[int, str], Body], forgets: bool, kinds: list[str], size: int | None
) -> None:
    """Whatever waits and is forgotten, the model sees what it said in its order."""
    made = [call(number, kind) for number, kind in enumerate([*kinds, "edit"])]
    agent = _Agent(api, size)
    if api is MESSAGES:
        agent.fields["thinking"] = {"type": "adaptive"}
    agent.run(made)
    if forgets:
        agent.bench.memory = Memory()
    sent = agent.bench.translator(agent.body).request() or agent.body
    fault = api.form.fault_in(sent)
    assert fault is None or "signature" in fault  # which nobody has made here
    if api is MESSAGES:
        said = sent["messages"][1]["content"]
    else:
        said = [item for item in sent["input"][1:] if not item["type"].endswith("_output")]
        for one, own in zip(said, made, strict=True):  # an id of ours is left out
            assert one.get("id") in (None, own["id"])
        said = [{**one, "id": own["id"]} for one, own in zip(said, made, strict=True)]
    assert said == made
    calls = [one for one in made if one["type"] not in REASONING]
    assert [_said(one) for one in agent.calls] == [_said(one) for one in calls]


@pytest.mark.parametrize(("api", "call"), [(MESSAGES, _read_block), (RESPONSES, _read_item)])
@pytest.mark.parametrize("size", [None, 5])
def test_native_multi_tools(api: Api, call: Callable[..., Body], size: int | None) -> None:
    """Calls become one of the agent's own multi-tool, streamed or not."""
    agent = _Agent(api, size)
    paths = {"type": "array", "items": {"type": "string"}}
    schema = {"type": "object", "properties": {"paths": paths}, "required": ["paths"]}
    named = {"name": "read_many_files", "description": "Read several files."}
    is_messages = api is MESSAGES
    made = {"input_schema": schema} if is_messages else {"type": "function", "parameters": schema}
    agent.fields["tools"] = [*agent.fields["tools"], {**named, **made}]
    calls = [call(number, None) for number in range(2)]
    for path, one in zip(("a.py", "b.py"), calls, strict=True):
        given = {"path": path}
        one |= {"input": given} if is_messages else {"arguments": json.dumps(given)}
    [merged] = agent.first(calls)
    assert merged["name"] == "read_many_files"
    given = merged["input"] if is_messages else json.loads(merged["arguments"])
    assert given == {"paths": ["a.py", "b.py"]}
