"""One arm of the demo, in the lab and against an endpoint like a real one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from batchwrap.demo import run
from batchwrap.demo.played_plan import PlayedPlan
from batchwrap.demo.project import create
from batchwrap.demo.run import ArmName, DemoArm, RealEndpoint, Watcher
from batchwrap.drive.interpreter import Interpreter
from batchwrap.errors import ConfigError
from batchwrap.lab import Call, FileReader, Lab, RateLimit, Raw, Reply
from tests.demo.jobs import job

Both = dict[ArmName, DemoArm]
ARMS: tuple[ArmName, ...] = ("bare", "wrapped")
# Without limits or delays: then the clock of the lab does not matter.
AT_ONCE: dict[str, Any] = {"tokens_per_s": math.inf, "ttft_s": 0}
# Half of what the bare arm needs, and it refills slowly.
PERIOD = PlayedPlan("half", (RateLimit("tokens", 450_000, 240),))


class Diary(Watcher):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def started(self, arm: ArmName, clock: Callable[[], float]) -> None:
        """Note it, and keep the clock."""
        self.told.append(("started", arm))
        self.clock = clock

    def turn(self, arm: ArmName, number: int, called: str) -> None:
        """Note it."""
        assert self.clock() > 0
        self.told.append((arm, number, called))

    def ended(self, arm: DemoArm) -> None:
        """Note it."""
        self.told.append(("ended", arm))


def run_real(arm: ArmName, lab: Lab, folder: Path, **options: Any) -> DemoArm:
    endpoint = RealEndpoint(base_url=lab.base_url, model="m", api_key="key")
    return run.real(arm, create(folder), endpoint=endpoint, **options)


@pytest.fixture(scope="module")
def diary() -> Diary:
    return Diary()


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> DemoArm:
    """The arm with scripts, in the lab."""
    pytest.importorskip("pydantic_monty")
    folder = tmp_path_factory.mktemp("scripted") / "scripts"
    return run.simulated("scripts", create(folder), time_scale=200.0)


def test_scripts_need_least(both: Both, scripted: DemoArm) -> None:
    """One script does the whole job: it, the tests and the end are three round trips."""
    assert (scripted.done, scripted.error, scripted.files_changed) == (True, None, 13)
    assert scripted.book.round_trips == 3
    assert scripted.tool_calls == both["bare"].tool_calls
    assert scripted.book.refusals == 0
    assert (scripted.book.prompt_tokens or 0) < (both["bare"].book.prompt_tokens or 0) * 0.15


def test_scripts_are_streamed(scripted: DemoArm, tmp_path: Path) -> None:
    """The arm with scripts takes as many round trips in streams."""
    it = run.simulated("scripts", create(tmp_path), stream=True, time_scale=1000)
    assert it.done
    assert it.book.round_trips == scripted.book.round_trips


def test_the_arms_that_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the interpreter there is no arm with scripts."""
    pytest.importorskip("pydantic_monty")
    assert run.arms() == ("bare", "wrapped", "scripts")
    monkeypatch.setattr(Interpreter, "is_available", False)
    assert run.arms() == ("bare", "wrapped")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, diary: Diary) -> Both:
    """Both arms in the lab. The bare one has a plan that a slow machine uses up, too."""
    folder = tmp_path_factory.mktemp("both")
    bare = run.simulated(
        "bare", create(folder / "bare"), time_scale=30.0, plan=PERIOD, watcher=diary
    )
    wrapped = run.simulated("wrapped", create(folder / "wrapped"), time_scale=200.0, watcher=diary)
    return {"bare": bare, "wrapped": wrapped}


@pytest.mark.parametrize("arm", ARMS)
def test_the_job_is_done(both: Both, arm: ArmName) -> None:
    """Either client lets the agent rename the function in all 13 files and pass the tests."""
    it = both[arm]
    assert (it.done, it.error, it.tests_pass, it.files_changed) == (True, None, True, 13)


def test_wrapped_needs_less(both: Both) -> None:
    """The same calls are run for a third of the round trips and tokens, without a refusal."""
    bare, wrapped = both["bare"], both["wrapped"]
    assert wrapped.tool_calls == bare.tool_calls
    assert wrapped.book.round_trips < bare.book.round_trips / 3
    assert wrapped.book.refusals == 0
    assert wrapped.book.prompt_tokens is not None
    assert bare.book.prompt_tokens is not None
    assert wrapped.book.prompt_tokens < bare.book.prompt_tokens / 3


def test_the_bare_client_is_refused(both: Both) -> None:
    """The bare arm uses up the plan, and waits a whole period after every refusal."""
    bare, [limit] = both["bare"], PERIOD.limits
    assert bare.book.refusals == len(bare.book.refused_at_s) >= 1
    assert bare.waiting_s > limit.per_s * bare.book.refusals


@pytest.mark.parametrize("arm", ARMS)
def test_the_book_adds_up(both: Both, arm: ArmName) -> None:
    """Tokens over time are all tokens, inside the run, and waiting is what was not served."""
    it = both[arm]
    assert sum(one.tokens for one in it.book.spent) == (
        (it.book.prompt_tokens or 0) + (it.book.completion_tokens or 0)
    )
    times = [one.at_s for one in it.book.spent]
    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] <= it.wall_s
    assert len(times) == it.book.round_trips
    # What waited for the results of its own turn comes without a round trip.
    assert it.book.round_trips == it.turns if arm == "bare" else it.book.round_trips < it.turns
    assert it.waiting_s == pytest.approx(it.wall_s - it.book.served_s)


