"""More of the same classes of defects, and healthy text that looks like them.

Other models and providers, other orders of fields, other splits, several calls, calls beside
text: what is built for the class repairs them, and leaves alone what only looks like them.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from batchwrap.core.repair.arguments import repair_arguments
from batchwrap.core.repair.request.history import NO_RESULT
from batchwrap.core.repair.request.request_repair import repair_request
from batchwrap.options import Repair
from batchwrap.providers import rules_named
from tests.core.harness import call
from tests.core.repair.samples import Entry, check, chunks_of, play, recut

_DATA = json.loads(
    (Path(__file__).parents[1] / "data" / "instances.json").read_text(encoding="utf-8")
)
ENTRIES: list[Entry] = [
    {**one, "request_context": {"model": "m", "tools": _DATA["tools"], **one["request_context"]}}
    for one in _DATA["entries"]
]
ANSWERS = [one for one in ENTRIES if one["sample"]["format"] != "args"]
TEXTS = [one for one in ANSWERS if one["sample"]["format"] == "sse_lines"]
# Those whose texts may be cut anew; of snapshots the cuts are the defect.
CUT = [one for one in TEXTS if not one.get("as_it_comes")]
ARGUMENTS = [one for one in ENTRIES if one["sample"]["format"] == "args"]


@pytest.mark.parametrize("entry", ANSWERS, ids=lambda entry: entry["id"])
def test_answers(entry: Entry) -> None:
    """Each instance becomes what its class becomes, with all repairs on."""
    check(entry)


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("entry", TEXTS, ids=lambda entry: entry["id"])
def test_cut_by_the_network(entry: Entry, size: int) -> None:
    """However the network cuts a stream, at every byte or at others, the answer is the same."""
    whole = b"".join(chunks_of(entry["sample"]))
    check(entry, [whole[at : at + size] for at in range(0, len(whole), size)])


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("entry", CUT, ids=lambda entry: entry["id"])
def test_in_pieces(entry: Entry, size: int) -> None:
    """However the model's text comes, it is read the same."""
    check(entry, recut(entry["sample"], size))


@pytest.mark.parametrize(
    "entry", [one for one in ANSWERS if one.get("healthy")], ids=lambda entry: entry["id"]
)
@pytest.mark.parametrize("options", [Repair(), Repair.all()], ids=["default", "all"])
@pytest.mark.parametrize("size", [1, 10_000])
def test_healthy(entry: Entry, options: Repair, size: int) -> None:
    """What only looks like a defect keeps its bytes, with all repairs on, and counts as none."""
    raw = b"".join(chunks_of(entry["sample"]))
    seen = play(entry, options, [raw[at : at + size] for at in range(0, len(raw), size)])
    assert seen.handed_out == raw
    assert not any(name.startswith("repairs") for name in seen.counts)


PLAIN_TEXTS = [one for one in TEXTS if '"tool_calls"' not in "".join(one["sample"]["lines"])]


@pytest.mark.parametrize("entry", PLAIN_TEXTS, ids=lambda entry: entry["id"])
def test_text_by_default(entry: Entry) -> None:
    """Without being asked to, repair makes no call out of any text."""
    seen = play(entry, Repair())
    assert seen.message["tool_calls"] == []
    assert not {"repairs.leaked_calls", "repairs.think_tags"} & seen.counts.keys()


@pytest.mark.parametrize("entry", ARGUMENTS, ids=lambda entry: entry["id"])
def test_arguments(entry: Entry) -> None:
    """Arguments are put right where no content changes, and else come back with a reason."""
    raw, wanted = entry["sample"]["raw"], entry["expected_after_repair"]
    parameters = _DATA["tools"][0]["function"]["parameters"]
    made = repair_arguments(raw, parameters, dangerous=True, bold=True)
    if wanted["kind"] == "refuse":
        assert made.refused and made.text == raw
    else:
        assert json.loads(made.text) == wanted["arguments"]


USER = {"role": "user", "content": "u"}


