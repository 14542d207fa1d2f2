"""The table of what the offer costs real agents rests on their own lists of tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from batchwrap.options import Batching
from batchwrap.tools import Workspace
from benchmarks.offer import FORMATS, LISTS, added, main, offer, script_offer, tokens, tokens_of

ROWS = [orjson.loads(line) for line in LISTS.read_text("utf-8").splitlines()]
FEWEST = {
    "Claude Code": {"multi_read", "multi_edit", "multi_write", "batch"},
    "OpenCode": {"multi_read", "multi_edit", "multi_write", "batch"},
    "LangChain": {"multi_read", "multi_edit", "batch"},
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['agent']}, {row['api']}")
def test_an_agent(row: dict[str, object]) -> None:
    """What is offered stays below 550 tokens, without notes on the schema."""
    tools, declared = row["tools"], row.get("declared", {})
    assert isinstance(tools, list) and isinstance(declared, dict)
    made = offer(tools, FORMATS[str(row["api"])], Batching(tools=declared))
    name = str(row["agent"])
    if "subagent" not in name:
        assert next((few for agent, few in FEWEST.items() if agent in name), set()) <= set(made)
    assert tokens_of(made) < 550
    assert b"$schema" not in orjson.dumps(list(made.values()))


def test_scripts_for_read_edit_write_and_search(tmp_path: Path) -> None:
    """The tool that runs scripts takes at most 300 tokens, its example included."""
    text = added(Workspace(tmp_path).schemas())["scripts, with a search tool"]
    for tool in ("read_file", "edit_file", "write_file", "grep"):
        assert f"async def {tool}(" in text
    assert "asyncio.gather(*[read_file(path=path)" in text
    assert tokens(text) <= 300


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['agent']}, {row['api']}")
def test_scripts_of_an_agent(row: dict[str, Any]) -> None:
    """Beside 200 tokens of words and example, a tool takes what its own parameters need."""
    declared = row.get("declared", {})
    made = script_offer(row["tools"], FORMATS[row["api"]], declared)
    tools = orjson.dumps(made).count(b"async def ")
    assert tokens_of(made) <= 200 + 40 * tools


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """It has a line for each list."""
    main()
    printed = capsys.readouterr().out
    assert all(row["agent"] in printed for row in ROWS)
