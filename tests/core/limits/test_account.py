"""The arithmetic of limits: never more than each allows, whatever the clock does."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.limits.account import ARRIVAL_S, MIN_WAIT_S, TTL_S
from batchwrap.core.limits.state import Admission, Place, Seen
from batchwrap.core.limits.windows import meters
from batchwrap.options import Limit
from tests.core.limits.accounts import (
    CONTINUOUS,
    FIXED,
    MODES,
    ROLLING,
    RUNNING,
    START,
    STEPS,
    Account,
    run,
)
from tests.strategies import examples


@given(STEPS, st.sampled_from([None, 100.0]))
@examples(150)
def test_never_above_a_continuous_limit(
    steps: list[tuple[str, int, int, float]], burst: float | None
) -> None:
    """In any stretch of time no more reaches the provider than a full bucket and its refill."""
    limit = Limit("tokens", 600, 64, burst=burst)
    told = run(Account(limit), steps)
    counted = sorted((one["arrives"], one["amount"]) for one in told.done)
    for first, (start, _) in enumerate(counted):
        total = 0.0
        for moment, amount in counted[first:]:
            total += amount
            assert total <= limit.capacity + (moment - start) * limit.rate + 1e-6


@given(STEPS)
@examples(150)
def test_never_above_a_rolling_limit(steps: list[tuple[str, int, int, float]]) -> None:
    """No window of the period's length holds more than the limit, wherever it begins."""
    told = run(Account(ROLLING), steps)
    for one in told.done:
        window = [other for other in told.done if one["at"] <= other["at"] <= one["at"] + 64]
        assert sum(other["amount"] for other in window) <= 600


@given(STEPS, st.sampled_from([0.0, 10.0, 63.0]))
@examples(150)
def test_never_above_a_fixed_limit(
    steps: list[tuple[str, int, int, float]], offset_s: float
) -> None:
    """No aligned period holds more than the limit."""
    forward = [(action, who, amount, abs(passed)) for action, who, amount, passed in steps]
    told = run(Account(FIXED, offset_s=offset_s), forward)
    periods: dict[int, float] = {}
    for one in told.done:
        period = math.floor((one["at"] - offset_s) / 64)
        periods[period] = periods.get(period, 0.0) + one["amount"]
    assert all(spent <= 600 for spent in periods.values())


@given(STEPS)
@examples(100)
def test_a_clock_that_jumps_makes_no_short_periods(
    steps: list[tuple[str, int, int, float]],
) -> None:
    """However the clock is set, half a period sees at most two of them."""
    told = run(Account(FIXED), steps)
    for one in told.done:
        stretch = [other for other in told.done if one["at"] <= other["at"] < one["at"] + 32]
        assert sum(other["amount"] for other in stretch) <= 1_200


@given(STEPS)
@examples(100)
def test_never_more_at_the_same_time(steps: list[tuple[str, int, int, float]]) -> None:
    """Never more run than may."""
    told = run(Account(RUNNING, Limit("tokens", 1e6)), steps)
    for held in told.done:
        assert sum(one["at"] <= held["at"] < one["ends"] for one in told.done) <= 3


@given(STEPS)
@examples(100)
def test_time_never_runs_faster_than_the_clock(steps: list[tuple[str, int, int, float]]) -> None:
    """The account's time never goes back, and advances no more than the clock did."""
    one, latest, forward = Account(CONTINUOUS), START, START
    for _, _, _, passed in steps:
        one.now += passed
        forward += max(0.0, passed)
        one.snapshot()
        assert latest <= one.state["at"] <= forward
        latest = one.state["at"]


