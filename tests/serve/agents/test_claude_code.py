"""Claude Code behind `batchwrap serve`: its own tools run what the model asked for in one call.

The real program from npm (`make test-agents`), headless, with real files. Provider and model are
simulated; they refuse what Anthropic's server refuses of a conversation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchwrap.lab import Call, Raw, Reply
from batchwrap.serve import Server
from tests.serve.agents.jobs import in_turn, job, made, offered, results, several
from tests.serve.agents.recipes import CLAUDE, THINKING_CLAUDE, why_not

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
MULTI_TOOLS = {"multi_read", "multi_edit", "multi_write", "batch"}


def edit(path: str, old: str, new: str) -> dict[str, Any]:
    """The arguments of its tool Edit."""
    return {"file_path": path, "old_string": old, "new_string": new}


def reading(project: Path) -> Reply:
    """A turn that reads both files."""
    return several("multi_read", [{"file_path": str(project / f"{name}.txt")} for name in "ab"])


@pytest.fixture
def front(in_front: Callable[..., Server]) -> Callable[[str], str]:
    """Puts an endpoint in front of a base URL."""
    return lambda base_url: in_front(base_url).base_url


def test_three_reads(front: Callable[[str], str], tmp_path: Path) -> None:
    """Three reads and the last word are two round trips, and the model sees its one call."""
    names = ["a.txt", "b.txt", "project.md"]
    paths = [str(tmp_path / "project" / name) for name in names]
    model = in_turn(several("multi_read", [{"file_path": path} for path in paths]))
    with job(CLAUDE, tmp_path, model, front) as work:
        Path(work.path("project.md")).write_text("# Three\n")
        assert work.run("Read the three files.").strip() == "Done."
        first, last = work.asked
    assert offered(first) >= {"Read", "Edit", "Write"} | MULTI_TOOLS
    assert made(last) == ["multi_read"]
    [read] = results(last)
    for number, (path, text) in enumerate(
        zip(paths, ("a is alpha", "b is beta", "# Three"), strict=True), 1
    ):
        assert f"[{number}/3] Read {path}\n" in read and text in read


def test_an_edit_that_fails(front: Callable[[str], str], tmp_path: Path) -> None:
    """What waited behind it is not run, and the model is told which edit failed."""
    a, b = (str(tmp_path / "project" / f"{name}.txt") for name in "ab")
    edits = [edit(a, "alpha", "ALPHA"), edit(b, "gamma", "delta"), edit(a, "ALPHA", "omega")]
    model = in_turn(reading(tmp_path / "project"), several("multi_edit", edits))
    with job(CLAUDE, tmp_path, model, front) as work:
        assert work.run("Change both.").strip() == "Done."
        assert (work.text("a.txt"), work.text("b.txt")) == ("a is ALPHA\n", "b is beta\n")
        assert work.lab.round_trips == 3
        last = work.asked[-1]
    assert made(last) == ["multi_read", "multi_edit"]
    told = results(last)[1]
    assert "not found" in told.split("[2/3] Edit")[1]
    assert "[3/3] not run" in told


def test_edits_that_it_tidies_up(front: Callable[[str], str], tmp_path: Path) -> None:
    """It adds a default and removes blanks; what waits is run, and the model sees its own call."""
    a = str(tmp_path / "project" / "a.txt")
    edits = [edit(a, "alpha", "ALPHA \nx"), edit(a, "ALPHA", "omega")]
    turn = several("multi_edit", edits)
    with job(CLAUDE, tmp_path, in_turn(reading(tmp_path / "project"), turn), front) as work:
        assert work.run("Change one.").strip() == "Done."
        assert work.text("a.txt") == "a is omega\nx\n"
        assert work.lab.round_trips == 3
        sent = [one["tool_calls"][0] for one in work.asked[-1]["messages"] if "tool_calls" in one]
    assert json.loads(sent[1]["function"]["arguments"]) == turn.calls[0].arguments


def test_a_mixed_batch(front: Callable[[str], str], tmp_path: Path) -> None:
    """A new file is written, read and edited in the order of one call: each waits for the last."""
    path = str(tmp_path / "project" / "new.txt")
    calls = [
        {"tool": "Write", "arguments": {"file_path": path, "content": "one\n"}},
        {"tool": "Read", "arguments": {"file_path": path}},
        {"tool": "Edit", "arguments": edit(path, "one", "two")},
    ]
    model = in_turn(several("batch", calls, key="calls"))
    with job(CLAUDE, tmp_path, model, front) as work:
        assert work.run("Make a file.").strip() == "Done."
        assert work.text("new.txt") == "two\n"
        assert work.lab.round_trips == 2
        last = work.asked[-1]
    assert made(last) == ["batch"]
    [told] = results(last)
    assert all(
        f"[{n}/3] {name} {path}" in told for n, name in enumerate(("Write", "Read", "Edit"), 1)
    )


@pytest.mark.parametrize("kind", ["Explore", "general-purpose"])
def test_a_subagent(front: Callable[[str], str], tmp_path: Path, kind: str) -> None:
    """A subagent has a conversation of its own, in which it batches as the main one does."""
    task = {"description": "look", "prompt": "Sub: read both.", "subagent_type": kind}
    delegate = Reply(calls=(Call("Agent", {**task, "run_in_background": False}),))
    main, sub = in_turn(delegate), in_turn(reading(tmp_path / "project"))

    def model(request: dict[str, Any]) -> Reply | Raw:
        return (sub if is_sub(request) else main)(request)

    with job(CLAUDE, tmp_path, model, front) as work:
        assert work.run("Delegate.").strip() == "Done."
        asked = work.asked
    assert [is_sub(request) for request in asked] == [False, True, True, False]
    assert all("multi_read" in offered(request) for request in asked)
    assert (made(asked[2]), made(asked[3])) == (["multi_read"], ["Agent"])
    assert "b is beta" in results(asked[2])[0]


def is_sub(request: dict[str, Any]) -> bool:
    """Whether the subagent asks."""
    said = (one["content"] for one in request["messages"] if one["role"] == "user")
    return any("Sub: read both." in str(content) for content in said)


def test_a_session_that_goes_on(front: Callable[[str], str], tmp_path: Path) -> None:
    """Resumed by a new process, through a new endpoint, a batch is folded as before."""
    model = in_turn(reading(tmp_path / "project"), Reply("Read."), Reply("Again."))
    with job(CLAUDE, tmp_path, model, front) as work:
        assert work.run("Read both.").strip() == "Read."
        again = replace(work, base_url=front(work.lab.base_url))
        assert again.run("And?", "--continue").strip() == "Again."
        _, before, after = work.asked
    assert made(before) == made(after) == ["multi_read"]
    assert results(before) == results(after)


def test_thinking(front: Callable[[str], str], tmp_path: Path) -> None:
    """With thinking, which the lab checks: batched, and folded by a new endpoint as before."""
    job_of = (reading(tmp_path / "project"), Reply("Read."), Reply("Again."))
    model = in_turn(*(replace(reply, reasoning="Hm.") for reply in job_of))
    with job(THINKING_CLAUDE, tmp_path, model, front) as work:
        assert work.run("Read both.").strip() == "Read."
        again = replace(work, base_url=front(work.lab.base_url))
        assert again.run("And?", "--continue").strip() == "Again."
        first, before, after = work.asked
    assert first["thinking"]["type"] == "adaptive"
    assert offered(first) & MULTI_TOOLS
    assert made(before) == made(after) == ["multi_read"]
    assert results(before) == results(after)
