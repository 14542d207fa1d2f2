"""The table of what the offer costs real agents rests on their own lists of tools."""

from __future__ import annotations

import orjson
import pytest

from batchwrap.options import Batching
from benchmarks.offer import FORMATS, LISTS, main, offer, tokens

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
    cost = tokens(orjson.dumps(list(made.values())).decode())
    assert cost < 550
    assert b"$schema" not in orjson.dumps(list(made.values()))


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    """It has a line for each list."""
    main()
    printed = capsys.readouterr().out
    assert all(row["agent"] in printed for row in ROWS)
