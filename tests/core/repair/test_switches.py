"""Each repair has a switch: off, its defect passes untouched; on, it is mended."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest

from batchwrap.core.repair.request.mend import mend
from batchwrap.core.repair.request.profiles import profile_of
from batchwrap.errors import ContextLimitExceeded
from batchwrap.options import Batching, Options, Repair
from tests.core.harness import Bench, call, chunk, completion
from tests.core.repair.samples import ENTRIES, Entry, chunks_of, run
from tests.strategies import EDIT_FILE, READ_FILE

# No repair at all, switch by switch.
OFF: dict[str, Any] = {
    field.name: "off" if isinstance(field.default, str) else False
    for field in fields(Repair)
    if field.name not in ("provider", "max_output")
} | {"max_output": None}
NONE = Repair(**OFF)
ALL = Repair.all()


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
    """A defect that one switch is for.

    Attributes:
        entry: the answer that has it, and no other.
        counted: what is counted when it is on.
        gives: a piece of what is then handed out.
    """

    entry: Entry
    counted: str
    gives: bytes


def repaired(switch: str, made: Entry, gives: str) -> tuple[str, Case]:
    """A case that is counted under the name of its switch."""
    return switch, Case(made, f"repairs.{switch}", gives.encode())


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


def on(switch: str, base: Repair) -> Repair:
    """The options with the switch as in `Repair.all()`."""
    return replace(base, **{switch: getattr(ALL, switch)})


def off(switch: str, base: Repair) -> Repair:
    """The options without the switch."""
    return replace(base, **{switch: OFF[switch]})


@pytest.mark.parametrize("switch", CASES)
def test_on(switch: str) -> None:
    """With its switch on the defect is mended and counted, even if all others are off."""
    case = CASES[switch]
    for options in (on(switch, NONE), ALL):
        out = run(case.entry, options)
        assert out.raw != b"".join(chunks_of(case.entry["sample"]))
        assert case.gives in out.raw
        assert out.exchange.tally.counts[case.counted] >= 1


@pytest.mark.parametrize("switch", CASES)
def test_off(switch: str) -> None:
    """With its switch off the defect passes to the byte, even if all others are on."""
    case = CASES[switch]
    for options in (NONE, off(switch, ALL)):
        out = run(case.entry, options)
        assert out.raw == b"".join(chunks_of(case.entry["sample"]))
        assert out.status == case.entry["sample"].get("status", 200)
        assert case.counted not in out.exchange.tally.counts


USER = {"role": "user", "content": "go"}
THOUGHT = {"role": "assistant", "content": None, "tool_calls": [call("c1", "f", {})]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "x"}
# Requests whose one defect a switch is for: the body, and the provider.
REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "history": (entry("req.pair-2")["sample"]["body"], "any"),
    "fields": (entry("req.fields-1")["sample"]["body"], "cerebras"),
    "rearrange": (entry("req.alternate-1")["sample"]["body"], "strict-alternation"),
    "fold_failures": (entry("hist.failed-1")["sample"]["body"], "any"),
    "max_output": (entry("ctx.budget-1")["sample"]["body"], "cerebras"),
}


@pytest.mark.parametrize("switch", REQUESTS)
def test_requests(switch: str) -> None:
    """A request's defect is mended with its switch on and left alone with it off."""
    body, provider = REQUESTS[switch]
    profile = profile_of(provider)
    for options in (on(switch, NONE), ALL):
        counted: list[str] = []
        assert mend(body, profile, options, counted.append) != body
        assert switch in counted
    for options in (NONE, off(switch, ALL)):
        counted = []
        assert mend(body, profile, options, counted.append) is body
        assert counted == []


@pytest.mark.parametrize("is_on", [True, False])
def test_thoughts(is_on: bool) -> None:
    """Thoughts are kept and sent back with their switch on, and an empty text with it off."""
    options = replace(ALL, provider="deepseek", thoughts=is_on)
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
    assert bench.tally.counts.get("defects.context_overflow", 0) == told


def test_every_switch() -> None:
    """No switch is left out here."""
    known = {*CASES, *REQUESTS, "thoughts", "preflight", "provider"}
    assert known == {field.name for field in fields(Repair)}
