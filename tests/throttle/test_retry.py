"""How long to wait after a refusal."""

import pytest
import tenacity

from batchwrap.core.limits.refusal import Refusal
from batchwrap.options import Throttle
from batchwrap.throttle.retry import RefusedAttempt, backoff, never


def waits(throttle: Throttle, *asked_s: float | None) -> list[float | None]:
    """The waits after refusals that asked for so many seconds."""
    policy = backoff(throttle)
    return [policy(Refusal(429, seconds)) for seconds in asked_s]


def test_what_the_provider_asked_for() -> None:
    """`Retry-After` is waited for, with jitter upward only."""
    [wait] = waits(Throttle(), 10.0)
    assert wait is not None and 10.0 <= wait <= 11.0


def test_waiters_do_not_come_back_together() -> None:
    """Twenty waiters that were told the same time come back at different times."""
    assert len({waits(Throttle(), 60.0)[0] for _ in range(20)}) > 15


def test_without_a_word_from_the_provider() -> None:
    """The waits grow, and after six attempts we give up."""
    made = waits(Throttle(), *[None] * 6)
    assert made[-1] is None
    first, *_, last = [wait for wait in made if wait is not None]
    assert first < 4 and last > 12 and len([wait for wait in made if wait]) == 5


def test_a_wait_above_the_maximum() -> None:
    """Nobody sleeps for a day: above `max_wait_s` we give up at once."""
    assert waits(Throttle(max_wait_s=30), 86_399.0) == [None]


def test_tenacitys_own_parts() -> None:
    """The user's `stop`, `wait` and `retry` decide; `Retry-After` stays the floor."""
    retry = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(3),
        wait=tenacity.wait_fixed(2),
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, RefusedAttempt) and error.refusal.status == 429
        ),
    )
    first, second, third = waits(Throttle(retry=retry), None, 5.0, None)
    assert first is not None and 2 <= first <= 2.2
    assert second is not None and 5 <= second <= 5.5
    assert third is None


def test_each_request_counts_for_itself() -> None:
    """One retrying object serves many requests at a time."""
    throttle = Throttle(retry=tenacity.Retrying(stop=tenacity.stop_after_attempt(2)))
    assert [waits(throttle, None, None)[1] for _ in range(3)] == [None] * 3


@pytest.mark.parametrize("asked_s", [None, 1.0])
def test_never(asked_s: float | None) -> None:
    """A client without retries gets the refusal at once."""
    assert never(Refusal(429, asked_s)) is None


def test_tries_of_layers_beneath() -> None:
    """What an SDK beneath has sent by itself uses up attempts: two rounds of three are six."""
    policy = backoff(Throttle())
    refused = Refusal(429, 0.01, tries=3)
    assert (policy(refused) is None, policy(refused) is None) == (False, True)
