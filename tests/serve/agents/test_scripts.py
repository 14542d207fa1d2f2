"""Agents behind `batchwrap serve --scripts`: their own tools run what one program calls.

The real programs from npm (`make test-agents`), with real files. Provider and model are simulated:
the model writes one program that searches, reads what was found, and edits some of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from batchwrap import Batching, Scripts
from batchwrap.lab import Call, Reply
from batchwrap.serve import Server
from tests.serve.agents.jobs import Job, in_turn, job, made, offered, results
from tests.serve.agents.recipes import CLAUDE, OPENCODE, QWEN, THINKING_CLAUDE, Agent, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
NAMES = [f"m{number}.py" for number in range(7)]
KEPT = 4  # so many of the seven files are not to be changed
TODO, DONE, KEEP = "# TODO\n", "# DONE\n", "# keep\n"

# What Grep and Read of Claude Code return: a count and names; lines with their numbers.
CLAUDE_PROGRAM = """
found = await Grep(pattern="TODO", path=project)
names = sorted(found.splitlines()[1:])
texts = await asyncio.gather(*[Read(file_path=f"{project}/{name}") for name in names])
for name, text in zip(names, texts):
    lines = re.findall("^[0-9]+\\t(.+)", text, re.M)
    if "# keep" not in lines:
        await Edit(file_path=f"{project}/{name}", old_string="TODO", new_string="DONE")
        print("changed", name, lines)
"""
OPENCODE_PROGRAM = """
found = await grep(pattern="TODO", path=project)
paths = sorted(line[:-1] for line in found.splitlines() if line.endswith(".py:"))
texts = await asyncio.gather(*[read(filePath=path) for path in paths])
for path, text in zip(paths, texts):
    lines = re.findall("^[0-9]+: (.*)", text, re.M)
    if "# keep" not in lines:
        await edit(filePath=path, oldString="TODO", newString="DONE")
        print("changed", path.split("/")[-1], lines)
"""
QWEN_PROGRAM = """
found = await grep_search(pattern="TODO", path=project)
names = sorted(set(re.findall("m[0-9].py", found)))
texts = await asyncio.gather(*[read_file(file_path=f"{project}/{name}") for name in names])
for name, text in zip(names, texts):
    lines = text.splitlines()
    if "# keep" not in lines:
        await edit(file_path=f"{project}/{name}", old_string="TODO", new_string="DONE")
        print("changed", name, lines)
"""
CHANGED = "".join(f"changed {name} ['# TODO']\n" for name in NAMES[:-KEPT])


def claude_log(home: Path) -> Iterator[str]:
    """The tools that Claude Code's log says it has called, in order."""
    for file in home.glob(".claude/projects/*/*.jsonl"):
        for record in map(json.loads, file.read_text().splitlines()):
            if record["type"] == "assistant":
                blocks = record["message"]["content"]
                yield from (block["name"] for block in blocks if block["type"] == "tool_use")


def opencode_log(home: Path) -> Iterator[str]:
    """The tools that OpenCode's database says it has called, in order."""
    with closing(sqlite3.connect(home / ".local/share/opencode/opencode.db")) as database:
        for (data,) in database.execute("select data from part order by rowid"):
            part = json.loads(data)
            if part["type"] == "tool":
                assert part["state"]["status"] == "completed"
                yield part["tool"]


def qwen_log(home: Path) -> Iterator[str]:
    """The tools that Qwen Code's log says it has called, in order."""
    for file in home.glob(".qwen/projects/*/chats/*.jsonl"):
        for record in map(json.loads, file.read_text().splitlines()):
            if record["type"] == "assistant":
                parts = record["message"]["parts"]
                yield from (it["functionCall"]["name"] for it in parts if "functionCall" in it)


@dataclass(frozen=True)
class Scripted:
    """An agent, and what its model writes for it.

    Attributes:
        agent: the agent.
        program: the program.
        log: reads its own log.
        tools: its tools for a search, for reading and for edits.
    """

    agent: Agent
    program: str
    log: Callable[[Path], Iterator[str]]
    tools: tuple[str, str, str]

    def call(self, folder: Path) -> Call:
        """The model's call of the program, for a project in a folder."""
        code = f"import re\nproject = {str(folder / 'project')!r}{self.program}"
        return Call("run_script", {"code": code})


