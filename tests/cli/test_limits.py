"""`batchwrap limits`: what is known of providers and their plans."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from batchwrap.options import Limit
from batchwrap.providers import plan, plan_names, provider_files
from tests.cli.commands import invoke


def test_all_of_them() -> None:
    """Each plan has its row, a provider without plans says so; a pipe gets whole, plain lines."""
    result = invoke("limits", env={"FORCE_COLOR": "1"})
    assert (result.exit_code, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout and "…" not in result.stdout
    rows = [re.split("  +", line) for line in result.stdout.splitlines()]
    found = {"/".join(row[:2]): row[2:] for row in rows}
    assert found.keys() >= set(plan_names())
    assert found["together/–"][0] == "no amounts are known"
    assert found["deepseek/v4-pro"] == [
        "500 requests at the same time",
        plan("deepseek/v4-pro").source,
        "2026-11-20",
    ]


def test_one_provider() -> None:
    """Its plans, how it counts, and what is not known."""
    result = invoke("limits", "cerebras")
    assert result.exit_code == 0
    for part in (
        "150 requests an hour",
        "1,000,000 uncached tokens a minute",
        "120,000,000 tokens a day",
        "hosts: api.cerebras.ai",
        "models: cerebras/…",
        "16,384 by default",
        "code-max: Whether the day",
    ):
        assert part in result.stdout
    assert "groq" not in result.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gemini/free-flash", "20 requests a day, from midnight America/Los_Angeles"),
        ("azure/gpt-4o-default", "450,000 tokens a minute, fixed"),
        ("azure/gpt-4o-default", "450 requests in 10 s, rolling"),
        ("azure/gpt-4o-default", "afterwards: never corrected"),
        ("groq/free", "cached tokens: do not count"),
        ("vllm", "hosts: –"),
        ("vllm", "caches prompts: not known"),
        ("anthropic/start", "at admission: the prompt\n"),
    ],
)
def test_limits_read_well(name: str, said: str) -> None:
    """Modes, zones and rules are said in words."""
    assert said in invoke("limits", name).stdout


def test_one_plan() -> None:
    """A plan's full name shows that plan alone."""
    result = invoke("limits", "cerebras/code-max")
    assert "code-max" in result.stdout and "code-pro" not in result.stdout


def test_as_json() -> None:
    """One object with everything that the files say."""
    given = json.loads(invoke("limits", "--json").stdout)["providers"]
    assert [it["provider"]["name"] for it in given] == [
        file.provider.name for file in provider_files()
    ]
    assert {found["name"] for it in given for found in it["plans"]} == set(plan_names())
    (one,) = json.loads(invoke("limits", "cerebras/code-max", "--json").stdout)["providers"]
    assert one["provider"]["rule"]["default_output"] == 16_384
    assert one["plans"][0]["date"] == "2026-08-01"
    limits = [Limit(**limit) for limit in one["plans"][0]["limits"]]
    assert tuple(limits) == plan("cerebras/code-max").limits


def test_an_own_file(tmp_path: Path) -> None:
    """A file of the user's own is shown as it is, or refused with the field that is wrong."""
    file = tmp_path / "own.toml"
    file.write_text(
        'name = "own"\n[plans.a]\nsource = "[red]"\n'
        'limits = [{ kind = "tokens", amount = 2.5, per_s = 2, burst = 1 }]'
    )
    result = invoke("limits", str(file))
    assert "2.5 tokens in 2 s, 1 at once" in result.stdout and "[red]" in result.stdout
    file.write_text("hots = []")
    result = invoke("limits", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{file}: hots: no such field" in result.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cerebra", "zai; did you mean 'cerebras'?"),
        ("cerebras/code-mux", "; did you mean 'cerebras/code-max'?"),
        ("code-max", "no provider 'code-max'; did you mean 'cerebras/code-max'?"),
        ("none.toml", "none.toml cannot be read: No such file or directory\n"),
    ],
)
def test_an_unknown_name(name: str, said: str) -> None:
    """The exit code is 2, and one line names what was wrong and the nearest name."""
    result = invoke("limits", name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("batchwrap: NAME: ") and said in result.stderr
    assert result.stderr.count("\n") == 1
