"""Each format is recognised by its content, and tells the same story."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.analyze import FORMATS, analyze
from batchwrap.analyze.files import LogFile
from batchwrap.analyze.log_formats import sessions_in
from batchwrap.analyze.record import LogReading
from batchwrap.analyze.recorded_session import Session
from batchwrap.core.limits.cost import Usage
from tests.analyze import agent_samples, samples
from tests.strategies import examples

SAMPLES = {**samples.SAMPLES, **agent_samples.MEASURED, **agent_samples.ESTIMATED}
NAMES = {**samples.FORMATS, **agent_samples.FORMATS}
SHELLS = ("codex", "swe_agent")
AS_TEXT = ("swe_agent", *agent_samples.AS_TEXT)
ODD: list[Any] = [
    None,
    0,
    -1,
    1.5,
    True,
    "",
    "x",
    [],
    {},
    [None],
    {"role": 5},
    [[]],
    "{",
    float("1e300"),
]


NESTED = "nested"


def nested() -> Any:
    """What can be read, and is too deep for some that write JSON."""
    value: Any = []
    for _ in range(900):
        value = {"text": value}
    return value


def read(tmp_path: Path, content: bytes, name: str = "some.file") -> tuple[str, list[Session]]:
    """The format of a file with this content, and its sessions."""
    file = tmp_path / name
    file.write_bytes(content)
    found, sessions = sessions_in(LogFile(file), LogReading())
    return found, list(sessions)


def whole(session: Session) -> list[tuple[str, str | None, int | None, bool]]:
    """What the calls of a session did."""
    return [(call.kind, call.path, call.known_from, call.failed) for call in session.calls]


@pytest.mark.parametrize("name", SAMPLES)
def test_the_same_story(name: str, tmp_path: Path) -> None:
    """Six turns; what each did, to which file, from when that was known, and what failed."""
    found, [session] = read(tmp_path, SAMPLES[name]())
    assert found == NAMES.get(name, "chat messages")
    shell = "shell_" if name in SHELLS else ""
    # A skeleton says only that a name was known. What Cline's user saw has no contents of files.
    named_later = {"skeleton": 0, "cline_seen": None}.get(name, 1)
    assert len(session.turns) == 6
    assert whole(session) == [
        (f"{shell}read", "src/a.py", 0, False),
        (f"{shell}read", "src/b.py", 0, False),
        ("shell_write" if shell else "edit", "src/a.py", 0, False),
        ("shell_other", None, None if name != "skeleton" else 0, True),
        (f"{shell}read", "src/c.py", named_later, False),
    ]
    assert {turn.model for turn in session.turns} <= {"swift", ""}
    own = [call.own for call in session.calls]
    by_command = name in (*SHELLS, *AS_TEXT, *agent_samples.COMMANDS)
    assert own == ([False] * 5 if by_command else [True, True, True, False, True])
    assert all(call.as_text == (name in AS_TEXT) for call in session.calls)


@pytest.mark.parametrize("name", [*samples.MEASURED, *agent_samples.MEASURED])
def test_tokens_of_the_log(name: str, tmp_path: Path) -> None:
    """Where a log says what requests used, that is what counts."""
    _, [session] = read(tmp_path, SAMPLES[name]())
    usages = [turn.usage for turn in session.turns]
    assert [usage.prompt_tokens for usage in usages] == [samples.prompt_tokens(n) for n in range(6)]
    assert [usage.cached_tokens for usage in usages] == [samples.cached_tokens(n) for n in range(6)]
    assert {usage.completion_tokens for usage in usages} == {20}
    assert not any(turn.estimated for turn in session.turns)


@pytest.mark.parametrize("name", [*samples.ESTIMATED, *agent_samples.ESTIMATED])
def test_tokens_that_are_estimated(name: str, tmp_path: Path) -> None:
    """Elsewhere they are counted: each prompt is larger, and the last one is in a cache."""
    _, [session] = read(tmp_path, SAMPLES[name]())
    usages = [turn.usage for turn in session.turns]
    prompts = [usage.prompt_tokens for usage in usages]
    assert prompts[0] >= 10
    assert all(before < after for before, after in pairwise(prompts))
    assert [usage.cached_tokens for usage in usages] == [0, *prompts[:-1]]
    assert all(turn.estimated for turn in session.turns)


def test_every_format_has_a_sample() -> None:
    """No format is without a test."""
    assert {NAMES.get(name, "chat messages") for name in SAMPLES} == set(FORMATS)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "inspect_eval"])
def test_gzipped(name: str, tmp_path: Path) -> None:
    """A gzipped file is recognised by its content, whatever its name."""
    _, plain = read(tmp_path, SAMPLES[name](), "same.log")
    _, packed = read(tmp_path, gzip.compress(SAMPLES[name]()), "same.log")
    assert plain == packed


def test_mixed_requests(tmp_path: Path) -> None:
    """Requests of several conversations in one log are told apart; a repeated one counts once."""
    turns = range(len(samples.STEPS) + 1)
    mixed = [samples.request(turn, name) for turn in turns for name in ("one", "two")]
    _, found = read(tmp_path, samples.lines(*mixed, mixed[-1]))
    assert [len(session.turns) for session in found] == [6, 6]
    assert whole(found[0]) == whole(found[1])


def test_a_log_that_begins_in_the_middle(tmp_path: Path) -> None:
    """The answers in the first request's history count as round trips, too."""
    last = samples.request(len(samples.STEPS))
    _, [session] = read(tmp_path, samples.lines(last))
    assert [turn.estimated for turn in session.turns] == [True] * 5 + [False]


