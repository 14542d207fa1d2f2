"""What is special about the logs of single agents, and formats that are recognised but not read."""

from __future__ import annotations

import gzip
import sys
import zipfile
from itertools import repeat
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.analyze import Report, analyze
from batchwrap.analyze.log_formats.text_calls import calls_in
from batchwrap.analyze.report_words import asked_of_the_model
from batchwrap.analyze.tables import headline
from tests.analyze import agent_samples, samples
from tests.analyze.samples import Json, lines


def report_of(folder: Path, *contents: bytes) -> Report:
    """The report of files with these contents."""
    for number, content in enumerate(contents):
        (folder / f"{number}.log").write_bytes(content)
    return analyze([str(folder)])


def shape(report: Report) -> tuple[int, int, int, int]:
    """Sessions, round trips, calls, and calls that were the only one of their turn."""
    totals = report.totals
    tools = totals.tools.values()
    return totals.sessions, totals.requests, totals.calls, sum(tool.alone for tool in tools)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pi", b"pi-1", b"pi-2"),
        ("qwen_code", b"qwen-1", b"qwen-2"),
        ("gemini_document", b"gemini-1", b"gemini-2"),
        ("vscode_log", b"chat-1", b"chat-2"),
    ],
)
def test_copies_count_once(name: str, old: bytes, new: bytes, tmp_path: Path) -> None:
    """A fork or a branch repeats the answers before it, which were round trips only once."""
    log = {**agent_samples.MEASURED, **agent_samples.ESTIMATED}[name]()
    report = report_of(tmp_path, log, log.replace(old, new))
    assert shape(report) == (1, 6, 5, 5)
    assert [one.reason for one in report.problems] == ["holds no answer of a model, or only copies"]


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("openhands", b'"r0"', b'"r1"'),
        ("openhands_v0", b'"id": "r0"', b'"id": "r1"'),
        ("copilot_cli", b'"apiCallId":"a0"', b'"apiCallId":"a1"'),
    ],
)
def test_one_answer_with_two_calls(name: str, first: bytes, second: bytes, tmp_path: Path) -> None:
    """Events with one response id are one round trip with two calls."""
    log = agent_samples.MEASURED[name]()
    assert second in log
    assert shape(report_of(tmp_path, log.replace(second, first))) == (1, 5, 5, 3)


def test_two_calls_in_what_was_seen(tmp_path: Path) -> None:
    """An answer with several calls has made tool calls, since XML allows only one."""
    seen = orjson.loads(agent_samples.cline_seen())
    assert "5 calls are text" in " ".join(
        asked_of_the_model(report_of(tmp_path, orjson.dumps(seen)).totals)
    )
    second = [n for n, one in enumerate(seen) if one.get("say") == "api_req_started"][1]
    del seen[second]
    report = report_of(tmp_path, orjson.dumps(seen))
    assert (shape(report), report.totals.text_calls) == ((1, 5, 5, 3), 0)


def test_what_only_looks_like_cline(tmp_path: Path) -> None:
    """Cline's requests in a log of chat completions are read as such, with their tool calls."""
    begun = agent_samples.cline_history()[0]
    history = [begun, *samples.chat_history(5)[1:], samples.chat_answer(5)]
    requests = [
        {"messages": [begun, *samples.chat_history(turn)[1:]], **samples.completion(turn)}
        for turn in range(6)
    ]
    report = report_of(tmp_path, lines({"messages": history}), lines(*requests))
    assert (shape(report), report.totals.text_calls) == ((2, 12, 10, 10), 0)
    assert dict(report.formats) == {"chat messages": 2}


def test_requests_of_cline_that_failed(tmp_path: Path) -> None:
    """A request that was cancelled before it had an answer is no round trip."""
    seen = orjson.loads(agent_samples.cline_seen())
    cancelled = orjson.dumps({"request": "x", "cancelReason": "user_cancelled"}).decode()
    told = {"ts": 3, "type": "say", "say": "api_req_started", "text": cancelled}
    report = report_of(tmp_path, orjson.dumps([*seen[:1], told, *seen[1:]]))
    assert shape(report) == (1, 6, 5, 5)


def test_older_logs_of_copilot(tmp_path: Path) -> None:
    """Where answers do not have their calls, those that begin after them are theirs."""
    events = [orjson.loads(line) for line in agent_samples.copilot_cli().splitlines()]
    for event in events:
        event["data"].pop("toolRequests", None)
    report = report_of(tmp_path, lines(*events))
    assert shape(report) == (1, 6, 5, 5)
    assert report.totals.tools["view"].own == 3


