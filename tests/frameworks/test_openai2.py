"""Frameworks on openai 2.x."""

from dataclasses import replace
from pathlib import Path

import pytest

from batchwrap.lab import Call, Reply
from tests.frameworks.job import Tools, check, run_example

PLAIN_AND_STREAM = pytest.mark.parametrize("options", [(), ("--stream",)], ids=["plain", "stream"])


@PLAIN_AND_STREAM
@pytest.mark.parametrize("name", ["crewai", "llama_index"])
def test_agent(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    """The framework runs its single tools; the model sees its multi-calls and their results."""
    run = run_example(f"with_{name}.py", tmp_path, Tools().model(), *options)
    check(run, stream=bool(options))


@PLAIN_AND_STREAM
def test_instructor(options: tuple[str, ...], tmp_path: Path) -> None:
    """An agent's loop is batched; the forced function of a typed answer is left alone."""
    report = Reply(calls=(Call("Report", {"summary": "All well.", "files": ["a.py"]}),))
    model = Tools().model(Reply("Done."), report)
    run = run_example("with_instructor.py", tmp_path, model, *options)
    *loop, typed = run.chats
    counted = run.stats | {"requests": run.stats["requests"] - 1}
    check(replace(run, chats=loop, stats=counted, printed="Done."), stream=False)
    assert typed.stream is bool(options)
    assert len(typed.json["tools"]) == 1
    assert "summary='All well.' files=['a.py']" in run.printed