@given(STEPS)
@examples(100)
def test_nothing_is_lost(steps: list[tuple[str, int, int, float]]) -> None:
    """When all is settled or given up, every bucket is full again after a while."""
    one = Account(RUNNING, *MODES)
    run(one, steps)
    for ticket in one.state["leases"]:
        one.settle(ticket, 0)
    for waiting in one.state["queue"]:
        one.leave(waiting["id"])
    one.now = max(one.now, START) + 200 + 1e5
    shot = one.snapshot()
    assert [level.free for level in shot.levels] == [3, 600, 600, 600]
    assert [level.full_s for level in shot.levels] == [0, 0, 0, 0]
    assert (shot.running, shot.waiting) == (0, 0)


@pytest.mark.parametrize("limit", MODES, ids=str)
@given(
    st.lists(st.tuples(st.integers(1, 600), st.integers(0, 2)), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
@examples(40)
def test_first_come_first_served(limit: Limit, requests: list[tuple[int, int]], dice: Any) -> None:
    """By priority and arrival, however large, in whatever order they ask again."""
    one = Account(limit)
    one.take("first", 600)
    one.arrived("first")
    waiting: dict[str, int] = {}
    for place, (amount, priority) in enumerate(requests):
        assert one.reserve(f"t{place}", amount, priority=priority).status == "waiting"
        waiting[f"t{place}"] = amount
    order: list[str] = []
    while waiting:
        waits: list[float] = []
        for ticket in dice.sample(sorted(waiting), len(waiting)):
            admission = one.reserve(ticket, waiting[ticket])
            waits.append(admission.wait_s)
            if admission.status == "admitted":
                one.arrived(ticket)
                order.append(ticket)
                del waiting[ticket]
        one.now += max(waits)
    assert order == sorted(order, key=lambda name: (requests[int(name[1:])][1], int(name[1:])))


@pytest.mark.parametrize("limit", MODES, ids=str)
@given(st.lists(st.integers(1, 600), min_size=1, max_size=12))
@examples(40)
def test_the_wait_is_exact(limit: Limit, amounts: list[int]) -> None:
    """After the wait that the head is told it is admitted, and just before it is not."""
    one = Account(limit)
    for place, amount in enumerate(amounts):
        first = one.reserve(f"t{place}", amount)
        if first.status == "waiting":
            assert first.limit == 0
            started = one.now
            one.now = started + first.wait_s * 0.99
            if first.wait_s > 1:
                assert one.reserve(f"t{place}", amount).status == "waiting"
            one.now = started + first.wait_s
            one.take(f"t{place}", amount)
        one.arrived(f"t{place}")


def test_all_or_none() -> None:
    """A request takes from no limit until all have room; the slowest is named."""
    one = Account(CONTINUOUS, Limit("requests", 2, 60))
    one.take("a", 10, 1)
    one.take("b", 10, 1)
    one.arrived("a")
    one.arrived("b")
    admission = one.reserve("c", 10, 1)
    assert (admission.status, admission.limit) == ("waiting", 1)
    assert admission.wait_s == pytest.approx(30)
    assert one.free == [580, 0]


def test_settling() -> None:
    """What was reserved and not used comes back once; what was used beyond is owed."""
    one = Account(CONTINUOUS)
    one.take("a", 500)
    one.arrived("a")
    one.settle("a", 100)
    one.settle("a", 0)
    assert one.free == [500]
    one.take("b", 500)
    one.settle("b", 800)
    assert one.free == [-300]
    assert one.reserve("c", 0).wait_s == pytest.approx(32)


def test_what_refills_went_by_for_does_not_come_back() -> None:
    """A bucket that was full meanwhile has no room for what is given back."""
    one = Account(CONTINUOUS)
    one.take("a", 600)
    one.now += 100
    one.take("b", 600)
    one.arrived("b")
    one.settle("a", 0)
    assert one.free == [0]


def test_giving_back_twice_what_was_one() -> None:
    """What one reservation gives back makes less of what another can."""
    one = Account(CONTINUOUS)
    one.take("a", 300)
    one.take("b", 300)
    one.arrived("a")
    one.arrived("b")
    one.now += 32
    one.take("c", 300)
    one.arrived("c")
    one.settle("a", 0)
    one.settle("b", 0)
    assert one.free == [300]


def test_two_in_one_slice() -> None:
    """What one request gives back is not the other's that came at the same time."""
    one = Account(ROLLING)
    one.take("a", 200)
    one.take("b", 300)
    one.settle("a", 0)
    assert one.free == [300]


def test_fractions() -> None:
    """Nobody waits a period for a rounding error."""
    one = Account(Limit("tokens", 0.3, 64, "fixed"))
    for ticket in "abc":
        one.take(ticket, 0.1)


@pytest.mark.parametrize("limit", [FIXED, ROLLING], ids=str)
def test_settling_in_a_later_period(limit: Limit) -> None:
    """What comes back, comes back to its own period; what was used beyond is taken now."""
    one = Account(limit)
    one.take("a", 400)
    one.take("b", 200)
    one.now += 66
    one.take("c", 300)
    one.settle("a", 0)
    assert one.free == [300]
    one.settle("b", 250)
    assert one.free == [250]


@given(
    st.lists(st.tuples(st.integers(1, 600), st.floats(0, ARRIVAL_S), st.floats(0, 20)), max_size=12)
)
@examples(150)
def test_a_slow_network_does_not_run_ahead(requests: list[tuple[int, float, float]]) -> None:
    """Late and in any order, the provider's own bucket has room for each request."""
    one, level, at = Account(CONTINUOUS), 600.0, START
    on_the_way: list[tuple[float, str, int]] = []

    def until(moment: float) -> None:
        nonlocal level, at
        while on_the_way and on_the_way[0][0] <= moment:
            when, ticket, amount = on_the_way.pop(0)
            level = min(600.0, level + (when - at) * CONTINUOUS.rate) - amount
            assert level >= -1e-3
            at = one.now = when
            one.arrived(ticket)
        one.now = moment

    for place, (amount, delay_s, pause_s) in enumerate(requests):
        until(one.now + pause_s)
        while (admission := one.reserve(f"t{place}", amount)).status == "waiting":
            until(one.now + admission.wait_s)
        on_the_way.append((one.now + delay_s, f"t{place}", amount))
        on_the_way.sort()


def test_a_slow_answer_is_no_slow_network() -> None:
    """After a moment a request is taken to be with the provider, and the bucket refills."""
    one = Account(CONTINUOUS)
    one.take("a", 600)
    one.now += ARRIVAL_S + 32
    assert one.free == [pytest.approx(300)]
    one.arrived("a")
    assert one.free == [pytest.approx(300)]


def test_what_one_gives_back_is_no_other_ones() -> None:
    """An estimate that was too high comes back whole, whoever gave back something before."""
    one = Account(CONTINUOUS)
    one.take("a", 300)
    one.arrived("a")
    one.now += 16
    one.take("b", 300)
    one.arrived("b")
    one.settle("b", 50)
    one.settle("a", 100)
    assert one.free == [550]


def test_a_request_that_never_fits() -> None:
    """Above a capacity it is refused at once, with the limit, and leaves the queue."""
    one = Account(Limit("requests", 5), CONTINUOUS)
    assert one.reserve("a", 1, 601) == Admission("never", 0.0, 1)
    assert one.reserve("b", 1, math.inf) == Admission("never", 0.0, 1)
    assert one.snapshot().waiting == 0
    one.take("a", 1, 500)
    assert one.reserve("c", 1, 400).status == "waiting"
    one.meters = meters([Limit("requests", 5), Limit("tokens", 300, 64)])
    assert one.reserve("c", 1, 400).status == "never"
    assert one.snapshot().waiting == 0


def test_a_wait_that_is_too_long() -> None:
    """Refused at once if it waits too long even should all that is reserved come back."""
    one = Account(CONTINUOUS)
    one.take("a", 600)
    one.arrived("a")
    one.settle("a", 600)
    late = one.reserve("b", 300, max_wait_s=31)
    assert (late.status, late.limit) == ("late", 0)
    assert late.wait_s == pytest.approx(32)
    assert one.reserve("b", 300, max_wait_s=33).status == "waiting"
    assert one.reserve("c", 300, max_wait_s=60).status == "late"
    assert one.reserve("c", 300, max_wait_s=60, priority=-1).status == "waiting"


@pytest.mark.parametrize("limit", MODES, ids=str)
def test_what_is_reserved_may_come_back(limit: Limit) -> None:
    """Nobody is refused for what others have only reserved."""
    one = Account(limit)
    one.take("a", 600)
    assert one.reserve("b", 600, max_wait_s=0).status == "waiting"
    assert one.reserve("c", 600, max_wait_s=30).status == "late"


@pytest.mark.parametrize("limit", [FIXED, ROLLING], ids=str)
def test_a_long_queue_takes_several_periods(limit: Limit) -> None:
    """Three full requests ahead take three periods, near enough, before the fourth."""
    one = Account(limit)
    one.take("a", 600)
    one.settle("a", 600)
    for ticket in "bcd":
        assert one.reserve(ticket, 600).status == "waiting"
    assert 3 * 64 < one.reserve("e", 600, max_wait_s=1).wait_s <= 4 * 64 + 2


def test_concurrency() -> None:
    """Who ends lets the next one in; nobody knows when that will be."""
    one = Account(RUNNING)
    for ticket in "abc":
        one.take(ticket, 1)
    assert one.reserve("d", 1) == Admission("waiting", math.inf, 0, math.inf)
    assert one.reserve("e", 1, max_wait_s=0).status == "waiting"
    one.settle("b", 1)
    assert one.reserve("e", 1).status == "waiting"
    one.take("d", 1)
    one.now += 31
    assert one.reserve("e", 1).status == "waiting"


def test_who_dies_frees_his_place() -> None:
    """A silent owner's leases free their places; tokens stay spent; settling does nothing."""
    one = Account(Limit("concurrency", 1), FIXED)
    one.now = 64 * 20_000.0
    one.take("a", 1, 400, owner="dead")
    poll(one, 1.5, "b", 1, 100)
    one.renew("dead", "a")
    assert poll(one, TTL_S - 0.1, "b", 1, 100) == "waiting"
    assert poll(one, 0.2, "b", 1, 100) == "admitted"
    one.settle("a", 0)
    assert one.free == [0, 100]


def test_silence_counts_while_others_are_heard() -> None:
    """Nobody is taken for dead since the store was away, a machine slept or a clock was set."""
    one = Account(Limit("concurrency", 1))
    one.take("a", 1, owner="alive")
    for passed in (30.0, 1e5, -1e5, 3.0):
        one.now += passed
        assert one.reserve("b", 1, owner="other").status == "waiting"
    one.renew("alive", "a")
    assert one.snapshot().running == 1
    assert poll(one, 3, "b", 1) == "admitted"


def test_what_an_owner_does_not_name_is_dropped() -> None:
    """Whatever went wrong when it should have been given back; others' is left alone."""
    one = Account(Limit("concurrency", 3), Limit("tokens", 600, 1e6))
    for ticket, owner in (("a", "me"), ("b", "me"), ("c", "you")):
        one.take(ticket, 1, 100, owner=owner)
    for ticket, owner in (("d", "me"), ("e", "you"), ("f", "me")):
        one.reserve(ticket, 1, 0, owner=owner)
    one.renew("me", "a", "f")
    assert set(one.state["leases"]) == {"a", "c"}
    assert [ticket["id"] for ticket in one.state["queue"]] == ["e", "f"]
    assert one.free[1] == 300


def test_an_owner_that_comes_back() -> None:
    """Who was silent for long and asks before anybody has noticed has lost nothing."""
    one = Account(Limit("concurrency", 1), CONTINUOUS)
    one.take("a", 1, 100, owner="me")
    one.reserve("b", 1, 100, owner="me")
    for _ in range(4):
        one.now += 0.5
        one.close_for(0)
    one.now += 10
    assert one.reserve("b", 1, 100, owner="me").status == "waiting"
    assert one.snapshot().running == 1


def poll(one: Account, seconds: float, ticket: str, *amounts: float) -> str:
    """Ask ten times a second, and say how it went."""
    status = "waiting"
    for _ in range(round(seconds * 10)):
        one.now += 0.1
        status = one.reserve(ticket, *amounts, owner="poller").status
    return status


def test_who_dies_at_once_has_spent_it_all() -> None:
    """Tokens of a reservation that runs out before it is known to have arrived stay spent, too."""
    one = Account(CONTINUOUS)
    one.take("a", 600, owner="me")
    one.now += ARRIVAL_S / 2
    one.renew("me")
    assert one.free == [0]
    assert one.snapshot().running == 0


def test_a_dead_ticket_holds_nobody_up() -> None:
    """A head that never asks again is out of the queue after its time; one that asks is not."""
    one = Account(CONTINUOUS)
    one.take("a", 600)
    one.arrived("a")
    one.reserve("dead", 600, owner="dead")
    assert one.reserve("b", 600, owner="poller").wait_s == TTL_S
    assert poll(one, TTL_S - 0.1, "b", 600) == "waiting"
    assert one.snapshot().waiting == 2
    poll(one, 0.2, "b", 600)
    assert one.snapshot().waiting == 1
    one.leave("b")
    one.take("c", 10)


def test_who_leaves_leaves_no_hole() -> None:
    """A ticket that is given up takes nothing, and the next one is admitted."""
    one = Account(FIXED)
    one.take("a", 500)
    one.reserve("b", 400)
    assert one.reserve("c", 100).status == "waiting"
    one.leave("b")
    one.take("c", 100)
    one.leave("nobody")


def test_granted_and_given_up() -> None:
    """Asking twice takes once; leaving after all gives everything back."""
    one = Account(RUNNING, FIXED)
    one.take("a", 1, 500)
    one.take("a", 1, 500)
    assert one.free == [2, 100]
    one.leave("a")
    assert one.free == [3, 600]


def test_asking_again_is_worth_it() -> None:
    """Nobody is told to come back at once."""
    one = Account(CONTINUOUS)
    one.take("a", 600)
    one.arrived("a")
    assert one.reserve("b", 0.001).wait_s == MIN_WAIT_S
    assert one.reserve("c", 0.001).wait_s == MIN_WAIT_S


def test_closed() -> None:
    """Nothing is admitted before the time that the provider named; the longest one counts."""
    one = Account(CONTINUOUS)
    one.close_for(40)
    one.close_for(10)
    assert one.reserve("a", 1) == Admission("waiting", 40.0, None, 40.0)
    assert one.reserve("b", 1, max_wait_s=39).status == "late"
    assert one.snapshot().closed_s == 40
    one.now += 40
    one.take("a", 1)


@given(st.floats(1.5, 1e9))
def test_a_clock_that_was_set_back(seconds: float) -> None:
    """Waits go on as if nothing had happened, and nothing is refilled by it."""
    one = Account(CONTINUOUS)
    one.take("a", 600)
    one.arrived("a")
    one.now -= seconds
    assert one.free == [0]
    wait_s = one.reserve("b", 300).wait_s
    assert wait_s == pytest.approx(32)
    one.now += wait_s + 1e-6
    one.take("b", 300)


def test_a_clock_that_trembles() -> None:
    """Time that went back a little is not counted twice."""
    one = Account(CONTINUOUS)
    one.take("a", 600)
    one.arrived("a")
    for _ in range(100):
        one.now += 0.5
        one.snapshot()
        one.now -= 0.5
        one.snapshot()
    assert one.free == [pytest.approx(0.5 * CONTINUOUS.rate)]


def test_a_clock_that_was_ahead_by_years() -> None:
    """A daily quota that was used under a wrong clock is not gone for years."""
    one = Account(Limit("tokens", 600, 86_400, "fixed"))
    one.now += 1e8
    one.take("a", 600)
    one.now -= 1e8
    assert one.reserve("b", 1).wait_s <= 86_400


def test_summer_time() -> None:
    """A day of 25 hours is one period, and the next one begins at midnight."""
    day = Limit("tokens", 600, 86_400, "fixed")
    midnight = 86_400.0 * 20 + 25_200
    one = Account(day, offset_s=25_200)
    one.now = midnight - 3_600
    one.take("a", 600)
    one.meters = meters([day], [25_200 + 3_600])
    one.now = midnight
    one.take("b", 600)
    one.now = midnight + 3_600
    assert one.free == [0]
    one.now = midnight + 90_000
    assert one.free == [600]


def test_an_amount_that_changes() -> None:
    """What was spent under the old amount stays spent under the new one."""
    one = Account(CONTINUOUS)
    one.take("a", 500)
    one.meters = meters([Limit("tokens", 1_000, 64)])
    assert one.free == [500]


def test_limits_that_others_do_not_know() -> None:
    """Processes with other limits share those that they have in common, and lose nothing."""
    one = Account(CONTINUOUS, ROLLING)
    both, only = one.meters, one.meters[:1]
    one.take("a", 100)
    one.meters = only
    one.take("b", 100)
    assert one.free == [400]
    one.settle("b", 0)
    one.meters = both
    assert one.free == [500, 500]
    one.settle("a", 0)
    assert one.free == [600, 600]


def test_snapshot() -> None:
    """Capacity, what is free, what is reserved, and how long until it is full."""
    one = Account(CONTINUOUS, RUNNING)
    one.take("a", 300, 1)
    one.reserve("b", 400, 1, owner="me")
    one.now += 0.25
    shot = one.snapshot()
    assert shot.levels[0][:3] == (600, 300, 300)
    assert shot.levels[0].full_s == pytest.approx(32)
    assert list(shot.levels[1]) == [3, 2, 1, math.inf]
    assert (shot.running, shot.waiting, shot.closed_s) == (1, 1, 0)
    assert shot.queue == [Place("me", 0.25, (400, 1))]


def test_the_expected_wait() -> None:
    """Who enters the queue is told how long it takes if time alone gives something back."""
    one = Account(CONTINUOUS)
    one.take("a", 600)
    one.arrived("a")
    assert one.reserve("b", 300).expected_s == pytest.approx(32)
    assert one.reserve("b", 300).expected_s == 0
    assert one.reserve("c", 600).expected_s == pytest.approx(96)


@given(st.lists(st.sampled_from([math.nan, -5.0, 10**400, math.inf, 7.0]), min_size=1, max_size=6))
def test_broken_numbers(amounts: list[float]) -> None:
    """Nonsense as an amount neither crashes nor gets into the state."""
    one = Account(CONTINUOUS)
    for place, amount in enumerate(amounts):
        one.take(f"t{place}", 1)
        one.learn(f"t{place}", Seen(0, amount, amount, amount))
        one.settle(f"t{place}", min(amount, 1e6) if amount == amount else amount)
        one.now += 1e9
    assert math.isfinite(one.free[0])


def test_names() -> None:
    """Limits of an account are told apart, whatever they have in common."""
    made = meters([CONTINUOUS, FIXED, CONTINUOUS, RUNNING, Limit("tokens", 1, 3_600)])
    assert len({meter.name for meter in made}) == 5
    modes = ["continuous", "fixed", "continuous", "concurrency", "continuous"]
    assert [meter.mode for meter in made] == modes
