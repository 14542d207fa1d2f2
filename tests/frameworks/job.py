"""One job for every framework: the model batches, the framework runs its own single tools.

Each turn of the scripted model is a multi-call: three reads; three edits, two of them in one
file, which must not run at the same time; a batch of an edit and a read. Then it says "Done.".
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from batchwrap.lab import Call, Entry, Lab, Reply, Script
from batchwrap.lab.api_forms import as_chat

_ROOT = Path(__file__).parents[2]
EXAMPLES = _ROOT / "examples" / "frameworks"
FILES = {name: f"NAME = '{name}'\nSIZE = 1\n" for name in ("a.py", "b.py", "c.py")}
AFTER = {
    "a.py": "TITLE = 'a.py'\nSIZE = 2\n",
    "b.py": "NAME = 'b.py'\nSIZE = 2\n",
    "c.py": "NAME = 'c.py'\nSIZE = 2\n",
}
TASK = "Rename NAME in a.py to TITLE, and set SIZE to 2 in a.py, b.py and c.py."
# The model's turns: three multi-calls and the last word.
ROUND_TRIPS = 4


@dataclass(frozen=True)
class Tools:
    """How a framework's tools are called; the defaults are those of the examples."""

    read: str = "read_file"
    edit: str = "edit_file"

    def reading(self, path: str) -> dict[str, Any]:
        """The arguments that read a file."""
        return {"path": path}

    def editing(self, path: str, old: str, new: str) -> dict[str, Any]:
        """The arguments that replace a text."""
        return {"path": path, "old_string": old, "new_string": new}

    def model(self, *final: Reply) -> Script:
        """The scripted model; in the end it says "Done.", or what is given."""
        reads = [self.reading(path) for path in FILES]
        edits = [
            self.editing("a.py", "NAME", "TITLE"),
            self.editing("a.py", "SIZE = 1", "SIZE = 2"),
            self.editing("b.py", "SIZE = 1", "SIZE = 2"),
        ]
        last = [
            {"tool": self.edit, "arguments": self.editing("c.py", "SIZE = 1", "SIZE = 2")},
            {"tool": self.read, "arguments": self.reading("b.py")},
        ]
        return Script(
            Reply(calls=(Call("multi_read", {"files": reads}, id="call_reads"),)),
            Reply("Now the edits.", calls=(Call("multi_edit", {"files": edits}, id="call_edits"),)),
            Reply(calls=(Call("batch", {"calls": last}, id="call_batch"),)),
            *(final or [Reply("Done.")]),
        )


@dataclass(frozen=True)
class Run:
    """What is left of a run.

    Attributes:
        folder: where it worked.
        printed: what the example printed.
        stats: the numbers that it printed last.
        chats: the requests for turns, in order, each in chat's form.
    """

    folder: Path
    printed: str
    stats: dict[str, int]
    chats: list[Entry]

    def files(self) -> dict[str, str]:
        """The files of the job as they are now."""
        return {name: (self.folder / name).read_text() for name in FILES}

    def results(self) -> dict[str, str]:
        """What the last request says of each call: its result, by the call's id."""
        found: dict[str, str] = {}
        for message in self.chats[-1].json["messages"]:
            if message["role"] == "tool":
                assert message["tool_call_id"] not in found
                found[message["tool_call_id"]] = text_of(message)
        return found

    def made(self) -> dict[str, str]:
        """The calls that the model made, as the last request tells them: name by id."""
        return {
            call["id"]: call["function"]["name"]
            for message in self.chats[-1].json["messages"]
            for call in message.get("tool_calls") or ()
        }


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


# No framework calls home from a test.
QUIET = {
    "ANONYMIZED_TELEMETRY": "False",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "MSWEA_SILENT_STARTUP": "1",
    "OTEL_SDK_DISABLED": "true",
    "PYTHONWARNINGS": "ignore",
}


def shown_in(guide: str) -> list[str]:
    """The blocks of Python in a guide, in order."""
    text = (_ROOT / "docs" / "guides" / f"{guide}.md").read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run_example(name: str, folder: Path, model: Script, *options: str) -> Run:
    """Run an example in a process of its own, in a folder with the files of the job."""
    return run_program(EXAMPLES / name, folder, model, *options, TASK)


def run_program(program: Path, folder: Path, model: Script, *arguments: str) -> Run:
    """Run a program in a process of its own, in a folder with the files of the job."""
    for file, text in FILES.items():
        (folder / file).write_text(text)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    with Lab(model, tokens_per_s=math.inf, ttft_s=0) as lab:
        done = subprocess.run(
            [sys.executable, program, *arguments],
            cwd=folder,
            env={
                **os.environ,
                **QUIET,
                "HOME": str(home),
                "OPENAI_BASE_URL": lab.base_url,
                "OPENAI_API_KEY": "k",
                "ANTHROPIC_BASE_URL": lab.url,
                "ANTHROPIC_API_KEY": "k",
                "MODEL": "lab-model",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        turns = [replace(e, json=as_chat(e.json)) for e in lab.journal if e.is_turn]
        return Run(folder, done.stdout, numbers(done.stdout), turns)


def numbers(printed: str) -> dict[str, int]:
    """The counters in a printed table of statistics."""
    rows = re.findall(r"^(\w+(?: \w+)*) +([\d,]+)$", printed, re.MULTILINE)
    return {name.replace(" ", "_"): int(value.replace(",", "")) for name, value in rows}


def check(run: Run, *, stream: bool, local_answers: int = 1) -> None:
    """The multi-calls were offered, expanded, run by the framework's tools, and folded.

    The second edit of a.py has to wait for the first, and comes without a round trip: one local
    answer, unless the framework takes one call at a time.
    """
    check_work(run, stream=stream)
    assert run.stats["requests"] == ROUND_TRIPS + local_answers
    assert run.stats["local_answers"] == local_answers
    check_folded(run)


def check_work(run: Run, *, stream: bool) -> None:
    """The multi-calls were offered and expanded, and the framework's tools did the work."""
    assert run.files() == AFTER
    assert "Done." in run.printed
    assert [entry.status for entry in run.chats] == [200] * ROUND_TRIPS
    assert {entry.stream for entry in run.chats} == {stream}
    for entry in run.chats:
        offered = {tool["function"]["name"] for tool in entry.json["tools"]}
        assert offered >= {"multi_read", "multi_edit", "batch"}
    assert run.stats["multi_calls"] == 3 and run.stats["items"] == 8


def check_folded(run: Run) -> None:
    """Each multi-call stands in the last request as the model made it, with one result."""
    assert run.made() == {
        "call_reads": "multi_read",
        "call_edits": "multi_edit",
        "call_batch": "batch",
    }
    results = run.results()
    assert list(results) == list(run.made())
    for call, items in (("call_reads", 3), ("call_edits", 3), ("call_batch", 2)):
        heads = [line for line in results[call].splitlines() if line.startswith("[")]
        assert [head.split()[0] for head in heads] == [f"[{n + 1}/{items}]" for n in range(items)]
    for path in FILES:
        assert f" {path}\n" in results["call_reads"] and f"NAME = '{path}'" in results["call_reads"]
    assert "SIZE = 2" in results["call_batch"]
