"""Every defect of the collection is repaired, left alone or reported, as its entry says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchwrap.core.repair.arguments import ArgumentStream, names_not_text, repair_arguments
from batchwrap.options import Repair
from tests.core.repair.samples import (
    ENTRIES,
    Entry,
    check,
    chunks_of,
    entries,
    play,
    recut,
    run,
)

ANSWERS = entries("sse_lines", "sse_chunks_b64", "json_body", "raw_body", "http_error")
STREAMS = entries("sse_lines", "sse_chunks_b64")
ARGUMENTS = entries("args")
READ_ONLY = ("read_file", "grep", "list_dir", "search_docs")
# A client that hangs up is an error of the HTTP library, which nothing of ours sees.
ABRUPT = {entry["id"] for entry in ENTRIES if entry["sample"].get("close") == "abrupt"}


def names(entry: Entry) -> str:
    """The name of a test."""
    return str(entry["id"])


@pytest.mark.parametrize("entry", ANSWERS, ids=names)
def test_answers(entry: Entry) -> None:
    """An answer is what its entry says, with all repairs on."""
    check(entry)


@pytest.mark.parametrize("size", [1, 2, 7, 64])
@pytest.mark.parametrize("entry", STREAMS, ids=names)
def test_streams_in_pieces(entry: Entry, size: int) -> None:
    """However the network cuts a stream, at every byte or at others, the answer is the same."""
    whole = b"".join(pieces_of(entry))
    check(entry, [whole[at : at + size] for at in range(0, len(whole), size)])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11])
@pytest.mark.parametrize("entry", entries("sse_lines"), ids=names)
def test_texts_in_pieces(entry: Entry, size: int) -> None:
    """However the model's text comes, character by character or in one, it is read the same."""
    if any('"message"' in line for line in entry["sample"]["lines"]):
        return  # whole messages have no pieces
    if entry["id"] == "leak.neg-prose-1" or "joiner" not in entry["sample"]:
        check(entry, recut(entry["sample"], size))


def pieces_of(entry: Entry) -> list[bytes]:
    """The sample as it comes."""
    return chunks_of(entry["sample"])


LEAKS = [
    entry
    for entry in entries("sse_lines")
    if entry["area"].startswith("leak") and "tool_calls" not in "".join(entry["sample"]["lines"])
]


@pytest.mark.parametrize("entry", LEAKS, ids=names)
def test_leaks_in_plain_answers(entry: Entry) -> None:
    """A leak in a plain answer is read as in a stream."""
    chunks = [json.loads(line[6:]) for line in entry["sample"]["lines"] if "{" in line]
    deltas = [chunk["choices"][0] for chunk in chunks]
    said = {
        key: "".join(choice["delta"].get(key) or "" for choice in deltas)
        for key in ("content", "reasoning_content")
    }
    message = {"role": "assistant", **{key: text for key, text in said.items() if text}}
    body = {
        "id": "x",
        "choices": [{"index": 0, "message": message, "finish_reason": deltas[-1]["finish_reason"]}],
    }
    check({**entry, "sample": {"format": "json_body", "body": body}})


@pytest.mark.parametrize("entry", LEAKS, ids=names)
def test_by_default_leaks_stay_text(entry: Entry) -> None:
    """Nobody who has not asked for it gets calls out of a text: it keeps its bytes."""
    seen = play(entry, Repair())
    assert seen.message["tool_calls"] == []
    assert seen.handed_out == b"".join(pieces_of(entry))


@pytest.mark.parametrize("entry", ANSWERS, ids=names)
def test_switched_off(entry: Entry) -> None:
    """With repair off each answer keeps its bytes, and nothing is counted or reported."""
    out = run(entry, None)
    assert out.raw == b"".join(pieces_of(entry))
    assert out.status == entry["sample"].get("status", 200)
    assert [event for event in out.exchange.metrics.events if event.name == "defect"] == []
    assert not any(name.startswith(("repairs", "defects")) for name in out.exchange.metrics.counts)


@pytest.mark.parametrize("entry", ARGUMENTS, ids=names)
def test_arguments(entry: Entry) -> None:
    """Arguments become what their entry says, or are handed on as they came, with the reason."""
    sample, wanted = entry["sample"], entry["expected_after_repair"]
    parameters, dangerous = _tool(entry)
    made = repair_arguments(sample["raw"], parameters, dangerous=dangerous, bold=True)
    if wanted["kind"] == "refuse":
        assert (made.refused, made.text) == (wanted["reason"], sample["raw"])
    else:
        assert json.loads(made.text) == wanted["arguments"]
        assert made.refused == ""
    if entry["negative"]:
        assert made.text == sample["raw"]


@pytest.mark.parametrize("size", [1, 2, 5, 1_000])
@pytest.mark.parametrize("entry", ARGUMENTS, ids=names)
def test_streamed_arguments(entry: Entry, size: int) -> None:
    """Streamed, in pieces of any size, arguments end up as they do in one piece."""
    raw = entry["sample"]["raw"]
    parameters, dangerous = _tool(entry)
    whole = repair_arguments(raw, parameters, dangerous=dangerous, bold=True)
    stream, out = ArgumentStream(names_not_text(parameters)), ""
    for at in range(0, len(raw), size):
        before = stream.handed_on
        if stream.feed(raw[at : at + size]):
            out += stream.text[before:]
    rest, made = stream.finish(parameters, dangerous=dangerous, bold=True)
    assert out + rest == whole.text
    assert made == whole
    assert raw.startswith(out), "what went out before the defect is as it came"


def _tool(entry: Entry) -> tuple[Any, bool]:
    name = entry["sample"]["tool"]
    tools = {tool["function"]["name"]: tool for tool in entry["request_context"]["tools"]}
    return tools[name]["function"]["parameters"], name not in READ_ONLY
