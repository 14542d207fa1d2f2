"""What is learned about limits, and whose account takes a request."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from batchwrap import priority
from batchwrap.core.limits.cost import NOTHING, Cost, Usage
from batchwrap.core.limits.headers import Observation
from batchwrap.core.limits.refusal import Refusal
from batchwrap.core.limits.resets import LONGEST_S
from batchwrap.core.limits.state import Admission
from batchwrap.errors import ConfigError, LimitExceeded, RequestTooLarge, StoreUnavailable
from batchwrap.options import Limit, Throttle
from batchwrap.testing import ManualClock
from batchwrap.throttle.accounts import Origin, accounts_of, name_of
from batchwrap.throttle.admission import AdmissionRequest
from batchwrap.throttle.budget import Budget
from batchwrap.throttle.stores import MemoryStore
from tests.throttle.harness import Bench, until

MINUTE = Limit("tokens", 100, 60)
HERE = Origin(host="api.cerebras.ai", api_key="sk-own")


def _waiting(budget: Budget) -> int:
    return sum(now.waiting for _, now in budget.limiter.snapshots().values())


def tokens(amount: float) -> Cost:
    """One request with so many tokens."""
    return Cost(1, amount)


def asked(
    budget: Budget, task: str = "a", origin: Origin = HERE, model: str = "m"
) -> AdmissionRequest:
    """The admission request of one conversation."""
    return budget.request({"model": model, "messages": [{"role": "user", "content": task}]}, origin)


def take(budget: Budget, amount: float, task: str = "a", **fields: Any) -> AdmissionRequest:
    """A reservation of so many tokens; the request arrives at once."""
    request = asked(budget, task, **fields)
    request.reserve(tokens(amount), tokens(amount))
    request.arrived()
    return request


def test_accounts_add_up() -> None:
    """The account that can admit first takes a request; all of them together are the limit."""
    budget = Budget(Throttle(limits=[MINUTE], keys=["k1", "k2"], max_wait_s=0))
    keys = {take(budget, 80, task).api_key for task in "ab"}
    assert keys == {"k1", "k2"}
    with pytest.raises(LimitExceeded):
        take(budget, 80, "c")


def test_conversations_stick_to_an_account() -> None:
    """A conversation stays with its key while there is room, and new ones are spread."""
    budget = Budget(Throttle(limits=[MINUTE], keys=["k1", "k2", "k3"], max_wait_s=0))
    first = {task: take(budget, 1, task).api_key for task in "abc"}
    assert len(set(first.values())) == 3
    for _ in range(5):
        assert {task: take(budget, 1, task).api_key for task in "abc"} == first


def test_a_conversation_that_grows_is_the_same() -> None:
    """What the model answers does not change which conversation it is."""
    budget = Budget(Throttle(limits=[MINUTE], keys=["k1", "k2"]))
    task = {"role": "user", "content": "a"}
    grown = [task, {"role": "assistant", "content": "yes"}, {"role": "user", "content": "b"}]
    first, later = (budget.request({"messages": m}, HERE).conversation for m in ([task], grown))
    assert first == later is not None


def test_sticking_costs_little() -> None:
    """It waits for its own account for a moment, not for long."""
    clock, limits = ManualClock(), [Limit("tokens", 100, 10)]
    budget = Budget(Throttle(limits=limits, keys=["k1", "k2"], max_wait_s=5, clock=clock))
    own = take(budget, 100).api_key
    assert take(budget, 5).api_key == own
    assert clock.passed_s == pytest.approx(0.5)
    assert take(budget, 60).api_key != own


def test_keys_are_never_shown() -> None:
    """An account's name does not tell its key, and nothing prints it."""
    [account, _] = accounts_of(["sk-secret", "sk-other", "sk-secret"], HERE)
    assert "secret" not in f"{account!r}{account.name}{Origin('h', 'sk-secret')!r}"
    assert "secret" not in repr(Throttle(keys=["sk-secret"]))
    assert name_of("sk-secret") == account.name != name_of("sk-other")


@pytest.mark.parametrize("keys", [[], "sk-1", ["sk-1", ""], [5]])
def test_wrong_keys(keys: Any) -> None:
    """They are refused by name, and not repeated in the message."""
    with pytest.raises(ConfigError, match=r"Throttle\.keys") as caught:
        Throttle(keys=keys)
    assert "sk-1" not in str(caught.value)


