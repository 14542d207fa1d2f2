"""`batchwrap config`: what holds without code, and where it comes from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from batchwrap.configuration import option_keys
from tests.cli.commands import invoke


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with some options."""
    path = tmp_path / "own.toml"
    path.write_text(
        "preset = 'careful'\nremind_every = 4\n[throttle]\nstore = 'redis://:secret@host'\n"
    )
    return path


def test_what_holds(file: Path) -> None:
    """Each option that was said, with its value and its source; no password."""
    env = {"BATCHWRAP_BATCHING_EXCLUDE": "bash,git", "BATCHWRAP_REPAIR": "off"}
    result = invoke("config", "--config", str(file), env=env)
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [re.split(r"  +", line.strip()) for line in result.stdout.splitlines()]
    assert [row for row in rows if len(row) == 3 and row[0] != "option"] == [
        ["batching.exclude", '["bash", "git"]', "BATCHWRAP_BATCHING_EXCLUDE"],
        ["batching.max_items", "4", 'preset "careful", own.toml:1'],
        ["batching.coalesce", '"never"', 'preset "careful", own.toml:1'],
        ["reminders.every", "4", "own.toml:2"],
        ["throttle.store", "(not shown)", "own.toml:4"],
        ["repair", "false", "BATCHWRAP_REPAIR"],
    ]
    assert result.stdout.startswith(f"file: {file}\n")


def test_one_entry(file: Path) -> None:
    """A long list is shown by its length, in the right number."""
    text = "Run all tests at once. " * 9
    file.write_text(f"[[reminders.directives]]\nid = 'tests'\ntext = '{text}'\nkind = 'general'\n")
    assert re.search(r"directives +1 entry ", invoke("config", "--config", str(file)).stdout)


def test_as_json(file: Path) -> None:
    """One object; the file is null if there is none."""
    told = json.loads(invoke("config", "--config", str(file), "--json").stdout)
    assert told["file"] == str(file)
    assert {
        "key": "reminders.every",
        "variable": "BATCHWRAP_REMINDERS_EVERY",
        "value": 4,
        "from": "own.toml:2",
    } in told["options"]
    assert json.loads(invoke("config", "--json").stdout) == {"file": None, "options": []}


def test_all_of_them() -> None:
    """`--all` shows every option that has a value; none is said by default."""
    told = json.loads(invoke("config", "--all", "--json").stdout)["options"]
    assert {it["from"] for it in told} == {"default"}
    fields = {it.key for it in option_keys() if len(it.path) == 2 and not it.is_code}
    assert {it["key"] for it in told} == fields
    assert invoke("config").stdout == "file: none\nevery option has its default\n"


def test_mistakes(file: Path) -> None:
    """One line on stderr, and exit code 2."""
    file.write_text("[reminders]\nevry = 4")
    result = invoke("config", "--config", str(file))
    said = f"batchwrap: {file}:2: reminders.evry: no such option; did you mean 'every'?\n"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", said)
    result = invoke("config", "--config", "no.toml")
    said = "batchwrap: --config: there is no file 'no.toml'\n"
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", said)
