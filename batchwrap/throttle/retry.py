"""The wait after a refusal: tenacity decides, and `Retry-After` is the minimum."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import tenacity

from batchwrap.core.limits.refusal import Refusal
from batchwrap.options import Throttle

# Jitter is only added, so no request is sent before the time that the provider named, and waiting
# requests are not all sent at the same instant.
_JITTER = 0.1
# The shortest wait of a request that was refused again although it had waited as asked.
_AGAIN_S, _MAX_AGAIN_S = 0.25, 4.0


class RefusedAttempt(Exception):
    """The exception that tenacity gets for a refused attempt.

    Attributes:
        refusal: the refusal, with `Retry-After`.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"status {refusal.status}")
        self.refusal = refusal


@cache  # shared, since its state is in each request's call state
def default_retrying() -> tenacity.BaseRetrying:
    """Six attempts; waits as the provider asks, otherwise 1, 2, 4, … s, at most 30.

    The first wait may be short. A request that is refused again after it waits at least a quarter
    of a second, then half a second, and so on.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(RefusedAttempt),
        stop=tenacity.stop_after_attempt(6),
        wait=_AskedOrExponential(),
    )


class _AskedOrExponential(tenacity.wait.wait_base):
    """The wait that the provider asked for, otherwise 1, 2, 4, … s; plus jitter."""

    _unasked = tenacity.wait_exponential_jitter(initial=1, max=30, jitter=1)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked_s = _floor_s(error.refusal) if isinstance(error, RefusedAttempt) else None
        if asked_s is None:
            return self._unasked(retry_state)
        again = retry_state.attempt_number - 2
        return max(asked_s, min(_AGAIN_S * 2.0**again, _MAX_AGAIN_S) if again >= 0 else 0.0)


def backoff(throttle: Throttle) -> Callable[[Refusal], float | None]:
    """A retry policy for one request: seconds to wait after a refusal, None to give up."""
    known: tenacity.RetryCallState | None = None  # made at the first refusal: most have none

    def wait_after(refusal: Refusal) -> float | None:
        nonlocal known
        retrying = throttle.retry or default_retrying()
        state = known = known or tenacity.RetryCallState(
            retry_object=retrying, fn=None, args=(), kwargs={}
        )
        error = RefusedAttempt(refusal)
        state.set_exception((RefusedAttempt, error, None))
        state.attempt_number += refusal.tries - 1
        if not retrying.retry(state) or retrying.stop(state):
            return None
        wait_s = max(_floor_s(refusal) or 0.0, float(retrying.wait(state)))
        wait_s += random.uniform(0, _JITTER * wait_s)
        if wait_s > throttle.max_wait_s:
            return None
        state.idle_for += wait_s
        state.prepare_for_next_attempt()
        return wait_s

    return wait_after


def _floor_s(refusal: Refusal) -> float | None:
    """The wait that the provider asked for; a limit's period does not count as one."""
    return None if refusal.retry_after_is_window else refusal.retry_after_s


def never(_: Refusal) -> float | None:
    """A retry policy that never retries."""
    return None