def test_a_guess_is_never_a_wall() -> None:
    """Only what the request itself names can be too large; an answer's unknown length is not."""
    budget = Budget(Throttle(limits=[MINUTE], max_wait_s=0))
    request = asked(budget)
    request.reserve(tokens(5_000), tokens(90))
    request.settle(NOTHING, None)
    with pytest.raises(RequestTooLarge):
        request.reserve(tokens(5_000), tokens(101))


def test_models_of_a_plan_have_their_own_buckets() -> None:
    """Where a plan limits each model by itself, one does not take from the other."""
    budget = Budget(Throttle(limits="cerebras/code-pro", max_wait_s=0))
    assert len({budget.request({"model": name}, HERE).scope_name for name in "ab"}) == 2
    own = Budget(Throttle(limits=[MINUTE]))
    assert len({own.request({"model": name}, HERE).scope_name for name in "ab"}) == 1


def observed(limit: float, remaining: float | None) -> Observation:
    """What a header says of the tokens of a minute."""
    return Observation(
        kind="tokens", per_s=60, limit=limit, remaining=remaining, reset_s=None, reset_means=None
    )


def test_amounts_that_headers_name() -> None:
    """Nothing waits before; then what they say holds, what was used up before included."""
    budget = Budget(Throttle(max_wait_s=0))
    request = take(budget, 10**9)
    request.learn([observed(limit=1_000, remaining=300)])
    request.settle(NOTHING, None)
    take(budget, 250)
    with pytest.raises(LimitExceeded):
        take(budget, 100)
    take(budget, 100, model="other")


def test_headers_correct_a_level() -> None:
    """What strangers have used of a shared budget is gone for us, too."""
    budget = Budget(Throttle(limits=[Limit("tokens", 1_000, 60)], max_wait_s=0))
    request = take(budget, 10)
    request.learn([observed(limit=1_000, remaining=100)])
    request.settle(tokens(10), Usage(5, 5))
    take(budget, 90)
    with pytest.raises(LimitExceeded):
        take(budget, 50)


@pytest.mark.parametrize(("limit", "is_known"), [(1_000, True), (2_000, False)])
def test_headers_that_name_no_period(limit: float, is_known: bool) -> None:
    """They are about the limit of that amount, if there is one."""
    budget = Budget(Throttle(limits=[Limit("tokens", 1_000, 60)], max_wait_s=0))
    request = take(budget, 10)
    request.learn([replace(observed(limit, remaining=100), per_s=None)])
    request.settle(tokens(10), Usage(5, 5))
    [(_, now)] = budget.limiter.snapshots().values()
    assert (now.levels[0].free < 200) is is_known


@pytest.mark.parametrize(("means", "ends"), [("window", True), (None, True), ("full", False)])
def test_headers_tell_when_a_period_ends(means: Any, ends: bool) -> None:
    """A limit of fixed periods takes any reset for the end of one, except a full bucket's."""
    budget = Budget(Throttle(limits=[Limit("tokens", 100, 86_400, "fixed")], max_wait_s=0))
    request = take(budget, 100)
    told = Observation(
        kind="tokens", per_s=86_400, limit=100, remaining=0, reset_s=1.5, reset_means=means
    )
    request.learn([told])
    [(_, now)] = budget.limiter.snapshots().values()
    assert (now.levels[0].full_s < 2) is ends


def test_a_refused_request_is_the_next_one() -> None:
    """When the account opens again it goes before those that came after it."""
    budget = Budget(Throttle(limits=[Limit("concurrency", 1)]))
    refused, other, order = asked(budget), asked(budget), list[str]()

    def work(name: str, one: AdmissionRequest) -> None:
        one.reserve(tokens(1), tokens(1))
        order.append(name)
        one.settle(NOTHING, None)

    refused.reserve(tokens(1), tokens(1))
    threads = []
    for waiting, (name, one) in enumerate((("other", other), ("refused", refused)), 1):
        threads.append(threading.Thread(target=work, args=(name, one)))
        threads[-1].start()
        until(lambda wanted=waiting: _waiting(budget) == wanted)  # type: ignore[misc]
    assert refused.refused(Refusal(429, retry_after_s=0.1), 0.1) == 0
    refused.settle(NOTHING, None)
    for thread in threads:
        thread.join(5)
    assert order == ["refused", "other"]