def test_blocks_in_messages(tmp_path: Path) -> None:
    """Messages of content blocks are understood; an error is one without reading it."""
    call = {"type": "tool_use", "id": "t", "name": "Read", "input": {"file_path": "a.py"}}
    result = {"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": "no"}
    messages = [
        {"role": "user", "content": "a.py"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result, {"type": "text", "text": "Stop."}]},
        {"role": "assistant", "content": "Yes."},
    ]
    _, [session] = read(tmp_path, samples.lines({"messages": messages}))
    assert whole(session) == [("read", "a.py", 0, True)]
    assert [type(part).__name__ for part in session.script] == [
        "Prompt",
        "RecordedTurn",
        "Prompt",
        "RecordedTurn",
    ]


def test_side_chains_are_sessions_of_their_own(tmp_path: Path) -> None:
    """A subagent's lines in the log of its parent are another conversation."""
    lines = [orjson.loads(line) for line in samples.claude_code().splitlines()]
    other = samples.claude_code().replace(b"msg_", b"msg_side_").splitlines()
    side = [{**orjson.loads(line), "isSidechain": True} for line in other]
    mixed = [one for pair in zip(lines, side, strict=True) for one in pair]
    _, found = read(tmp_path, samples.lines(*mixed))
    assert sorted(session.id for session in found) == ["claude-1", "claude-1/side chain"]
    assert [len(session.turns) for session in found] == [6, 6]


@pytest.mark.parametrize("name", ["claude_code", "opencode"])
def test_a_resumed_session(name: str, tmp_path: Path) -> None:
    """What was copied into a new file counts once; a file of copies alone is named."""
    old = samples.SAMPLES[name]()
    new = old.replace(b"claude-1", b"claude-2").replace(b"ses_1", b"ses_2")
    later = new.replace(b"msg_", b"msg_later_").replace(b"toolu_", b"later_")
    (tmp_path / "1").write_bytes(old)
    (tmp_path / "2").write_bytes(new + later if name == "claude_code" else later)
    (tmp_path / "3").write_bytes(new)
    report = analyze([str(tmp_path)])
    assert report.totals.requests == 12
    assert [problem.reason for problem in report.problems] == [
        "holds no answer of a model, or only copies"
    ]
    assert report.totals.tools["Read" if name == "claude_code" else "read"].calls == 6


