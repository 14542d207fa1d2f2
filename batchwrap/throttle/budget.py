"""Finds the limits and accounts for the requests of a wrapped client."""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import blake2b
from itertools import takewhile
from math import inf

from batchwrap._forks import ForkSafeLock
from batchwrap._priority import current_priority
from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats import chat
from batchwrap.core.provider import Provider
from batchwrap.core.recent import Recent
from batchwrap.options import Limit, Throttle
from batchwrap.providers import Plan, plan, provider_of
from batchwrap.stats import Waiting
from batchwrap.throttle.accounts import Origin, accounts_of
from batchwrap.throttle.admission import AdmissionRequest
from batchwrap.throttle.feedback import Feedback
from batchwrap.throttle.limiter import Limiter
from batchwrap.throttle.pool import Pool
from batchwrap.throttle.signal import UNCLOSED, Waits
from batchwrap.throttle.standing import Standing
from batchwrap.throttle.stores import open_store

_MAX_SCOPES = 4_096
# Stores keep the names of models with each account; longer names are cut.
_LONGEST_NAME = 200


class Budget:
    """The limits of one wrapped client or function.

    Args:
        throttle: the user's options; None limits nothing.
    """

    def __init__(self, throttle: Throttle | None) -> None:
        given = throttle.limits if throttle is not None else ()
        self._keys = throttle.keys if throttle is not None else None
        self._plan: Plan | None = None
        self._own: tuple[Limit, ...] | None = None
        if not isinstance(given, str):
            self._own = tuple(given)
        elif given != "auto":
            self._plan = plan(given)
        # Waits are measured by a monotonic clock, so that they do not change when the time of day
        # is set. A clock of the user's own serves for both.
        clock = throttle.clock if throttle is not None else None
        self._now = time.monotonic if clock is None else clock.now
        self._unix_clock = time.time if clock is None else clock.now
        store = open_store(
            throttle.store if throttle is not None else "memory",
            clock=None if clock is None else clock.now,
        )
        self.limiter = Limiter(
            store,
            max_wait_s=throttle.max_wait_s if throttle is not None else 0.0,
            falls_back=throttle is None or throttle.store_down == "local",
            clock=self._now,
            skip=None if clock is None else clock.sleep,
        )
        self._pool = Pool(self._now)
        self._lock = ForkSafeLock()
        self._feedback: Recent[str, Feedback] = Recent(_MAX_SCOPES, lock=self._lock)

    def request(
        self, body: chat.Body, origin: Origin, *, pooled: bool = True, waits: Waits = UNCLOSED
    ) -> AdmissionRequest:
        """Make what reserves for a request and settles it.

        Args:
            body: the request.
            origin: its host, and the agent's key.
            pooled: whether it may be sent with another key.
            waits: the waits of its client.
        """
        model = _name_of(body.get("model"))
        named = origin.model or model
        provider = self._plan.provider if self._plan else provider_of(origin.host or None, named)
        # Endpoints that keep something in the account, such as a file, are not pooled.
        accounts = accounts_of(self._keys if pooled else None, origin)
        scope_name = self._scope_name(provider, origin, model)
        return AdmissionRequest(
            provider,
            model,
            scope_name,
            accounts,
            limiter=self.limiter,
            pool=self._pool,
            feedback=self._feedback_of(scope_name),
            limits=self._limits(model),
            unix_clock=self._unix_clock,
            conversation=_conversation(body) if len(accounts) > 1 else None,
            priority=current_priority(),
            waits=waits,
        )

    @property
    def is_idle(self) -> bool:
        """Whether nothing is reserved and no request waits."""
        known = self.limiter.snapshots().values()
        return not any(now.running or now.waiting for _, now in known)

    def waiting(self) -> Iterator[Waiting]:
        """The requests that wait now."""
        now_s = self._now()
        for one in self.limiter.waiting():
            expected_s = one.expected_s if one.expected_s is not None else inf
            yield Waiting(
                limits=one.scope.name,
                limit="" if one.limit is None else str(one.limit),
                waited_s=now_s - one.began_s,
                expected_s=expected_s if expected_s < inf else None,
            )

    def standings(self, most: int) -> list[Standing]:
        """How full the buckets are that were used last. A shared store is asked, and may block.

        Args:
            most: how many accounts are read.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        return [
            Standing(key.removesuffix(f":{scope.name}"), scope, now)
            for key, (scope, now) in self.limiter.snapshots(most).items()
        ]

    def _limits(self, model: str) -> tuple[Limit, ...] | None:
        """The limits that the user names; None if only the provider's headers name them."""
        if self._plan is not None:
            return self._plan.limits if self._plan.covers(model) else ()
        return self._own

    def _scope_name(self, provider: Provider, origin: Origin, model: str) -> str:
        if self._own is not None:
            return "own"
        if self._plan is not None:
            return f"{self._plan.name}:{model}" if self._plan.scope == "model" else self._plan.name
        return f"{provider.name or origin.host}:{model}"

    def _feedback_of(self, scope_name: str) -> Feedback:
        found = self._feedback.get(scope_name)
        if found is not None:
            return found
        with self._lock:  # two first requests of one scope must learn together
            found = self._feedback.get(scope_name)
            if found is None:
                found = Feedback(self._lock)
                self._feedback.put(scope_name, found)
            return found


def _name_of(model: object) -> str:
    """The model's name in a form that every store can keep, whatever the request holds."""
    name = str(model or "").encode(errors="backslashreplace").decode()
    if len(name) <= _LONGEST_NAME:
        return name
    digest = blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{name[:_LONGEST_NAME]}…{digest}"


def _is_no_answer(message: object) -> bool:
    return not isinstance(message, dict) or message.get("role") != "assistant"


def _conversation(body: chat.Body) -> bytes | None:
    """A digest of how a conversation begins, which identifies it; None if there is none."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return None
    start = list(takewhile(_is_no_answer, messages))
    written = fingerprint([body.get("model"), start])
    return blake2b(written, digest_size=16).digest()