def test_estimates_that_may_be_too_low() -> None:
    """A margin is kept free, at most what a second brings back; all of it after a refusal."""
    budget = Budget(Throttle(limits=[Limit("tokens", 600, 60)]))
    request, price, reserved = asked(budget), tokens(100), list[float]()
    for _ in range(2):
        request.reserve(price, price, tokens(50))
        [(_, now)] = budget.limiter.snapshots().values()
        reserved.append(now.levels[0].reserved)
        request.settle(NOTHING, None)
    assert reserved == [110, 150]


def test_refusals_make_careful() -> None:
    """After each more is kept free where costs are estimated; answers take it back."""
    budget = Budget(Throttle(limits=[Limit("tokens", 600, 60)], max_wait_s=0))

    def reserved() -> float:
        request = asked(budget)
        request.reserve(tokens(100), tokens(100), tokens(1))
        [(_, now)] = budget.limiter.snapshots().values()
        request.settle(tokens(0), None)
        return now.levels[0].reserved

    before, request = reserved(), take(budget, 1)
    request.refused(Refusal(429, retry_after_s=0), 0.0)
    request.settle(NOTHING, None)
    after = [reserved() for _ in range(20)]
    assert after[0] == before + 10
    assert before < after[-1] < before + 6
    take(budget, 590).settle(NOTHING, None)


def test_growth_is_slowed_down() -> None:
    """After a refusal for growing too fast costs count double; each answer takes some back."""
    budget = Budget(Throttle(limits=[MINUTE], max_wait_s=0))
    request = take(budget, 10)
    request.refused(Refusal(429, kind="growth"), 0.0)
    request.settle(NOTHING, None)
    take(budget, 40)
    with pytest.raises(LimitExceeded):
        take(budget, 40)


def test_a_wait_at_a_slower_pace() -> None:
    """The provider's own time is waited for, however often it has asked for slower growth."""
    clock = ManualClock()
    budget = Budget(Throttle(limits=[Limit("tokens", 6_000, 60)], clock=clock))
    for _ in range(4):
        request = take(budget, 1)
        request.refused(Refusal(429, kind="growth"), 0.0)
        request.settle(NOTHING, None)
    request, before_s = take(budget, 100), clock.passed_s
    request.refused(Refusal(429, retry_after_s=10, counts="tokens"), 10.0)
    request.settle(NOTHING, None)
    request.reserve(tokens(100), tokens(100))
    assert clock.passed_s - before_s == pytest.approx(10)


@pytest.mark.parametrize("asked_s", [30 * 86_400, LONGEST_S])
def test_a_time_that_no_limit_has(asked_s: float) -> None:
    """A key stays out of the pool for a month, but not for a year: that is a mistake."""
    clock = ManualClock()
    budget = Budget(Throttle(limits=[MINUTE], keys=["k1", "k2"], clock=clock))
    request = take(budget, 1)
    assert request.takes_over(Refusal(429, retry_after_s=asked_s))
    clock.sleep(3_600)
    first = budget._pool.choose(request.accounts, request.scope_name)[0]
    assert (first.api_key == request.api_key) is (asked_s == LONGEST_S)


def test_limits_of_headers_refuse_nothing() -> None:
    """A request above such a limit waits for a full bucket; if it is accepted, the limit is not."""
    clock = ManualClock()
    budget = Budget(Throttle(clock=clock))
    request = take(budget, 10)
    request.learn([observed(limit=100, remaining=50)])
    request.settle(tokens(10), None)
    cost, before_s = Cost(1, 900, 900, 500, 400), clock.passed_s
    request.reserve(cost, cost)
    assert clock.passed_s - before_s == pytest.approx(30)
    request.learn([observed(limit=100, remaining=0)], is_accepted=False)
    assert request.scope().limits
    request.learn([observed(limit=100, remaining=0)])
    assert not request.scope().limits


@pytest.mark.parametrize(("kind", "closed"), [("bucket", True), ("overloaded", False)])
def test_who_is_closed_by_a_refusal(kind: Any, closed: bool) -> None:
    """The account, if its own limit was hit; a provider that is full closes nothing."""
    budget = Budget(Throttle(limits=[MINUTE], keys=["k1", "k2"], max_wait_s=0))
    request = take(budget, 1)
    request.refused(Refusal(429, retry_after_s=60, kind=kind), 60.0)
    request.settle(NOTHING, None)
    assert (take(budget, 1).api_key != request.api_key) is closed


