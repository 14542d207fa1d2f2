"""Agents in another language run what the model asked for in one multi-call, with their own tools.

The agents are the real ones, from npm (`make test-agents`), and so are HTTP and the files. The
provider and its model are simulated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchwrap.lab import Call, FileReader, Habit, Lab
from batchwrap.serve import Server
from tests.serve.agents.recipes import OPENCODE, PI, QWEN, Agent, why_not


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize("agent", [OPENCODE, QWEN, PI], ids=lambda agent: agent.name)
def test_an_agent(agent: Agent, in_front: Callable[..., Server], tmp_path: Path) -> None:
    """Two reads and three edits, two of one file, are two round trips in place of five."""
    bare, bare_texts = work(agent, tmp_path / "bare", lambda base_url: base_url)
    served, texts = work(agent, tmp_path / "served", lambda url: in_front(url).base_url)
    assert bare_texts == texts == ["a is omega\n", "b is BETA\n"]
    assert (len(bare), len(served)) == (6, 3)
    last = served[-1]["messages"]
    calls = [call for message in last for call in message.get("tool_calls") or ()]
    results = [message for message in last if message["role"] == "tool"]
    assert [call["function"]["name"] for call in calls] == ["multi_read", "multi_edit"]
    assert [result["tool_call_id"] for result in results] == [call["id"] for call in calls]
    reads, edits = (str(result["content"]) for result in results)
    for part in ("[1/2] read", "a is alpha", "[2/2] read", "b is beta"):
        assert part in reads
    for part in ("[1/3] edit", "[2/3] edit", "[3/3] edit"):
        assert part in edits


def work(
    agent: Agent, folder: Path, front: Callable[[str], str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Let an agent work on two files; the requests that the model got, and the files' texts."""
    home, project = folder / "home", folder / "project"
    home.mkdir(parents=True)
    project.mkdir()
    paths = [project / "a.txt", project / "b.txt"]
    for path, text in zip(paths, ("a is alpha\n", "b is beta\n"), strict=True):
        path.write_text(text)
    a, b = map(str, paths)
    edits = [(a, "alpha", "ALPHA"), (b, "beta", "BETA"), (a, "ALPHA", "omega")]
    calls = [Call("edit", agent.edit(*edit)) for edit in edits]
    habit = Habit(unasked=True, path=f"{re.escape(a)}|{re.escape(b)}")  # no others that it is told
    model = FileReader(lambda files, request: calls, habit=habit)
    with Lab(model, tokens_per_s=math.inf, ttft_s=0) as lab:
        agent.run(f"Change {a} and {b}.", home, project, front(lab.base_url))
        asked = [entry.json for entry in lab.journal if entry.json and entry.json.get("tools")]
    return asked, [path.read_text() for path in paths]
