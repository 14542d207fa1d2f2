"""The benchmark of scripts: each job comes out right in each way, and scripts reach their goals."""

from __future__ import annotations

import pytest

from benchmarks import script_costs
from benchmarks.script_jobs import Job, jobs
from benchmarks.scripts import MOST_ROUND_TRIPS, MOST_TOKENS, PLANS, limits_of, play

pytest.importorskip("pydantic_monty")


# The others are like these two, and take longer.
QUICK = ("find and fix", "a log, in parts")
JOBS = [
    pytest.param(job, id=job.name, marks=() if job.name in QUICK else pytest.mark.thorough)
    for job in jobs()
]


@pytest.mark.parametrize("job", JOBS)
def test_a_job(job: Job) -> None:
    """Files and answer are the same in each way; with scripts it takes four round trips."""
    bare, batches, scripts, both = (
        play(job, "bare"),
        play(job, "batches"),
        play(job, "scripts"),
        play(job, "both"),
    )
    assert [one.problem for one in (bare, batches, scripts, both)] == [None] * 4
    assert 15 <= bare.round_trips <= 60
    assert bare.calls == batches.calls == scripts.calls <= both.calls
    for its in (scripts, both):
        assert its.round_trips <= MOST_ROUND_TRIPS
        assert its.prompt_tokens <= MOST_TOKENS * bare.prompt_tokens
    assert scripts.round_trips <= both.round_trips <= batches.round_trips


def test_a_wrong_result_is_seen() -> None:
    """A program that forgets what it was asked for is not taken for one that did it."""
    fix = next(job for job in jobs() if job.name == "find and fix")
    code = fix.code.replace("timeout_s = 30", "timeout_s = 40")
    wrong = Job(name="wrong", prompt="", files=fix.files, code=code, check=fix.check)
    assert "is not what it should be" in (play(wrong, "scripts").problem or "")


def test_limits() -> None:
    """The simulated provider has the limits of the plans: requests and tokens of all periods."""
    for plan in PLANS:
        assert {one.kind for one in limits_of(plan)} == {"requests", "tokens"}
        assert {one.per_s for one in limits_of(plan)} == {1, 60, 86_400}


def test_costs() -> None:
    """There is a line for each number of waves, and one for each crowd."""
    printed = "\n".join(script_costs.lines(runs=2, waves=(2, 3), agents=2))
    for part in ("a wave of 2", "a script of 3 waves", "scripts", "batches"):
        assert f"\n{part} " in printed
