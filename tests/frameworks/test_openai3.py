"""Frameworks on openai 3.x."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from batchwrap.lab import Call, Reply
from tests.frameworks.job import Tools, check, check_work, run_example

PLAIN_AND_STREAM = pytest.mark.parametrize("options", [(), ("--stream",)], ids=["plain", "stream"])


@PLAIN_AND_STREAM
@pytest.mark.parametrize(
    "name", ["pydantic_ai", "openai_agents", "langchain", "autogen", "anthropic"]
)
def test_agent(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    """The framework runs its single tools; the model sees its multi-calls and their results."""
    run = run_example(f"with_{name}.py", tmp_path, Tools().model(), *options)
    check(run, stream=bool(options))


@PLAIN_AND_STREAM
def test_one_call_at_a_time(options: tuple[str, ...], tmp_path: Path) -> None:
    """With `parallel_tool_calls` off the calls come one by one, all but the first locally."""
    run = run_example("with_openai_agents.py", tmp_path, Tools().model(), "--serial", *options)
    check(run, stream=bool(options), local_answers=5)


@PLAIN_AND_STREAM
def test_smolagents(options: tuple[str, ...], tmp_path: Path) -> None:
    """It tells the model as text what it ran, so nothing can be folded, and nothing waits."""
    final = Reply(calls=(Call("final_answer", {"answer": "Done."}),))
    run = run_example("with_smolagents.py", tmp_path, Tools().model(final), *options)
    check_work(run, stream=bool(options))
    assert run.made() == {} and run.stats["local_answers"] == 0


@dataclass(frozen=True)
class PuppyTools(Tools):
    """code-puppy's own tools."""

    edit: str = "replace_in_file"

    def reading(self, path: str) -> dict[str, Any]:
        """The arguments that read a file."""
        return {"file_path": path}

    def editing(self, path: str, old: str, new: str) -> dict[str, Any]:
        """The arguments that replace a text."""
        return {"file_path": path, "replacements": [{"old_str": old, "new_str": new}]}


def test_code_puppy(tmp_path: Path) -> None:
    """Its command line, with its own tools, runs single calls; the model sees its multi-calls."""
    settings = tmp_path / "home" / ".code_puppy" / "puppy.cfg"
    settings.parent.mkdir(parents=True)
    settings.write_text("[puppy]\npuppy_name = Rex\nowner_name = Me\n")
    check(run_example("with_code_puppy.py", tmp_path, PuppyTools().model()), stream=True)
