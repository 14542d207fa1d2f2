"""Agents in another language run what the model asked for in one multi-call, with their own tools.

The agents are the real ones, from npm (`make test-agents`), and so are HTTP and the files. The
provider and its model are simulated.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchwrap.lab import Call, FileReader, Habit
from batchwrap.serve import Server
from tests.serve.agents.jobs import job, made, results
from tests.serve.agents.recipes import CLAUDE, OPENCODE, PI, QWEN, Agent, why_not


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.parametrize("agent", [OPENCODE, QWEN, PI, CLAUDE], ids=lambda agent: agent.name)
def test_an_agent(agent: Agent, in_front: Callable[..., Server], tmp_path: Path) -> None:
    """Two reads and three edits, two of one file, are two round trips in place of five."""
    bare, bare_texts = work(agent, tmp_path / "bare", lambda base_url: base_url)
    served, texts = work(agent, tmp_path / "served", lambda url: in_front(url).base_url)
    assert bare_texts == texts == ["a is omega\n", "b is BETA\n"]
    assert (len(bare), len(served)) == (6, 3)
    assert made(served[-1]) == ["multi_read", "multi_edit"]
    reads, edits = results(served[-1])
    for part in ("[1/2] read", "a is alpha", "[2/2] read", "b is beta"):
        assert part in reads.lower()
    for part in ("[1/3] edit", "[2/3] edit", "[3/3] edit"):
        assert part in edits.lower()


def work(
    agent: Agent, folder: Path, front: Callable[[str], str]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Let an agent work on two files; the requests that the model got, and the files' texts."""
    a, b = (str(folder / "project" / name) for name in ("a.txt", "b.txt"))
    edits = [(a, "alpha", "ALPHA"), (b, "beta", "BETA"), (a, "ALPHA", "omega")]
    calls = [Call(agent.edits, agent.edit(*edit)) for edit in edits]
    habit = Habit(unasked=True, path=f"{re.escape(a)}|{re.escape(b)}")  # no others that it is told
    model = FileReader(lambda files, request: calls, habit=habit)
    with job(agent, folder, model, front) as done:
        done.run(f"Change {a} and {b}.")
        asked = [request for request in done.asked if request.get("tools")]
        return asked, [done.text("a.txt"), done.text("b.txt")]