def test_tools_of_the_request_decide(tmp_path: Path) -> None:
    """Where the log holds the tools, a tool is found as batchwrap finds it in a request."""
    body = orjson.loads(samples.conversation())
    schema = {"type": "object", "properties": {"file_path": {"type": "string"}}}
    function = {"name": "Read", "parameters": schema}  # nothing is required: not for sure
    body["tools"] = [{"type": "function", "function": function}]
    _, [session] = read(tmp_path, samples.lines(body))
    assert not any(call.own for call in session.calls)


def test_requests_of_blocks(tmp_path: Path) -> None:
    """A log of requests in Anthropic's form, whose tools are no functions, reads like any other."""
    usage = {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 5}
    call = {"type": "tool_use", "id": "t", "name": "Read", "input": {"file_path": "a.py"}}
    answer = {"type": "message", "role": "assistant", "content": [call], "usage": usage}
    tools = [{"name": "Read", "input_schema": {"type": "object"}}]
    body = {"model": "m", "tools": tools, "messages": [{"role": "user", "content": "a.py"}]}
    _, [session] = read(tmp_path, samples.lines({"request": body, "response": answer}))
    assert whole(session) == [("read", "a.py", 0, False)]
    assert [call.own for call in session.calls] == [True]
    assert session.turns[0].usage == Usage(100, 5, 90)


@pytest.mark.parametrize("name", SAMPLES)
@examples(25, quick=8)
@given(data=st.data())
def test_odd_logs(name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever stands in a log, it is read or reported, and the next file is read."""
    folder = tmp_path_factory.mktemp("odd")
    (folder / "1").write_bytes(SAMPLES[name]())
    records = list(LogFile(folder / "1").records())
    for _ in range(data.draw(st.integers(1, 4))):
        spoil(records, data)
    (folder / "1").write_bytes(samples.lines(*records))
    (folder / "2").write_bytes(samples.conversation())
    report = analyze([str(folder)], plan="cerebras/code-max")
    assert report.totals.sessions >= 1
    assert report.as_dict()["requests"] >= 6


@pytest.mark.parametrize("name", SAMPLES)
def test_huge_numbers(name: str, tmp_path: Path) -> None:
    """A number that no request can have, wherever it stands, neither fails nor stops the replay."""
    file = tmp_path / "log"
    file.write_bytes(SAMPLES[name]())
    records = list(LogFile(file).records())
    for value, key in places(records):
        if type(value[key]) in (int, float):
            before, value[key] = value[key], 1e300
            file.write_bytes(samples.lines(*records))
            value[key] = before
            assert analyze([str(file)], plan="cerebras/code-max").totals.sessions <= 2


@pytest.mark.parametrize("name", ["requests", "vscode_document", "gemini_document", "skeleton"])
def test_deep_logs(name: str, tmp_path: Path) -> None:
    """A value that is nested deeply, wherever it stands, fails nothing."""
    file = tmp_path / "log"
    file.write_bytes(SAMPLES[name]())
    records = list(LogFile(file).records())
    for value, key in places(records):
        before, value[key] = value[key], nested()
        file.write_bytes(samples.lines(*records))
        value[key] = before
        assert analyze([str(file)]).totals.sessions <= 2


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """All places in a value: what holds it, and its key there."""
    for key in value if isinstance(value, dict) else range(len(value)):
        if isinstance(value[key], (dict, list)):
            yield from places(value[key])
        yield value, key


def spoil(value: object, data: st.DataObject) -> None:
    """Put something odd anywhere into a value."""
    while isinstance(value, (dict, list)) and value:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = data.draw(st.sampled_from(keys))
        inner = value[key]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
            odd = data.draw(st.sampled_from([*ODD, NESTED]))
            value[key] = nested() if odd is NESTED else deepcopy(odd)
            return
        value = inner
