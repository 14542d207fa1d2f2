"""What an answer's headers say corrects the account, and never makes it forget what it knows."""

import pytest

from batchwrap.core.limits.state import Seen
from batchwrap.options import Limit
from tests.core.limits.accounts import CONTINUOUS, FIXED, MODES, ROLLING, Account


def lone(remaining: float, *, capacity: float | None = 600, reserved: float = 100) -> Account:
    """An account of which 200 are owed, after one request whose answer said so much is left."""
    one = Account(FIXED)
    one.now = 64 * 20_000.0
    one.take("before", 400)
    one.settle("before", 400)
    one.take("a", reserved)
    one.learn("a", Seen(0, remaining, capacity))
    return one


def test_strangers_are_learned_of() -> None:
    """Where less is left than we believed, somebody else has used it."""
    assert lone(70).free == [70]
    assert lone(100).free == [100]
    assert lone(-1).free == [100]


def test_tokens_that_came_back_are_learned_of() -> None:
    """Where much more is left, it is ours, less what could be this request itself."""
    assert lone(550).free == [450]
    assert lone(190).free == [100]


def test_a_share_stays_a_share() -> None:
    """A limit below the provider's own is not raised by what the provider has left."""
    assert lone(550, capacity=5_000).free == [100]
    assert lone(550, capacity=None).free == [100]


@pytest.mark.parametrize("limit", MODES, ids=str)
def test_two_answers_tell_of_the_same_strangers(limit: Limit) -> None:
    """Requests under way together do not count the same difference twice."""
    one = Account(limit)
    one.take("a", 100)
    one.take("b", 100)
    one.learn("a", Seen(0, 300, 600))
    one.learn("b", Seen(0, 300, 600))
    assert one.free == [300]


def test_strangers_are_not_taken_for_others_later() -> None:
    """A difference that one answer told of is none in the next, whatever has come back since."""
    one = Account(FIXED)
    one.take("before", 300)
    one.take("a", 50)
    one.take("b", 50)
    one.learn("a", Seen(0, 150, 600))
    assert one.free == [150]
    one.settle("before", 0)
    one.learn("b", Seen(0, 150, 600))
    assert one.free == [450]


def test_a_number_that_was_taken_at_the_end() -> None:
    """Requests that we have sent since may be in it, and do not count twice."""
    one = Account(FIXED)
    one.take("a", 100)
    one.take("b", 300)
    for remaining in (300, 250, 200):
        one.learn("a", Seen(0, remaining, 600))
        assert one.free == [200]
    one.learn("a", Seen(0, 150, 600))
    assert one.free == [150]


def test_an_old_header() -> None:
    """What was refilled and given back since the request is not taken away by its header."""
    one = Account(CONTINUOUS)
    one.take("before", 500)
    one.arrived("before")
    one.take("a", 100)
    one.arrived("a")
    one.now += 32
    one.settle("before", 300)
    assert one.free == [500]
    one.learn("a", Seen(0, 50, 600))
    assert one.free == [500]


def test_more_is_left_only_for_one_alone() -> None:
    """Nothing is raised while another request is under way, whose tokens would count twice."""
    one = Account(CONTINUOUS)
    one.take("a", 300)
    one.take("b", 100)
    one.learn("b", Seen(0, 600, 600))
    one.learn("a", Seen(0, 600, 600))
    assert one.free == [200]


def test_more_is_left_only_for_one_that_was_alone() -> None:
    """Nor is it if another was under way when the request was admitted."""
    one = Account(FIXED)
    one.take("other", 300)
    one.take("a", 100)
    one.settle("other", 0)
    one.take("later", 400)
    one.settle("later", 400)
    one.learn("a", Seen(0, 500, 600))
    assert one.free == [100]


def test_the_header_of_an_earlier_period() -> None:
    """A period that is over says nothing of the present one; nor does a settled request."""
    one = Account(FIXED)
    one.take("a", 100)
    one.now += 64
    one.learn("a", Seen(0, 0, 600))
    one.learn("nobody", Seen(0, 0, 600))
    assert one.free == [600]


def test_the_phase_is_learned() -> None:
    """A fixed period ends when the provider says so, and so do all later ones."""
    one = Account(FIXED)
    one.now = 64 * 20_000.0 + 10
    one.take("a", 600)
    one.learn("a", Seen(0, ends_s=20))
    assert one.reserve("b", 600).wait_s == 20
    one.now += 20
    one.take("b", 600)
    assert one.reserve("c", 600).wait_s == 64
    one.learn("b", Seen(0, ends_s=63.5))
    one.learn("b", Seen(0, ends_s=1e9))
    assert one.reserve("c", 600).wait_s == 64
    one.now += 200
    one.take("c", 600)
    assert one.reserve("d", 600).wait_s == 56


def test_only_fixed_periods_have_an_end() -> None:
    """Other limits take no notice of one."""
    one = Account(CONTINUOUS, ROLLING)
    one.take("a", 600)
    one.arrived("a")
    one.learn("a", Seen(0, ends_s=1), Seen(1, ends_s=1))
    one.now += 1
    assert one.reserve("b", 600).wait_s > 60
