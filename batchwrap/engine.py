"""What one wrapped client or function has of its own: options, budget, memory, counters."""

from __future__ import annotations

import logging
import random
import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass

from batchwrap.core import chat
from batchwrap.core.context import Context
from batchwrap.core.exchange import Exchange
from batchwrap.core.memory import Memory
from batchwrap.core.tally import Tally
from batchwrap.directives import Mode
from batchwrap.models import model_facts
from batchwrap.modes import current_mode
from batchwrap.options import Event, Options
from batchwrap.stats import PROCESS, Counters
from batchwrap.throttle import retry
from batchwrap.throttle.accounts import Origin
from batchwrap.throttle.budget import Budget
from batchwrap.throttle.estimate import Estimator
from batchwrap.throttle.gate import Gate

_log = logging.getLogger("batchwrap")
_ALPHANUMERIC = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its machine, its limits, and whom to tell of its end."""

    exchange: Exchange
    gate: Gate
    ended: Callable[[Exchange], None]


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
        self.budget = Budget(options.throttle)
        self._retries = retries and options.throttle is not None
        self._memory = Memory()
        self._estimator = Estimator()
        # Not secret, only unlikely to meet: a generator of its own keeps a user's
        # `random.seed` from making two processes derive the same ids.
        self._random = random.Random(secrets.randbits(128))

    def call(
        self,
        body: chat.Body,
        origin: Origin,
        *,
        may_answer: bool = True,
        mode: Mode | None = None,
    ) -> Call:
        """One request, ready to be driven; `mode` is what the request says."""
        request = self.budget.request(body, origin)
        throttle = self.options.throttle
        context = Context(
            options=self.options,
            random_text=self._random_text,
            memory=self._memory,
            tally=Tally(),
            provider=request.provider,
            now_s=time.monotonic(),
            model=model_facts(str(body.get("model"))),
            mode=mode or current_mode(),
            clock=time.monotonic,
        )
        exchange = Exchange(
            body,
            context=context,
            counter=self._estimator,
            limits_tokens=self.budget.counts_tokens(request),
            backoff=retry.backoff(throttle) if self._retries and throttle else retry.never,
            retries=self._retries,
            may_answer=may_answer,
        )
        return Call(exchange, Gate(self.budget, request), self.ended)

    def ended(self, exchange: Exchange) -> None:
        """Take over what an exchange counted, and pass its events on."""
        self.counters.add(exchange.tally.counts)
        if exchange.estimated and exchange.usage is not None:
            self._estimator.calibrate(
                exchange.model, exchange.estimated, exchange.usage.prompt_tokens
            )
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
