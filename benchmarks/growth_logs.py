"""How the work of `analyze` grows with its logs, for `growth` and its test."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path as File
from typing import Any

from batchwrap.analyze.files import LogFile
from batchwrap.analyze.log_formats import sessions_in
from batchwrap.analyze.log_formats.text_calls import calls_in
from batchwrap.analyze.record import LogReading
from benchmarks.growth_paths import Path, Steps

_Json = dict[str, Any]
_TAGGED = "<read_file>\n<path>src/a.py</path>\n</read_file>"
_TASK = {"role": "user", "content": [{"type": "text", "text": "<task>\nGo.\n</task>"}]}


def _read(log: Callable[[int], str]) -> Callable[[int], Steps]:
    """Reads a log of a size from a file."""

    def steps(size: int) -> Steps:
        with tempfile.TemporaryDirectory() as folder:
            file = File(folder, "log")
            file.write_text(log(size), encoding="utf-8")
            yield from sessions_in(LogFile(file), LogReading())[1]

    return steps


def _xml_history(size: int) -> str:
    answer = {"role": "assistant", "content": [{"type": "text", "text": _TAGGED}]}
    result = {"role": "user", "content": [{"type": "text", "text": "text of a.py " * 20}]}
    return json.dumps([_TASK, *[answer, result] * size])


def _changes(size: int) -> str:
    """A chat of VS Code, in which each round is added to those before."""
    call = {"id": "c", "name": "read_file", "arguments": '{"filePath": "a.py"}'}
    metadata: _Json = {"toolCallRounds": [], "toolCallResults": {}}
    request = {"requestId": "r", "message": {"text": "Go."}, "result": {"metadata": metadata}}
    place = ["requests", 0, "result", "metadata", "toolCallRounds"]
    lines: list[_Json] = [{"kind": 0, "v": {"sessionId": "s", "requests": [request]}}]
    lines += [{"kind": 2, "k": place, "v": [{"response": "", "toolCalls": [call]}]}] * size
    return "\n".join(map(json.dumps, lines))


def _written_again(size: int) -> str:
    """A session of Gemini CLI, in which each answer is written four times."""
    call = {"id": "c", "name": "read_file", "args": {"file_path": "a.py"}, "result": []}
    lines: list[_Json] = [{"sessionId": "s", "projectHash": "p"}]
    for number in range(size):
        about = {"id": f"m{number}", "type": "gemini", "content": "", "toolCalls": [call]}
        lines += [about] * 4
    return "\n".join(map(json.dumps, lines))


def _halves(size: int) -> str:
    """A log in which each line has half of a surrogate pair."""
    line = '{"role": "assistant", "content": "Done. \\\\ud83d"}'.replace("\\\\", "\\")
    return "\n".join([line] * size)


def _text(piece: str) -> Callable[[int], Steps]:
    return lambda size: map(calls_in, [piece * size + "</read_file>"])


PATHS = [
    Path("logs: calls as XML", _read(_xml_history), 100),
    Path("logs: a chat as changes", _read(_changes), 200),
    Path("logs: answers written again", _read(_written_again), 100),
    Path("logs: lines that are mended", _read(_halves), 200),
    Path("logs: a text of many tags", _text(f"{_TAGGED}\n"), 500),
    Path("logs: tags without an end", _text("<list_files>\n"), 2_000),
    Path("logs: markup without an end", _text("<tool_call>\n<function=f>\n<parameter=a>"), 2_000),
]