def turn(*ids: Any, content: Any = None, arguments: Any = "{}") -> dict[str, Any]:
    """An assistant message with these calls."""
    calls = [{**call(one, "f", {}), "id": one} for one in ids]
    for one in calls:
        one["function"]["arguments"] = arguments
    return {"role": "assistant", "content": content, "tool_calls": calls}


def result(call_id: Any, content: Any = "r") -> dict[str, Any]:
    """A result."""
    return {"role": "tool", "tool_call_id": call_id, "content": content}


NAMELESS = {"role": "tool", "name": "f", "content": "r"}
# What is sent for a history, by what is wrong with it.
HISTORIES: dict[str, tuple[list[Any], list[Any]]] = {
    "two results": (
        [turn("a", "b"), result("a", "1"), result("a", "2"), result("b")],
        [turn("a", "b"), result("a", "1\n\n2"), result("b")],
    ),
    "one result twice": ([turn("a"), result("a"), result("a")], [turn("a"), result("a")]),
    "an orphan first": ([result("z"), USER], [USER]),
    "an orphan behind": ([turn("a"), result("a"), result("z")], [turn("a"), result("a")]),
    "a user between": (
        [turn("a", "b"), result("a"), USER, result("b")],
        [turn("a", "b"), result("a"), result("b"), USER],
    ),
    "no result": (
        [turn("a"), {"role": "assistant", "content": "x"}],
        [turn("a"), result("a", NO_RESULT), {"role": "assistant", "content": "x"}],
    ),
    "a result without an id": ([turn("a"), NAMELESS], [turn("a"), result("a") | {"name": "f"}]),
    "arguments in a list": ([turn("a", arguments="[1]"), result("a")], [turn("a"), result("a")]),
    "no arguments": ([turn("a", arguments=None), result("a")], [turn("a"), result("a")]),
    "arguments twice encoded": (
        [turn("a", arguments='"{\\"k\\": 1}"'), result("a")],
        [turn("a", arguments='{"k": 1}'), result("a")],
    ),
    "arguments in a fence": (
        [turn("a", arguments='```json\n{"k": "ä"}\n```'), result("a")],
        [turn("a", arguments='{"k": "ä"}'), result("a")],
    ),
    "a number for a result": ([turn("a"), result("a", 5)], [turn("a"), result("a", "5")]),
    "data for a result": (
        [turn("a"), result("a", [{"k": "ä"}])],
        [turn("a"), result("a", '[{"k": "ä"}]')],
    ),
    "an empty turn": ([{"role": "assistant", "content": ""}, USER], [USER]),
}
RIGHT: dict[str, list[Any]] = {
    "results in another order": [turn("a", "b"), result("b"), result("a")],
    "half a surrogate": [turn("a", arguments='{"k": "\\ud83c"}'), result("a")],
    "parts for a result": [turn("a"), result("a", [{"type": "text", "text": "r"}])],
    "Kimi's ids": [turn("functions.f:0"), result("functions.f:0")],
    "a turn that goes on": [turn("a", "b")],
    "two turns of one tool": [turn("a"), result("a"), turn("b"), result("b")],
}


@pytest.mark.parametrize("name", HISTORIES)
def test_histories(name: str) -> None:
    """A broken history is sent as providers take it; the agent's own stays as it was."""
    given, wanted = HISTORIES[name]
    body = {"model": "m", "messages": [USER, *given]}
    before = copy.deepcopy(body)
    counted: list[str] = []
    made = repair_request(body, rules_named("any"), Repair(), counted.append)
    assert made["messages"] == [USER, *wanted]
    assert set(counted) == {"history"}
    assert body == before


@pytest.mark.parametrize("name", RIGHT)
def test_histories_that_are_right(name: str) -> None:
    """A history that providers take is the same object."""
    body = {"model": "m", "messages": [USER, *RIGHT[name]]}
    assert repair_request(body, rules_named("any"), Repair.all(), pytest.fail) is body
