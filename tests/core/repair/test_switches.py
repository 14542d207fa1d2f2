"""Each repair has an option: off, its defect passes untouched; on, it is repaired."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from batchwrap.core.repair.request.request_repair import repair_request
from batchwrap.errors import ConfigError, ContextLimitExceeded
from batchwrap.options import Batching, Options, Repair
from batchwrap.providers import rules_named
from tests.core.harness import Bench, call, chunk, completion
from tests.core.repair.samples import ENTRIES, Entry, chunks_of, run
from tests.strategies import EDIT_FILE, READ_FILE

# No repair at all, option by option.
OFF: dict[str, Any] = {
    field.name: "off" if isinstance(field.default, str) else False
    for field in fields(Repair)
    if field.name not in ("provider", "max_output")
} | {"max_output": None}
NONE = Repair(**OFF)
ALL = Repair.all()
# The option of each repair that has not one of the same name.
GROUPS = {
    **dict.fromkeys(["chunk_shape", "whole_answers", "usage", "finish_reason"], "stream"),
    **dict.fromkeys(["call_index", "call_id", "call_name", "residue"], "calls"),
    **dict.fromkeys(["empty_answers", "incomplete"], "errors"),
    **dict.fromkeys(["history", "fields"], "request"),
    "refused_calls": "leaked_calls",
    "thoughts": "keep_reasoning",
}


def entry(name: str) -> Entry:
    """An entry of the collection."""
    return next(one for one in ENTRIES if one["id"] == name)


def stream(*deltas: dict[str, Any], finish: str = "tool_calls", model: str = "m") -> Entry:
    """An answer of these deltas."""
    chunks = [*map(chunk, deltas), chunk({}, finish)]
    lines = [*(f"data: {json.dumps(one)}" for one in chunks), "data: [DONE]"]
    context = {"model": model, "tools": [READ_FILE, EDIT_FILE]}
    return {
        "id": "made",
        "request_context": context,
        "sample": {"format": "sse_lines", "lines": lines},
    }


def opening(arguments: str, **more: Any) -> dict[str, Any]:
    """A delta with a whole call."""
    made = {"index": 0, **call("c1", "read_file", arguments), **more}
    return {"tool_calls": [made]}


@dataclass(frozen=True)
class Case:
    """A defect that one repair is for.

    Attributes:
        entry: the answer that has it, and no other.
        counted: what is counted when it is on.
        gives: a piece of what is then handed out.
    """

    entry: Entry
    counted: str
    gives: bytes


def repaired(name: str, made: Entry, gives: str) -> tuple[str, Case]:
    """A case that is counted under the name of its repair."""
    return name, Case(made, f"repairs.{name}", gives.encode())


CASES = dict(
    [
        repaired("call_index", entry("idx.same0-1"), '"index":1'),
        repaired("call_id", entry("id.missing-1"), '"id":"10'),
        repaired("call_name", entry("leak.harmony-name-1"), '"name":"grep"'),
        repaired("arguments", stream(opening('{"path": "a",}')), r"\"}"),
        repaired("snapshots", entry("args.snapshot-1"), ""),
        repaired("finish_reason", entry("fin.stop-with-calls-1"), '"finish_reason":"tool_calls"'),
        repaired("chunk_shape", entry("shape.message-chunk-1"), '"delta":{'),
        repaired("whole_answers", entry("shape.stream-as-json-1"), "data: [DONE]"),
        repaired("usage", entry("chunk.usage-3"), ""),
        repaired("residue", entry("leak.residue-1"), ""),
        repaired("leaked_calls", entry("leak.hermes-json-2"), '"tool_calls":[{'),
        repaired("refused_calls", entry("err.groq-tool-1"), '"name":"web_search"'),
        repaired("think_tags", entry("think.inline-1"), '"reasoning_content":'),
        (
            "empty_answers",
            Case(entry("fin.empty-1"), "defects.empty_response", b"batchwrap_empty_response"),
        ),
        (
            "incomplete",
            Case(entry("end.premature-1"), "defects.incomplete_stream", b"batchwrap_incomplete"),
        ),
        ("errors", Case(entry("err.envelope-1"), "defects.invalid_request", b'{"error":{')),
    ]
)


def on(name: str, base: Repair) -> Repair:
    """The options with the one of a repair as in `Repair.all()`."""
    option = GROUPS.get(name, name)
    return replace(base, **{option: getattr(ALL, option)})


def off(name: str, base: Repair) -> Repair:
    """The options without the one of a repair."""
    option = GROUPS.get(name, name)
    return replace(base, **{option: OFF[option]})


@pytest.mark.parametrize("name", CASES)
def test_on(name: str) -> None:
    """With its option on the defect is repaired and counted, even if all others are off."""
    case = CASES[name]
    for options in (on(name, NONE), ALL):
        out = run(case.entry, options)
        assert out.raw != b"".join(chunks_of(case.entry["sample"]))
        assert case.gives in out.raw
        assert out.exchange.metrics.counts[case.counted] >= 1


@pytest.mark.parametrize("name", CASES)
def test_off(name: str) -> None:
    """With its option off the defect passes to the byte, even if all others are on."""
    case = CASES[name]
    for options in (NONE, off(name, ALL)):
        out = run(case.entry, options)
        assert out.raw == b"".join(chunks_of(case.entry["sample"]))
        assert out.status == case.entry["sample"].get("status", 200)
        assert case.counted not in out.exchange.metrics.counts


USER = {"role": "user", "content": "go"}
THOUGHT = {"role": "assistant", "content": None, "tool_calls": [call("c1", "f", {})]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "x"}
# Requests whose one defect a repair is for: the body, and the provider.
REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "history": (entry("req.pair-2")["sample"]["body"], "any"),
    "fields": (entry("req.fields-1")["sample"]["body"], "cerebras"),
    "rearrange": (entry("req.alternate-1")["sample"]["body"], "strict-alternation"),
    "fold_failures": (entry("hist.failed-1")["sample"]["body"], "any"),
    "max_output": (entry("ctx.budget-1")["sample"]["body"], "cerebras"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests(name: str) -> None:
    """A request's defect is repaired with its option on and left alone with it off."""
    body, provider = REQUESTS[name]
    rules = rules_named(provider)
    for options in (on(name, NONE), ALL):
        counted: list[str] = []
        assert repair_request(body, rules, options, counted.append) != body
        assert name in counted
    for options in (NONE, off(name, ALL)):
        counted = []
        assert repair_request(body, rules, options, counted.append) is body
        assert counted == []


