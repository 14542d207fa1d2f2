"""How long to wait after a refusal: tenacity's parts decide, `Retry-After` is the floor."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import tenacity

from batchwrap.core.limits.refusal import Refusal
from batchwrap.options import Throttle

# Jitter goes upward only: no request comes before the time that the provider named, and waiting
# requests do not all come back in the same instant.
_JITTER = 0.1
# The shortest wait of a request that was refused again although it had waited as long as asked.
_AGAIN_S, _MAX_AGAIN_S = 0.25, 4.0


class RefusedAttempt(Exception):
    """The outcome that tenacity's parts see.

    Attributes:
        refusal: status and `Retry-After` of the refused attempt.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"status {refusal.status}")
        self.refusal = refusal


@cache  # it has no state of its own; each request has a call state
def default_retrying() -> tenacity.BaseRetrying:
    """Six attempts; between them what the provider asked for, else 1, 2, 4, … s, 30 at most.

    The first time a short wait is kept as it is. A request that is refused again all the same
    waits for a quarter of a second at least, then for half a second, and so on.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(RefusedAttempt),
        stop=tenacity.stop_after_attempt(6),
        wait=_AskedOrExponential(),
    )


class _AskedOrExponential(tenacity.wait.wait_base):
    """What the provider asked for; without a word from it 1, 2, 4, … s plus jitter."""

    _unasked = tenacity.wait_exponential_jitter(initial=1, max=30, jitter=1)

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked_s = _floor_s(error.refusal) if isinstance(error, RefusedAttempt) else None
        if asked_s is None:
            return self._unasked(retry_state)
        again = retry_state.attempt_number - 2
        return max(asked_s, min(_AGAIN_S * 2.0**again, _MAX_AGAIN_S) if again >= 0 else 0.0)


def backoff(throttle: Throttle) -> Callable[[Refusal], float | None]:
    """A policy for one request: seconds to wait after each refusal, None to give up."""
    retrying = throttle.retry or default_retrying()
    state = tenacity.RetryCallState(retry_object=retrying, fn=None, args=(), kwargs={})

    def wait_after(refusal: Refusal) -> float | None:
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
    """What the provider asked for. The length of a limit's period is no such thing."""
    return None if refusal.retry_after_is_window else refusal.retry_after_s


def never(_: Refusal) -> float | None:
    """A policy that gives up at once."""
    return None
