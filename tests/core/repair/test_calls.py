"""Repairs put broken tool calls right, one by one, and leave healthy ones alone."""

import json
from typing import Any

import pytest

from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.formats.chat import piece_alone
from batchwrap.core.formats.format import Look
from batchwrap.core.repair.answer_repair import AnswerContext, AnswerRepair
from batchwrap.core.repair.declared_tools import DeclaredTools
from batchwrap.core.repair.repair_counts import RepairCounts
from batchwrap.options import Repair
from tests.core.harness import call, chunk, completion, gather
from tests.strategies import EDIT_FILE, READ_FILE

TOOLS = [READ_FILE, EDIT_FILE]


class Stream:
    """A repair of one answer."""

    def __init__(self, **options: Any) -> None:
        self.metrics = ExchangeMetrics()
        asked = AnswerContext(body={"model": "m", "tools": TOOLS}, tools=DeclaredTools(TOOLS))
        ledger = RepairCounts(self.metrics)
        self.repair = AnswerRepair(Repair(**options), asked, lambda length: "x" * length, ledger)

    def take(self, *chunks: dict[str, Any]) -> dict[str, Any]:
        """The message that a careful client reads."""
        seen: list[dict[str, Any]] = []
        for piece in chunks:
            made = self._taken(piece)
            made = self.repair.chunk(piece) if made is Look.CLOSER else made
            seen += [piece] if made is None else made
        return gather(seen)

    def _taken(self, piece: dict[str, Any]) -> Any:
        """What the fast path makes of a chunk."""
        alone = piece_alone(piece)
        take = None if alone is None else self.repair.take_of(*alone[:2])
        return Look.CLOSER if take is None or alone is None else take(alone[2])

    def counted(self) -> dict[str, int]:
        """How often each repair was needed."""
        return {name.removeprefix("repairs."): n for name, n in self.metrics.counts.items()}


def part(index: int | None, arguments: str, call_id: str | None = None, name: str | None = None):  # type: ignore[no-untyped-def]
    """A chunk with one fragment of a call, with the fields that are given."""
    fragment: dict[str, Any] = {} if index is None else {"index": index}
    fragment |= {} if call_id is None else {"id": call_id}
    fragment["function"] = {"arguments": arguments} | ({} if name is None else {"name": name})
    return chunk({"tool_calls": [fragment]})


def calls_of(message: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(id, name, arguments) of each call."""
    return [
        (made["id"], made["function"]["name"], made["function"]["arguments"])
        for made in message["tool_calls"]
    ]


def test_missing_index() -> None:
    """Calls without an index: a name opens one, anything else continues the last."""
    stream = Stream()
    message = stream.take(
        part(None, "", "a", "read_file"),
        part(None, '{"path":'),
        part(None, '"x"}'),
        part(None, "{}", "b", "edit_file"),
    )
    assert calls_of(message) == [("a", "read_file", '{"path":"x"}'), ("b", "edit_file", "{}")]
    assert stream.counted() == {"call_index": 4}


def test_index_used_twice() -> None:
    """Another call under an index in use gets one of its own, once the first is complete."""
    stream = Stream()
    message = stream.take(
        part(0, '{"path": "x"}', "a", "read_file"),
        part(0, '{"path":', "b", "read_file"),
        part(0, '"y"}'),
    )
    assert calls_of(message) == [
        ("a", "read_file", '{"path": "x"}'),
        ("b", "read_file", '{"path":"y"}'),
    ]
    assert stream.counted() == {"call_index": 2}


def test_a_new_id_alone_opens_nothing() -> None:
    """An id that changes from fragment to fragment is one call."""
    stream = Stream()
    message = stream.take(part(0, '{"path":', "a", "read_file"), part(0, '"x"}', "b"))
    assert calls_of(message) == [("a", "read_file", '{"path":"x"}')]
    assert stream.counted() == {"call_id": 1}


def test_missing_id() -> None:
    """A call without an id gets one that every provider takes back."""
    stream = Stream()
    assert calls_of(stream.take(part(0, "{}", "", "read_file"))) == [("x" * 9, "read_file", "{}")]
    assert stream.counted() == {"call_id": 1}


def test_finish_reason() -> None:
    """A message that calls tools does not end with "stop"."""
    stream = Stream()
    message = stream.take(part(0, "{}", "a", "read_file"), chunk({}, "stop"))
    assert message["finish_reason"] == "tool_calls"
    assert stream.counted() == {"finish_reason": 1}


def test_a_plain_message() -> None:
    """A plain message is repaired in the same way."""
    stream = Stream()
    made = completion({"tool_calls": [call("", "read_file", {"path": "a"})]}, "stop")
    [repaired] = stream.repair.completion(made)["choices"]
    assert repaired["message"]["tool_calls"][0]["id"] == "x" * 9
    assert repaired["finish_reason"] == "tool_calls"
    assert made["choices"][0]["finish_reason"] == "stop", "the provider's own is not changed"


def test_healthy_messages_are_the_same_objects() -> None:
    """Interleaved, parallel and text-only streams go through as they are."""
    stream = Stream()
    for piece in (
        chunk({"role": "assistant", "content": "hi"}),
        part(0, "", "a", "read_file"),
        part(1, "", "b", "read_file"),
        part(0, '{"path": "x"}'),
        part(1, '{"path": "y"}'),
        chunk({}, "tool_calls"),
    ):
        assert stream.repair.chunk(piece) is None
    assert stream.repair.end(marked=True) == []
    text = completion({"content": "hi"}, "stop")
    assert Stream().repair.completion(text) is text
    assert stream.counted() == {}


def test_several_choices() -> None:
    """Each choice is repaired by itself, however they are mixed."""
    stream = Stream(leaked_calls="gated")
    leak = '<tool_call>{"name": "read_file", "arguments": {"path": "y"}}</tool_call>'

    def both(*deltas: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        listed = enumerate(deltas)
        choices = [{"index": n, "delta": d, "finish_reason": finish} for n, d in listed]
        return {**chunk({}), "choices": choices}

    opened = {"id": "a", "function": {"name": "read_file", "arguments": '{"path":'}}
    rest = {"function": {"arguments": '"x",}'}}
    given = [both({"tool_calls": [opened]}, {"content": leak[:30]})]
    given += [both({"tool_calls": [rest]}, {"content": leak[30:]}), both({}, {}, finish="stop")]
    seen: list[dict[str, Any]] = []
    for piece in given:
        made = stream.repair.chunk(piece)
        seen += [piece] if made is None else made
    for index, path in enumerate("xy"):
        own = [
            {**one, "choices": [c for c in one["choices"] if c["index"] == index]} for one in seen
        ]
        message = gather([one for one in own if one["choices"]])
        [(_, name, arguments)] = calls_of(message)
        assert (name, json.loads(arguments)) == ("read_file", {"path": path})
        assert message["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("option", "broken"),
    [
        ("calls", part(None, "{}", "a", "read_file")),
        ("calls", part(0, "{}", "", "read_file")),
        ("stream", chunk({"tool_calls": [{**call("a", "f", "{}"), "index": 0}]}, "stop")),
    ],
)
def test_off(option: str, broken: dict[str, Any]) -> None:
    """A group of repairs that is switched off changes nothing."""
    assert Stream(**{option: False}).repair.chunk(broken) is None