@pytest.mark.parametrize("is_on", [True, False])
def test_thoughts(is_on: bool) -> None:
    """Reasoning content is kept and sent back with its option on, an empty text with it off."""
    options = replace(ALL, provider="deepseek", keep_reasoning=is_on)
    bench = Bench(replace(Bench().options, repair=options))
    said = {**THOUGHT, "reasoning_content": "Hm."}
    bench.ask({"model": "m", "messages": [USER]}, completion(said, "tool_calls"))
    sent = bench.request({"model": "m", "messages": [USER, THOUGHT, RESULT]})
    assert sent is not None
    assert sent["messages"][1]["reasoning_content"] == ("Hm." if is_on else "")


@pytest.mark.parametrize(
    ("mode", "told", "outcome"),
    [
        ("refuse", 1, pytest.raises(ContextLimitExceeded)),
        ("note", 1, nullcontext()),
        ("off", 0, nullcontext()),
    ],
)
def test_preflight(mode: Any, told: int, outcome: AbstractContextManager[object]) -> None:
    """A request that is too large is refused, told of, or neither."""
    batching = Batching(context_tokens=1_000)
    bench = Bench(Options(repair=replace(NONE, preflight=mode), batching=batching))
    translator = bench.translator({"model": "m", "messages": [USER]})
    translator.request()
    with outcome:
        translator.repair.check_size(5_000)
    assert bench.metrics.counts.get("defects.context_overflow", 0) == told


def test_every_option() -> None:
    """No option is left out here."""
    known = {*CASES, *REQUESTS, "thoughts", "preflight", "provider"}
    assert {GROUPS.get(name, name) for name in known} == {field.name for field in fields(Repair)}


@pytest.mark.parametrize(("name", "option"), GROUPS.items())
def test_name_of_one_repair(name: str, option: str) -> None:
    """The name of a repair that is part of a group is refused, and the error names the group."""
    given: dict[str, Any] = {name: False}
    with pytest.raises(ConfigError, match=f"Repair.{name}: it belongs to Repair.{option}"):
        Repair(**given)
    with pytest.raises(ConfigError, match=f"Repair.{option}"):
        replace(Repair(), **given)