# Claude Code has these tools if they are named. It searches by its shell otherwise.
ALLOWED = ["--allowedTools=Grep,Read,Edit", "-p"]
OF_CLAUDE = Scripted(
    replace(CLAUDE, arguments=ALLOWED), CLAUDE_PROGRAM, claude_log, ("Grep", "Read", "Edit")
)
AGENTS = [
    OF_CLAUDE,
    Scripted(OPENCODE, OPENCODE_PROGRAM, opencode_log, ("grep", "read", "edit")),
    Scripted(QWEN, QWEN_PROGRAM, qwen_log, ("grep_search", "read_file", "edit")),
]


@pytest.fixture
def front(in_front: Callable[..., Server]) -> Callable[[str], str]:
    """Puts an endpoint that offers scripts in front of a base URL."""
    batching = Batching(scripts=Scripts())
    return lambda base_url: in_front(base_url, batching=batching).base_url


def write_project(work: Job) -> None:
    """Seven files, of which three are to be changed."""
    for name in NAMES:
        keep = KEEP if name in NAMES[-KEPT:] else ""
        Path(work.path(name)).write_text(TODO + keep)


def turns(work: Job) -> list[dict[str, Any]]:
    """The requests of the main conversation, without those for a title and the like."""
    return [request for request in work.asked if "run_script" in offered(request)]


def check(work: Job, scripted: Scripted) -> None:
    """All files, the agent's own log, and what the provider and the model were told."""
    texts = [work.text(name) for name in NAMES]
    assert texts == [DONE] * (len(NAMES) - KEPT) + [TODO + KEEP] * KEPT
    search, read, edit = scripted.tools
    calls = [search, *[read] * 7, *[edit] * 3]
    assert list(scripted.log(work.folder / "home")) == calls
    _, last = turns(work)[:2]
    assert made(last) == ["run_script"]
    [told] = results(last)
    assert told.startswith(f"{CHANGED}[11 calls ran: {search} 1, {read} 7, {edit} 3]")


@pytest.mark.parametrize("scripted", AGENTS, ids=lambda it: it.agent.name)
def test_search_read_edit(scripted: Scripted, front: Callable[[str], str], tmp_path: Path) -> None:
    """Eleven calls in the agent's own log are two requests at the provider."""
    call = scripted.call(tmp_path)
    with job(scripted.agent, tmp_path, in_turn(Reply(calls=(call,))), front) as work:
        write_project(work)
        assert work.run("Do what is to do.").strip() == "Done."
        assert len(turns(work)) == 2
        check(work, scripted)
        [sent] = [one for one in turns(work)[-1]["messages"] if one.get("tool_calls")]
    assert json.loads(sent["tool_calls"][0]["function"]["arguments"]) == call.arguments


def test_thinking(front: Callable[[str], str], tmp_path: Path) -> None:
    """With thinking, the program travels with its first call, through Claude Code's own log.

    So a new endpoint folds it as before when the session goes on.
    """
    agent = replace(THINKING_CLAUDE, arguments=ALLOWED)
    scripted = replace(OF_CLAUDE, agent=agent)
    replies = (Reply(calls=(scripted.call(tmp_path),)), Reply("Read."), Reply("Again."))
    model = in_turn(*(replace(reply, reasoning="Hm.") for reply in replies))
    with job(agent, tmp_path, model, front) as work:
        write_project(work)
        assert work.run("Do what is to do.").strip() == "Read."
        check(work, scripted)
        again = replace(work, base_url=front(work.lab.base_url))
        assert again.run("And?", "--continue").strip() == "Again."
        first, before, after = turns(work)
        assert "batchwrap_script" not in str([entry.json for entry in work.lab.journal])
    assert first["thinking"]["type"] == "adaptive"
    assert made(before) == made(after) == ["run_script"]
    assert results(before) == results(after)


def test_what_is_not_allowed(front: Callable[[str], str], tmp_path: Path) -> None:
    """Claude Code asks for each edit as always; if it may not be run, the program ends there."""
    agent = replace(CLAUDE, arguments=["--allowedTools=Grep,Read", "-p"])
    model = in_turn(Reply(calls=(OF_CLAUDE.call(tmp_path),)))
    with job(agent, tmp_path, model, front) as work:
        write_project(work)
        assert work.run("Do what is to do.").strip() == "Done."
        assert not any(work.text(name) == DONE for name in NAMES)
        assert list(claude_log(tmp_path / "home")) == ["Grep", *["Read"] * 7, "Edit"]
        [told] = results(turns(work)[-1])
    assert "was denied: Error: Claude requested permissions" in told
    assert "[9 calls ran: Grep 1, Read 7, Edit 1]" in told
