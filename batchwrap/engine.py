"""What one wrapped client or function has of its own: options, budget, memory, counters."""

from __future__ import annotations

import logging
import random
import secrets
import string
import time

from batchwrap.core import chat
from batchwrap.core.exchange import Exchange
from batchwrap.core.memory import Memory
from batchwrap.core.provider import UNKNOWN
from batchwrap.core.tally import Tally
from batchwrap.core.views.outgoing import Context
from batchwrap.options import Event, Options
from batchwrap.stats import PROCESS, Counters
from batchwrap.throttle import retry
from batchwrap.throttle.estimate import Estimator
from batchwrap.throttle.limiter import Limiter
from batchwrap.throttle.presets import Plan, preset

_log = logging.getLogger("batchwrap")
_ALPHANUMERIC = string.ascii_letters + string.digits


class Engine:
    """Makes the exchanges of one wrapped target and counts what they did.

    Args:
        options: the user's options.
        retries: whether refusals are retried here; a client with ``max_retries=0`` wants
            the 429 at once.
    """

    def __init__(self, options: Options, *, retries: bool = True) -> None:
        self.options = options
        self.counters = Counters(above=PROCESS)
        throttle = options.throttle
        limits, self._provider = throttle.limits if throttle is not None else (), UNKNOWN
        if isinstance(limits, str):
            plan = preset(limits) if limits != "auto" else Plan()
            limits, self._provider = plan.limits, plan.provider
        self.limiter = Limiter(limits, max_wait_s=throttle.max_wait_s if throttle else 0.0)
        self._retries = retries and throttle is not None
        self._memory = Memory()
        self._estimate = Estimator()
        # Not secret, only unlikely to meet: a generator of its own keeps a user's
        # `random.seed` from making two processes derive the same ids.
        self._random = random.Random(secrets.randbits(128))

    def exchange(self, body: chat.Body, *, may_answer: bool = True) -> Exchange:
        """The exchange for one request, ready to be driven."""
        context = Context(
            options=self.options,
            random_text=self._random_text,
            memory=self._memory,
            tally=Tally(),
            provider=self._provider,
            now_s=time.monotonic(),
        )
        counts = any(limit.kind == "tokens" for limit in self.limiter.limits)
        throttle = self.options.throttle
        return Exchange(
            body,
            context=context,
            count_tokens=self._estimate if counts else None,
            backoff=retry.backoff(throttle) if self._retries and throttle else retry.never,
            may_answer=may_answer,
        )

    def ended(self, exchange: Exchange) -> None:
        """Take over what an exchange counted, and pass its events on."""
        self.counters.add(exchange.tally.counts)
        for event in exchange.tally.events if self.options.on_event is not None else ():
            self._tell(event)

    def _tell(self, event: Event) -> None:
        """Pass an event on. A mistake in the user's own function must not cost the answer."""
        assert self.options.on_event is not None
        try:
            self.options.on_event(event)
        except Exception:
            _log.exception("on_event failed for the event %r", event.name)

    def passed_through(self) -> None:
        """Count a request that is none of our business."""
        self.counters.add({"passed_through": 1})

    def _random_text(self, length: int) -> str:
        return "".join(self._random.choices(_ALPHANUMERIC, k=length))