def test_priority() -> None:
    """Who is more urgent goes first; first come, first served among equals."""
    bench = Bench(Limit("tokens", 6_000, 60, burst=100))
    bench.acquire(tokens(100)).settle(tokens(100))
    order: list[str] = []

    def work(name: str, level: int) -> None:
        bench.acquire(tokens(30), priority=level)
        order.append(name)

    threads = []
    for place, (name, level) in enumerate([("a", 0), ("b", 0), ("urgent", 1)], start=1):
        threads.append(threading.Thread(target=work, args=(name, level)))
        threads[-1].start()
        while bench.waiting + len(order) < place:
            pass
    for thread in threads:
        thread.join(5)
    assert order == ["urgent", "a", "b"]


def test_the_level_of_a_thread() -> None:
    """The context manager sets it for what is inside."""
    budget = Budget(None)
    with priority(2):
        assert budget.request({}, HERE).priority == 2
    assert budget.request({}, HERE).priority == 0
    with pytest.raises(ConfigError, match="priority"), priority("high"):  # type: ignore[arg-type]
        pass


class Down(MemoryStore):
    """A shared store that cannot be reached until it is mended."""

    shared = True
    broken = True

    def reserve(self, *args: Any, **kwargs: Any) -> Admission:
        """Fails."""
        if self.broken:
            raise StoreUnavailable("down://", "nobody is there")
        return super().reserve(*args, **kwargs)


def test_a_store_that_is_down() -> None:
    """Each process keeps to the limits by itself, if that is what the user wants."""
    fails = Bench(MINUTE, store=Down(), max_wait_s=0, falls_back=False)
    with pytest.raises(StoreUnavailable):
        fails.acquire(tokens(10))
    local = Bench(MINUTE, store=Down(), max_wait_s=0)
    local.acquire(tokens(90)).settle(tokens(90))
    with pytest.raises(LimitExceeded):
        local.acquire(tokens(90))


def test_a_store_that_is_back() -> None:
    """After a rest it is asked again."""
    now = [0.0]
    store = Down()
    bench = Bench(MINUTE, store=store, max_wait_s=0, clock=lambda: now[0])
    assert bench.acquire(tokens(90)).reservation.store is not store
    store.broken = False
    assert bench.acquire(tokens(1)).reservation.store is not store
    now[0] = 10.0
    assert bench.acquire(tokens(90)).reservation.store is store


def test_the_books(tmp_path: Path) -> None:
    """What was spent stands there by account, model, minute and day, over restarts."""
    url = f"sqlite:///{tmp_path / 'budget.db'}"
    for _ in range(2):
        budget = Budget(Throttle(limits=[MINUTE], store=url))
        request = take(budget, 10, model="m1")
        request.settle(tokens(7), Usage(4, 3, 1))
        budget.limiter._worker.flush(5)
        lines = budget.limiter.store.usage()
    day = [line for line in lines if line.span == "day" and line.model == "m1"]
    assert {line.key for line in lines} == {name_of("sk-own")}
    assert sum(line.spent.prompt_tokens for line in day) == 8
    assert sum(line.spent.output_tokens for line in day) == 6
    assert sum(line.spent.cached_tokens for line in day) == 2


def test_one_file_for_two_budgets(tmp_path: Path) -> None:
    """Two clients with one file and one key share one budget."""
    url = f"sqlite:///{tmp_path / 'budget.db'}"
    one, other = (Budget(Throttle(limits=[MINUTE], store=url, max_wait_s=0)) for _ in range(2))
    take(one, 80)
    with pytest.raises(LimitExceeded):
        take(other, 80)
    take(other, 80, origin=Origin(api_key="sk-other"))


@pytest.mark.parametrize("model", ["\ud800", "m" * 10_000, "\0 'x'", {"no": "name"}])
def test_names_that_no_store_expects(model: Any, tmp_path: Path) -> None:
    """Whatever a request has for a model, it is held back and settled like any other."""
    budget = Budget(Throttle(limits=[MINUTE], store=f"sqlite:///{tmp_path / 'budget.db'}"))
    take(budget, 90, model=model).settle(tokens(50), Usage(40, 10))
    take(budget, 50, model=model).settle(tokens(50), Usage(40, 10))
    budget.limiter._worker.flush(5)
    day = [line for line in budget.limiter.store.usage() if line.span == "day"]
    assert [line.spent.prompt_tokens for line in day] == [80]
    assert len(day[0].model) < 250