def test_gemini_without_ids(tmp_path: Path) -> None:
    """Messages of other writers have no ids. Each of them counts."""
    log = orjson.loads(agent_samples.gemini_document())
    for message in log["messages"]:
        del message["id"]
    about = {key: log[key] for key in ("sessionId", "projectHash")}
    report = report_of(tmp_path, orjson.dumps(log), lines(about, *log["messages"]))
    assert shape(report) == (2, 12, 10, 10)


def test_a_task_of_cline_counts_once(tmp_path: Path) -> None:
    """Of the two files of a task only the history is read; alone, what the user saw is."""
    seen = tmp_path / "task" / "ui_messages.json"
    seen.parent.mkdir()
    seen.write_bytes(agent_samples.cline_seen())
    assert shape(analyze([str(tmp_path)])) == (1, 6, 5, 5)
    (seen.parent / "api_conversation_history.json").write_bytes(agent_samples.cline())
    report = analyze([str(tmp_path)])
    assert (shape(report), report.totals.text_calls, report.problems) == ((1, 6, 5, 5), 0, [])
    assert analyze([str(seen)]).totals.text_calls == 5


def test_calls_in_text_are_named(tmp_path: Path) -> None:
    """A history whose calls are XML says so, and shows no saving of nought percent."""
    report = report_of(tmp_path, agent_samples.cline_xml())
    assert headline(report) == (
        "Batching cannot save any of 6 round trips: all 5 calls are text that the agent reads, such"
        " as XML, and no tool calls."
    )
    report = report_of(tmp_path, agent_samples.cline_xml(), agent_samples.pi())
    assert headline(report).startswith("Batching would save 8.3 to 16.7 % of 12 round trips")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<read_file>\n<path>a.py</path>\n</read_file>", [("read_file", {"path": "a.py"})]),
        (
            "<read_file>\n<args><file><path>a.py</path></file></args>\n</read_file>",
            [("read_file", {"path": "a.py"})],
        ),
        (
            "Go.\n<list_files>\n<path>.</path>\n</list_files>\n<read_file>\n</read_file>\n",
            [("list_files", {"path": "."}), ("read_file", {})],
        ),
        ('<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>', [("f", '{"a": 1}')]),
        ("<function=f>\n<parameter=a>\n1\n</parameter>\n</function>", [("f", {"a": "1"})]),
        ("Write `<read_file>` to read a file, and end it with </read_file>.", []),
        ("<read_file>\n<path>a.py</path>", []),
        ("I read a file.", []),
    ],
)
def test_calls_in_a_text(text: str, expected: list[Any]) -> None:
    """Tags of Cline and Roo Code, and the markup of models; prose about them is no call."""
    assert calls_in(text) == expected


_PIECES = ["<read_file>", "</read_file>", "<path>", "</path>", "<tool_call>", "</tool_call>"]
_PIECES += ["<function=f>", "</function>", "\n", "a", "{", "<parameter=a>", "</parameter>"]


@given(st.lists(st.sampled_from(_PIECES), max_size=40).map("".join))
def test_any_text(text: str) -> None:
    """Whatever is written, calls are found or not, and each has a name."""
    assert all(name for name, _ in calls_in(text))


def test_events_in_files_of_their_own(tmp_path: Path) -> None:
    """A folder of events is one conversation, in the order of their numbers; a cut one is named."""
    for version, log in (("1", agent_samples.openhands()), ("0", agent_samples.openhands_v0())):
        folder = tmp_path / version / "events"
        folder.mkdir(parents=True)
        events = log.splitlines() if version == "1" else map(orjson.dumps, orjson.loads(log))
        for number, event in enumerate(events):
            name = f"event-{number:05d}-0a1b2c3d.json" if version == "1" else f"{number}.json"
            (folder / name).write_bytes(event)
        report = analyze([str(tmp_path / version)])
        assert (shape(report), report.problems) == ((1, 6, 5, 5), [])
    (folder / "9.json").write_bytes(b'{"id": 9, ')
    (folder / "10.json").write_bytes(b"")
    (folder / "11.json").write_bytes(gzip.compress(b'{"id": 11}')[:-9])
    report = analyze([str(tmp_path)])
    [problem] = report.problems
    assert report.totals.sessions == 2
    assert (problem.file, problem.reason) == (
        str(folder),
        "3 files cannot be read, the first is file 9.json",
    )


