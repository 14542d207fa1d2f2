"""Logs of requests: litellm's and OpenTelemetry's own ways, and conversations put together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from batchwrap.analyze import Report, analyze
from batchwrap.analyze.log_formats.requests import LoggedRequest, Stitcher
from tests.analyze import samples

REFUSED = {"error": {"message": "Too many requests.", "code": 429}}


def report_of(tmp_path: Path, *records: samples.Json) -> Report:
    (tmp_path / "log").write_bytes(samples.lines(*records))
    return analyze([str(tmp_path / "log")])


def payloads() -> list[samples.Json]:
    return [orjson.loads(line) for line in samples.litellm().splitlines()]


def spans() -> list[samples.Json]:
    return [orjson.loads(b"{" + span) for span in (b"\n" + samples.sdk_spans()).split(b"\n{")[1:]]


def test_redacted(tmp_path: Path) -> None:
    """A log without messages is skipped, and the reason is said."""
    messages = [{"role": "user", "content": "redacted-by-litellm"}]
    report = report_of(tmp_path, *({**one, "messages": messages} for one in payloads()))
    assert report.problems[0].reason == "its messages were redacted when they were logged"


def test_failures_are_no_round_trips(tmp_path: Path) -> None:
    """What the provider refused is left out; what a callback got is found inside it."""
    failed = {**payloads()[0], "status": "failure", "response": None}
    nested = [{"standard_logging_object": one} for one in payloads()]
    report = report_of(tmp_path, {"standard_logging_object": failed}, *nested)
    assert report.totals.requests == 6


@pytest.mark.parametrize(
    "said",
    [{"response": None}, {"response": REFUSED}, {"response": {"body": REFUSED}}, REFUSED],
)
@pytest.mark.parametrize("log", [samples.requests, samples.responses])
def test_refused_requests(log: Callable[[], bytes], said: samples.Json, tmp_path: Path) -> None:
    """A request that was refused and repeated is one round trip, and no conversation of its own."""
    answered = [orjson.loads(line) for line in log().splitlines()]
    refused = [{"request": one["request"], **said} for one in answered]
    pairs = zip(refused, answered, strict=True)
    report = report_of(tmp_path, *(one for pair in pairs for one in pair))
    assert (report.totals.sessions, report.totals.requests) == (1, len(answered))


def test_a_conversation_that_ended_with_an_error(tmp_path: Path) -> None:
    """Its round trips count, unlike those of a request that was refused."""
    report = report_of(tmp_path, {**orjson.loads(samples.conversation()), **REFUSED})
    assert (report.totals.sessions, report.totals.requests) == (1, 6)


def test_usage_of_the_payload(tmp_path: Path) -> None:
    """Without the provider's own numbers those of the payload count."""
    bare = [{**one, "metadata": {}} for one in payloads()]
    for one in bare:
        del one["response"]["usage"]
    report = report_of(tmp_path, *bare)
    assert report.totals.prompt_tokens == sum(map(samples.prompt_tokens, range(6)))
    assert report.totals.cached_tokens == 0


def test_contents_that_were_not_captured(tmp_path: Path) -> None:
    """Spans without messages tell nothing; the reason says what was missing."""
    for span in (bare := spans()):
        del span["attributes"]["gen_ai.input.messages"]
    reason = report_of(tmp_path, *bare).problems[0].reason
    assert "gen_ai.input.messages" in reason and "not captured" in reason


def structured(value: Any) -> samples.Json:
    """A value in OTLP, lists and maps as such."""
    if isinstance(value, list):
        return {"arrayValue": {"values": [structured(one) for one in value]}}
    if isinstance(value, dict):
        pairs = [{"key": key, "value": structured(one)} for key, one in value.items()]
        return {"kvlistValue": {"values": pairs}}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


@pytest.mark.parametrize("number", ["9" * 5_000, "--5", "²"])
def test_integers_as_texts(tmp_path: Path, number: str) -> None:
    """What is no integer of 64 bits in an attribute counts as none."""
    exports = []
    for span in spans():
        pairs = [{"key": key, "value": structured(it)} for key, it in span["attributes"].items()]
        for pair in pairs:
            if "intValue" in pair["value"]:
                pair["value"] = {"intValue": number}
        logs = {"scopeLogs": [{"logRecords": [{"attributes": pairs}]}]}
        exports.append({"resourceLogs": [logs]})
    assert report_of(tmp_path, *exports).totals.requests == 6


def test_structured_messages(tmp_path: Path) -> None:
    """Events hold messages as lists and maps, with the system's words apart."""
    exports = []
    for span in spans():
        given = span["attributes"]
        for key in ("gen_ai.input.messages", "gen_ai.output.messages"):
            given[key] = orjson.loads(given[key])
        given["gen_ai.system_instructions"] = [{"type": "text", "content": "Be brief."}]
        pairs = [{"key": key, "value": structured(value)} for key, value in given.items()]
        logs = {"scopeLogs": [{"logRecords": [{"attributes": pairs}]}]}
        exports.append({"resourceLogs": [logs]})
    report = report_of(tmp_path, *exports)
    assert (report.totals.sessions, report.totals.requests) == (1, 6)
    assert report.totals.tools["Read"].calls == 3
    assert report.totals.estimated == 0


@pytest.mark.parametrize("turns", [1, 3])
def test_many_conversations_at_once(turns: int) -> None:
    """Each goes on under its own name; only so many are remembered."""
    stitcher = Stitcher("made", "log")
    names: list[set[str]] = []
    for turn in range(turns):
        names.append(set())
        for number in range(300):
            answer = {"role": "assistant", "content": "yes"}
            messages = [{"role": "user", "content": str(number)}, *[answer] * turn]
            request = LoggedRequest(messages=messages, answer=answer)
            names[-1] |= {said.session for said in stitcher.said(request)}
    assert [len(found) for found in names] == [300] * turns
    # 256 are remembered, so the first of 300 are begun anew; none goes on under another's name.
    assert len(set.union(*names)) == 300 * turns


def test_custom_calls(tmp_path: Path) -> None:
    """A call whose input is a text is counted, and is said to be nothing that can be declared."""
    patch = "*** Begin Patch\n*** Update File: a.py\n@@\n-1\n+2\n*** End Patch\n"
    calls = [
        {"type": "custom_tool_call", "call_id": f"c{n}", "name": "apply_patch", "input": patch}
        for n in range(3)
    ]
    items: list[samples.Json] = [{"role": "user", "content": "Mend a.py."}]
    records = []
    for call in calls:
        answer = {"output": [call], "usage": {"input_tokens": 9, "output_tokens": 1}}
        records.append({"request": {"input": list(items)}, "response": answer})
        output = {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "Done"}
        items += [call, output]
    report = report_of(tmp_path, *records)
    assert report.totals.requests == 3
    [tool] = report.totals.tools.values()
    assert (tool.calls, tool.as_text, tool.safe, tool.upper) == (3, 3, 0, 0)


def test_forks_of_a_response(tmp_path: Path) -> None:
    """Two requests that continue the same response by its id belong to its session."""
    first = {"request": {"input": "Hi."}, "response": {**samples.response(0), "id": "resp_a"}}
    forks = [
        {
            "request": {"input": text, "previous_response_id": "resp_a"},
            "response": {**samples.response(5), "id": f"resp_{text}"},
        }
        for text in ("b", "c")
    ]
    report = report_of(tmp_path, first, *forks)
    assert (report.totals.sessions, report.totals.requests) == (1, 3)
