"""Frameworks on openai 3.x."""

from pathlib import Path

import pytest

from batchwrap.lab import Call, Reply
from tests.frameworks.job import Tools, check, run_example

PLAIN_AND_STREAM = pytest.mark.parametrize("options", [(), ("--stream",)], ids=["plain", "stream"])


@PLAIN_AND_STREAM
@pytest.mark.parametrize("name", ["pydantic_ai", "openai_agents", "langchain", "autogen"])
def test_agent(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    """The framework runs its single tools; the model sees its multi-calls and their results."""
    run = run_example(f"with_{name}.py", tmp_path, Tools().model(), *options)
    check(run, stream=bool(options))


@PLAIN_AND_STREAM
def test_smolagents(options: tuple[str, ...], tmp_path: Path) -> None:
    """x."""
    final = Reply(calls=(Call("final_answer", {"answer": "Done."}),))
    run = run_example("with_smolagents.py", tmp_path, Tools().model(final), *options)
    check(run, stream=bool(options))