def test_a_damaged_eval_log(tmp_path: Path) -> None:
    """An archive that was cut, one with a broken sample, and one of something else."""
    whole = agent_samples.inspect_eval()
    (tmp_path / "cut.eval").write_bytes(whole[:-30])
    with zipfile.ZipFile(tmp_path / "broken.eval", "w") as archive:
        archive.writestr("samples/one.json", orjson.dumps(agent_samples.inspect_sample()))
        archive.writestr("samples/two.json", b'{"id": 2')
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", b"x")
    report = analyze([str(tmp_path)])
    assert shape(report) == (1, 6, 5, 5)
    broken, cut, other = (one.reason for one in report.problems)
    assert broken == "document samples/two.json is no JSON"
    assert "a zip archive that breaks off" in cut
    assert "without samples of Inspect AI" in other


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
@given(data=st.data())
def test_any_damage(method: int, data: st.DataObject) -> None:
    """Whatever bytes of an archive are others, it is read or skipped."""
    with NamedTemporaryFile(suffix=".eval") as file:
        with zipfile.ZipFile(file, "w", method) as archive:
            archive.writestr("samples/one.json", orjson.dumps(agent_samples.inspect_sample()))
        place = data.draw(st.integers(4, file.tell() - 1))
        file.seek(place)
        file.write(data.draw(st.binary(min_size=1, max_size=3)))
        file.flush()
        assert analyze([file.name]).skipped in (0, 1)


