"""The guides: what they show is a whole program, and does what they say."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from batchwrap.lab import Call, Reply, Script
from tests.frameworks.job import FILES, run_program, shown_in

# The page of each framework, and the package without which it cannot be run.
PACKAGES = {
    "anthropic": "pydantic_ai",
    "autogen": "autogen_agentchat",
    "crewai": "crewai",
    "langchain": "langchain",
    "llama-index": "llama_index",
    "openai-agents": "agents",
    "pydantic-ai": "pydantic_ai",
    "smolagents": "smolagents",
}
HERE = [page for page, package in PACKAGES.items() if find_spec(package)]


@pytest.mark.parametrize("page", HERE)
def test_a_guide_is_complete(page: str, tmp_path: Path) -> None:
    """Pasted in order into a file, its blocks run, and each agent's model reads in one call."""
    program = "\n".join(shown_in(page))
    agents = program.count("print(batchwrap.stats(")
    reads = Call("multi_read", {"files": [{"path": path} for path in FILES]})
    last = Reply("Done.")
    if page == "smolagents":
        last = Reply(calls=(Call("final_answer", {"answer": "Done."}),))
    file = tmp_path / "pasted.py"
    file.write_text(program, "utf-8")
    run = run_program(file, tmp_path, Script(*(Reply(calls=(reads,)), last) * agents))
    assert agents and run.printed.count("Done.") >= agents
    assert [entry.status for entry in run.chats] == [200] * 2 * agents
    assert len(re.findall(r"^multi calls +1$", run.printed, re.MULTILINE)) == agents
