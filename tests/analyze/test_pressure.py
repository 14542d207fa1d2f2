"""Rate-limit pressure: the plan's own arithmetic on a clock that is not real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from batchwrap.analyze import analyze
from batchwrap.analyze.pressure import play
from batchwrap.analyze.recorded_session import RecordedTurn
from batchwrap.core.limits.cost import Rule, Usage
from batchwrap.core.provider import Provider
from batchwrap.errors import ConfigError
from batchwrap.options import Limit
from batchwrap.providers import Plan
from tests.analyze import samples

PROVIDER = Provider(rule=Rule(default_output=100))
PLAN = Plan(provider=PROVIDER, limits=(Limit("tokens", 1_000, 60),))


def turns(*usages: Usage) -> list[RecordedTurn]:
    return [RecordedTurn(index, 0, (), usage) for index, usage in enumerate(usages)]


def test_waits() -> None:
    """A request waits until the bucket has room for its prompt and the guess of its output."""
    done = play(turns(Usage(800, 20), Usage(800, 20)), PLAN, tokens_per_s=100)
    # 820 are spent after half a second; 900 are needed, of which 180 and the refill are there.
    assert done.requests == 2 and done.held == 1
    assert done.working_s == pytest.approx(2 * 0.5)
    assert done.waiting_s == pytest.approx(720 / (1_000 / 60) - 0.5, abs=0.6)


def test_a_plan_without_need_to_wait() -> None:
    """Small requests are never held back."""
    done = play(turns(*[Usage(10, 1)] * 5), PLAN, tokens_per_s=100)
    assert (done.requests, done.held, done.waiting_s, done.too_large) == (5, 0, 0, 0)


def test_a_late_clock() -> None:
    """Where a wait is too short to move the clock, the replay goes on all the same."""
    done = play(turns(Usage(800, 2**53), Usage(800, 20)), PLAN, tokens_per_s=2**-20)
    assert (done.requests, done.too_large) == (2, 0)


def test_too_large() -> None:
    """What no full bucket has room for is counted and left out; a guess alone is no wall."""
    done = play(turns(Usage(1_200, 1), Usage(950, 1)), PLAN, tokens_per_s=100)
    assert (done.requests, done.too_large) == (1, 1)


def test_cached_tokens_count_as_the_provider_says() -> None:
    """Limits of uncached tokens let cached prompts through, unless the plan has no cache."""
    limits = (Limit("uncached_tokens", 1_000, 60),)
    cached = turns(Usage(5_000, 1, 4_900), Usage(5_000, 1, 4_900))
    with_cache = replace(PLAN, limits=limits)
    assert play(cached, with_cache, 100).requests == 2
    provider = replace(PROVIDER, caches_prompts=False)
    assert play(cached, replace(with_cache, provider=provider), 100).too_large == 2


def test_batches_relieve(tmp_path: Path) -> None:
    """With batches there are fewer requests, and less is held back."""
    plan = tmp_path / "own.toml"
    plan.write_text(
        "[counting]\ndefault_output = 100\n"
        '[plans.a]\nlimits = [{ kind = "tokens", amount = 2000, per_s = 60 }]'
    )
    (tmp_path / "log").write_bytes(samples.claude_code())
    report = analyze([str(tmp_path / "log")], plan=f"{plan}#a")
    assert report.pressure is not None
    before, after = report.pressure.plays["as recorded"], report.pressure.plays["by itself"]
    assert (before.requests, after.requests) == (6, 5)
    assert before.waiting_s > after.waiting_s > 0
    assert report.as_dict()["pressure"]["plan"] == f"{plan}#a"


@pytest.mark.parametrize("speed", [0, -1, 1e-300, float("inf"), float("nan")])
def test_a_speed_that_no_model_has(speed: float) -> None:
    """It is refused by its name; at next to no speed, the replay would never end."""
    with pytest.raises(ConfigError, match="tokens_per_s"):
        analyze(["/no/such/file"], plan="cerebras/code-max", tokens_per_s=speed)


def test_an_unknown_plan() -> None:
    """It is refused before anything is read."""
    with pytest.raises(ConfigError, match="no plan"):
        analyze(["/no/such/file"], plan="cerebras/none")