def test_an_archive_that_unpacks_to_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample that is larger than a line may be, or would be too many objects, is not read."""
    monkeypatch.setattr("batchwrap.analyze.files._LONGEST_LINE", 10_000)
    monkeypatch.setattr("batchwrap.analyze.files._MOST_VALUES", 1_000)
    for name, text in (("large", b" " * 10_001), ("many", b"[%s0]" % (b"0," * 1_000))):
        with zipfile.ZipFile(tmp_path / f"{name}.eval", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("samples/one.json", text)
    large, many = (one.reason for one in analyze([str(tmp_path)]).problems)
    assert "samples/one.json has more than" in large
    assert "more than 1,000 values" in many


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python reads zstd")
def test_an_eval_log_in_zstd(tmp_path: Path) -> None:
    """A compression that this Python does not have is named, with what to do."""
    log = bytearray(agent_samples.inspect_eval())
    for begin, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):  # where headers name the method
        at = log.find(begin)
        while at >= 0:
            log[at + place] = 93
            at = log.find(begin, at + 1)
    [problem] = report_of(tmp_path, bytes(log)).problems
    assert "inspect log convert --to json" in problem.reason


def test_older_forms_of_codex(tmp_path: Path) -> None:
    """A header and bare items, line by line or as one document, are the same rollout."""
    records = [orjson.loads(line) for line in samples.codex().splitlines()]
    items = [one["payload"] for one in records if one["type"] == "response_item"]
    header = {"id": "codex-0", "timestamp": agent_samples.WHEN, "instructions": "Help."}
    document = {"session": {**header, "id": "codex-2"}, "items": items}
    report = report_of(tmp_path, lines(header, *items), orjson.dumps(document))
    assert shape(report) == (2, 12, 10, 10)
    assert dict(report.formats) == {"Codex": 2}


def test_items_of_the_responses_api(tmp_path: Path) -> None:
    """A saved input is a conversation, as a list or in an object."""
    items = [*samples.input_of(5), *samples.items_of(5)]
    report = report_of(tmp_path, orjson.dumps(items), lines({"input": items}))
    assert shape(report) == (2, 12, 10, 10)
    assert dict(report.formats) == {"Responses API": 2}


def test_what_claude_code_prints(tmp_path: Path) -> None:
    """The output of ``claude -p`` as JSON lines reads as its log does."""
    log = samples.claude_code().replace(b'"sessionId"', b'"session_id"')
    begun = {"type": "system", "subtype": "init", "session_id": "claude-1", "tools": ["Read"]}
    report = report_of(tmp_path, lines(begun) + log)
    assert shape(report) == (1, 6, 5, 5)
    assert dict(report.formats) == {"Claude Code": 1}


@pytest.mark.parametrize("marked", ["agentId", "parentToolCallId"])
def test_subagents_of_copilot(marked: str, tmp_path: Path) -> None:
    """Events of a subagent are a session of their own."""
    events = [orjson.loads(line) for line in agent_samples.copilot_cli().splitlines()]
    inner = [orjson.loads(orjson.dumps(event)) for event in events[2:]]
    for event in inner:
        (event if marked == "agentId" else event["data"])[marked] = "call_9"
        for key in ("apiCallId", "messageId"):
            event["data"][key] = f"inner-{event['data'].get(key)}"
    mixed = [*events[:2], *(one for pair in zip(events[2:], inner, strict=True) for one in pair)]
    assert shape(report_of(tmp_path, lines(*mixed))) == (2, 12, 10, 10)


GOOSE = {"role": "assistant", "created": 1, "content": [{"type": "toolRequest", "id": "t"}]}
PARTS = {"id": "m", "role": "assistant", "parts": [{"type": "tool-read", "toolCallId": "t"}]}
UNREAD: list[tuple[Json | list[Any], str]] = [
    ({"display": "Go.", "pastedContents": {}, "project": "/job"}, "prompt history of Claude Code"),
    ({"session_id": "s", "ts": 1, "text": "Go."}, "prompt history of Codex"),
    (
        [{"sessionId": "s", "messageId": 0, "type": "user", "message": "Go."}],
        "prompt log of Gemini CLI",
    ),
    ({"sessionId": "s", "startTime": "x", "timeline": []}, "a session of an older Copilot CLI"),
    (GOOSE, "a session of Goose"),
    ({"working_dir": "/job", "conversation": [GOOSE]}, "a session of Goose"),
    ({"history": [{"message": {}, "contextItems": []}]}, "a session of Continue"),
    ([PARTS], "messages of the Vercel AI SDK"),
    ({"log": {"version": "1.2", "entries": []}}, "an HTTP archive"),
    ([{"title": "x", "mapping": {}, "current_node": "y"}], "an export of ChatGPT"),
    ({"run_type": "llm", "inputs": {}}, "a run of LangSmith"),
    ({"traceId": "t", "startTime": "x", "level": "DEFAULT"}, "an observation of Langfuse"),
    ({"contents": [], "generationConfig": {}}, "requests to Gemini's API"),
]


@pytest.mark.parametrize(("record", "name"), UNREAD)
def test_recognised_but_not_read(record: Any, name: str, tmp_path: Path) -> None:
    """The format is named, with what can be read instead, and other files are read."""
    report = report_of(tmp_path, orjson.dumps(record), samples.conversation())
    assert report.totals.sessions == 1
    [problem] = report.problems
    assert problem.reason.startswith("is not read: it is ") and name in problem.reason


@pytest.mark.parametrize(
    ("content", "name"),
    [(b"SQLite format 3\0" + bytes(99), "SQLite database"), (b"PAR1" + bytes(99), "Parquet file")],
)
def test_databases(content: bytes, name: str, tmp_path: Path) -> None:
    """A file that agents keep sessions in is named, although it is no text."""
    [problem] = report_of(tmp_path, content).problems
    assert "is a" in problem.reason and name in problem.reason


def test_a_chat_without_rounds(tmp_path: Path) -> None:
    """A request without rounds is one answer; if it had calls, the report says what is missing."""
    request: Json = {"requestId": "r", "message": "Why?", "response": [{"value": "So."}]}
    chat = {"responderUsername": "GitHub Copilot", "requests": [request]}
    report = report_of(tmp_path, orjson.dumps(chat))
    assert (shape(report), report.problems) == ((1, 1, 0, 0), [])
    request["response"].append({"kind": "toolInvocationSerialized", "toolId": "read"})
    [problem] = report_of(tmp_path, orjson.dumps(chat)).problems
    assert "saved without the model's answers" in problem.reason


def test_changes_that_fit_nothing(tmp_path: Path) -> None:
    """A log of changes with odd paths is read as far as they fit."""
    paths: list[Any] = [None, [], ["requests", 7, "x"], ["requests", "0"], [0], [[]], ["a", "b"]]
    odd = [{"kind": kind, "k": path, "v": [1], "i": -1} for kind in range(5) for path in paths]
    begun, *rest = agent_samples.vscode_log().splitlines(keepends=True)
    report = report_of(tmp_path, begun + lines(*odd[7:]) + b"".join(rest))
    assert shape(report) == (1, 6, 5, 5)


def test_many_files_of_all_kinds(tmp_path: Path) -> None:
    """A folder with every sample: each counts as it does alone."""
    found = {**samples.SAMPLES, **agent_samples.MEASURED, **agent_samples.ESTIMATED}
    for name, made in found.items():
        (tmp_path / name).write_bytes(made())
    report = analyze([str(tmp_path)])
    # The same sessions in two forms: one of each pair is a copy of the other.
    copies = [one.file for one in report.problems]
    assert [Path(file).name for file in copies] == ["gemini_lines", "vscode_log"]
    assert report.totals.requests == 6 * (len(found) - len(copies))


def test_a_long_history_of_text_calls(tmp_path: Path) -> None:
    """Each message of a long history is looked at once: 2,000 answers give 2,000 calls."""
    begun, answer, told, *_ = orjson.loads(agent_samples.cline_xml())
    history = [begun, *(one for _ in range(2_000) for one in (answer, told))]
    report = report_of(tmp_path, orjson.dumps(history))
    assert shape(report) == (1, 2_000, 2_000, 2_000)
    assert calls_in("".join(repeat("<tool_call>", 20_000))) == []