def test_the_watcher_is_told(both: Both, diary: Diary) -> None:
    """Start, every turn with what was called, and end of each arm, in this order."""
    for arm in ARMS:
        start, end = diary.told.index(("started", arm)), diary.told.index(("ended", both[arm]))
        turns = diary.told[start + 1 : end]
        assert [number for _, number, _ in turns] == list(range(1, both[arm].turns + 1))
        called = [it[2] for it in turns]
        batched = " and 7 more" if arm == "wrapped" else ""
        assert called[0] == f"read_file README.md{batched}"
        assert called[-2:] == ["run_tests", "says that it is done"]


def test_streams(both: Both, tmp_path: Path) -> None:
    """Asked for in streams the same job takes as many round trips."""
    it = run.simulated("wrapped", create(tmp_path), stream=True, time_scale=1000)
    assert it.done
    assert it.book.round_trips == both["wrapped"].book.round_trips


def test_a_wrong_time_scale_is_refused(tmp_path: Path) -> None:
    """A clock cannot stand still."""
    with pytest.raises(ConfigError, match="time_scale"):
        run.simulated("bare", create(tmp_path), time_scale=0)


@pytest.mark.parametrize("arm", [pytest.param("bare", marks=pytest.mark.thorough), "wrapped"])
def test_a_real_endpoint_is_metered(arm: ArmName, tmp_path: Path) -> None:
    """What batchwrap counts is what the provider has in its own journal, refusals included."""
    numbers, reader = itertools.count(1), FileReader(job)
    refusal = Raw(429, {"retry-after": "0.1"}, (b"{}",))

    def model(request: dict[str, Any]) -> Reply | Raw:
        return reader(request) if next(numbers) % 4 else refusal

    with Lab(model, **AT_ONCE) as lab:
        it = run_real(arm, lab, tmp_path)
        lab.wait_idle()
        served = [entry for entry in lab.journal if entry.status == 200]
        assert it.done
        assert it.book.round_trips == len(served) <= it.turns
        assert it.book.refusals == lab.refusals == len(it.book.refused_at_s) >= 1
        assert it.book.prompt_tokens == sum(entry.prompt_tokens for entry in served)
        assert it.book.completion_tokens == sum(entry.completion_tokens for entry in served)
        assert [one.tokens for one in it.book.spent] == [
            entry.prompt_tokens + entry.completion_tokens for entry in served
        ]
    assert it.book.spent[-1].at_s <= it.wall_s
    assert 0 < it.waiting_s < it.wall_s


def test_metering_changes_nothing(tmp_path: Path) -> None:
    """Only the wrapped arm offers multi-tools; the metered bare one sends what the agent wrote."""
    for arm in ARMS:
        with Lab(lambda _: Reply("No."), **AT_ONCE) as lab:
            run_real(arm, lab, tmp_path / arm)
            offered = [tool["function"]["name"] for tool in lab.journal[0].json["tools"]]
        multis = ["multi_read", "multi_edit", "multi_write", "batch"]
        multi = multis if arm == "wrapped" else []
        assert offered == ["read_file", "edit_file", "write_file", "run_tests", *multi]


def test_tokens_that_nobody_reported(tmp_path: Path) -> None:
    """A stream without usage has no number of tokens, instead of 0."""
    with Lab(lambda _: Reply("No."), include_usage="never", **AT_ONCE) as lab:
        book = run_real("bare", lab, tmp_path, stream=True).book
    assert (book.prompt_tokens, book.completion_tokens) == (None, None)
    assert book.round_trips == 1


_EVENTS = {"content-type": "text/event-stream"}
_CUT = Raw(headers=_EVENTS, chunks=(b'data: {"choices": []}\n\n',), close="abrupt")


@pytest.mark.parametrize(
    ("answer", "stream", "error"),
    [
        (Raw(401, chunks=(b'{"error": {"message": "wrong\\nkey"}}',)), False, "Authentication"),
        (Raw(headers={"content-type": "text/html"}, chunks=(b"<p>",)), False, "no chat completion"),
        (Raw(headers={"content-type": "application/json"}, chunks=(b"{}",)), False, "no chat"),
        (_CUT, True, "Error"),
    ],
    ids=["key", "page", "shape", "cut"],
)
def test_failures_of_an_endpoint(answer: Raw, stream: bool, error: str, tmp_path: Path) -> None:
    """Whatever an endpoint does, the arm ends with one line that says so."""
    with Lab(lambda _: answer, **AT_ONCE) as lab:
        it = run_real("bare", lab, tmp_path, stream=stream)
    assert not it.done
    assert it.error is not None
    assert error in it.error
    assert "\n" not in it.error
    assert (it.files_changed, it.tests_pass) == (0, True)


def test_an_agent_that_does_not_end(tmp_path: Path) -> None:
    """A model that calls tools for ever is stopped, and the arm says so."""
    with Lab(lambda _: Reply(calls=(Call("run_it", "[]"),)), **AT_ONCE) as lab:
        it = run_real("wrapped", lab, tmp_path)
    assert not it.done
    assert it.error == f"the agent had not ended after {it.turns} turns"
    assert it.tool_calls == it.turns


def test_an_idle_agent_has_not_done_the_job(tmp_path: Path) -> None:
    """Ending is not enough: the job has to be done."""
    with Lab(lambda _: Reply("No."), **AT_ONCE) as lab:
        it = run_real("wrapped", lab, tmp_path)
    assert (it.done, it.error, it.turns) == (False, None, 1)
