"""The engine of one wrapped client or function: its options, budget, memory and counters.

An adapter asks the engine for a `Call` for each request, and gives its exchange to a driver.
"""

from __future__ import annotations

import logging
import random
import secrets
import string
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from batchwrap._forks import LOADING, ForkSafeLock
from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.guard import Guard
from batchwrap.core.exchange.machine import Exchange, translation_of
from batchwrap.core.exchange.memory import Memory
from batchwrap.core.exchange.recall import Recall
from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.formats import chat
from batchwrap.core.formats.bodies import Bodies
from batchwrap.core.formats.endpoints import CHAT, Endpoint
from batchwrap.core.model import Effect
from batchwrap.core.parse import parsed_object, rendered
from batchwrap.core.provider import Provider
from batchwrap.core.reminders.placement import orders_of
from batchwrap.core.tools.offer import is_offered
from batchwrap.directives import Mode
from batchwrap.drive.interpreter import Interpreter, require
from batchwrap.models import model_facts
from batchwrap.modes import current_mode
from batchwrap.observe import RequestObserver
from batchwrap.observe.log import report
from batchwrap.options import Event, EventName, Options
from batchwrap.providers import rules_named
from batchwrap.stats import PROCESS, Counters
from batchwrap.throttle import retry
from batchwrap.throttle.accounts import Origin, name_of
from batchwrap.throttle.admission import AdmissionRequest
from batchwrap.throttle.budget import Budget
from batchwrap.throttle.estimate import Estimator
from batchwrap.throttle.periods import zone_offset_s
from batchwrap.throttle.signal import UNCLOSED, Waits

if TYPE_CHECKING:
    from batchwrap.memory_stores.shared import AccountMemory, SharedMemory

_log = logging.getLogger("batchwrap")
# Letters of a name that no other exchange or process has.
_NAME_LENGTH = 22
_ALPHANUMERIC = string.ascii_letters + string.digits


_SWITCHED_OFF = (
    "batching and reminders are inactive for requests to the model %s, and to others that "
    "stats().switched_off counts: the endpoint refuses requests with batchwrap's additions and "
    "accepts them without. Wrap with batching=None and reminders=None for such a model, or with "
    "another `Batching.offer`."
)

_IMPOSSIBLE_USAGE = (
    "the provider of the model %s reports a usage of more tokens than any request has. Limits and "
    "stats() count such a request by the estimate instead; stats().defects counts them."
)

_APPENDED = (
    "reminders for the model %s are appended to other messages where it does not support %s "
    'messages of their own: %s. Reminders(placement="append") always appends them.'
)
_EFFECTS: Mapping[Effect, str] = {
    "refused": "such requests are refused",
    "dropped": "its chat template leaves such messages out",
    "prefix": "its chat template rewrites what stands before them, which costs the prompt cache",
    "reasoning": "its chat template drops the reasoning before them",
}

_LEFT = (
    "batching and reminders are inactive for requests to %s %s. Those are throttled, and otherwise "
    "not changed. Wrap with batching=None and reminders=None if this is what you want."
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        exchange: its state machine.
        admission: reserves the cost of each of its attempts.
        is_known: whether it goes to a provider that batchwrap knows.
        ended: called when the exchange has ended.
        interpreter: runs its scripts.
        memory: what other processes remember of its account; None if nothing is shared.
    """

    exchange: Exchange
    admission: AdmissionRequest
    is_known: bool
    ended: Callable[[Exchange], None]
    interpreter: Interpreter
    memory: AccountMemory | None = None


class Engine:
    """Makes the exchanges of one wrapped target, and adds up their counts.

    Args:
        options: the user's options.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.budget = Budget(options.throttle)
        named = options.repair.provider if options.repair is not None else None
        self._rules = None if named is None else rules_named(named)
        self.counters = Counters(above=PROCESS, waiting=self.budget.waiting)
        self.interpreter = Interpreter()
        self._has_scripts = options.batching is not None and options.batching.scripts is not None
        if self._has_scripts:
            require()
        self._unscripted = _without_scripts(options)  # for a process that cannot run any
        self.is_off = False  # everything passes through
        self._pools = bool(options.throttle and options.throttle.keys)
        self._memory = Memory(ForkSafeLock())
        self._shared = _shared_memory(options)
        self._bodies = Bodies()
        self._warned: set[str] = set()
        self._estimator = Estimator()
        # Ids need not be secret, only unlikely to collide. With its own generator, a user's
        # `random.seed` cannot make two processes derive the same ids.
        self._random = random.Random(secrets.randbits(128))
        self._name = self._random_text(_NAME_LENGTH)

    def read(self, content: bytes, endpoint: Endpoint) -> chat.Body | None:
        """Parse the body of a request to an endpoint; None if it is not a JSON object."""
        form = endpoint.format
        body = (
            parsed_object(content) if form is None else self._bodies.read(content, form.items_key)
        )
        return None if body is None else endpoint.with_model(body)

    def written(self, body: chat.Body, endpoint: Endpoint) -> bytes:
        """The JSON of what is sent in place of a request to an endpoint."""
        form = endpoint.format
        return rendered(body) if form is None else self._bodies.write(body, form.items_key)

    def call(
        self,
        body: chat.Body,
        origin: Origin,
        *,
        endpoint: Endpoint = CHAT,
        may_answer: bool = True,
        retries: bool = True,
        mode: Mode | None = None,
        waits: Waits = UNCLOSED,
    ) -> Call:
        """Make the exchange of one request, ready for a driver.

        Args:
            body: the request.
            origin: the host and the account that it goes to.
            endpoint: its endpoint.
            may_answer: whether the adapter can hand out local answers.
            retries: whether refusals are retried here. A client with ``max_retries=0`` wants the
                429 at once.
            mode: the mode that the request itself names.
            waits: the waiting requests of the client that sends it.
        """
        endpoint = self._of_request(endpoint, body)
        admission = self.budget.request(body, origin, pooled=endpoint.pooled, waits=waits)
        throttle = self.options.throttle if retries else None
        observer = RequestObserver(body, admission.provider, origin, self.options.on_event)
        context = self._context(body, origin, admission.provider, mode)
        if self._shared is not None:
            context = self._recalling(context, endpoint)
        exchange = Exchange(
            body,
            context=context,
            endpoint=endpoint,
            counter=self._estimator,
            limits_tokens=admission.counts_tokens,
            backoff=retry.backoff(throttle) if throttle else retry.never,
            takes_over=admission.takes_over,
            retries=throttle is not None,
            may_answer=may_answer,
            observer=observer,
        )
        ended = partial(self._ended, observer)
        is_known = bool(admission.provider.name)
        shared = None if self._shared is None else self._shared.of(self._secret_of(origin))
        return Call(exchange, admission, is_known, ended, self.interpreter, shared)

    def _secret_of(self, origin: Origin) -> str:
        """The text from which the encryption of shared memory is derived.

        With pooled keys the agent's own key is often a placeholder that everybody knows.
        """
        throttle = self.options.throttle
        return "\n".join([origin.api_key, *sorted((throttle and throttle.keys) or ())])

    def counted(
        self, body: chat.Body, origin: Origin, *, endpoint: Endpoint, mode: Mode | None = None
    ) -> chat.Body | None:
        """The provider view of a request whose tokens are only counted; None if unchanged.

        Nothing of it is counted or remembered here. The arguments are those of `call`.
        """
        endpoint = self._of_request(endpoint, body)
        provider = self.budget.request(body, origin, pooled=False).provider
        context = self._context(body, origin, provider, mode)
        context = replace(context, memory=context.memory.aside())
        return translation_of(context, body, endpoint).request()

    def _context(
        self, body: chat.Body, origin: Origin, provider: Provider, mode: Mode | None
    ) -> Context:
        return Context(
            options=self._options,
            random_text=self._random_text,
            memory=self._memory.of(name_of(origin.api_key)),
            metrics=ExchangeMetrics(time.time),
            provider=provider,
            rules=self._rules,
            now_s=time.monotonic(),
            model=model_facts(str(body.get("model"))),
            mode=mode or current_mode(),
            clock=time.monotonic,
            zones=zone_offset_s,
        )

    def _recalling(self, context: Context, endpoint: Endpoint) -> Context:
        """The context of an exchange that shares what it remembers with other processes."""
        form = endpoint.format or endpoint.continued
        if form is None:
            return context
        recall = Recall(
            context.memory,
            form,
            now_s=context.now_s,
            now_unix_s=time.time,
            exchange=self._random_text(_NAME_LENGTH),
            process=self._name,
        )
        return replace(context, memory=recall.memory, recall=recall)

    @property
    def _options(self) -> Options:
        """The options of a request; a process that was forked may not be able to run scripts."""
        can_run = not self._has_scripts or self.interpreter.is_available
        return self.options if can_run else self._unscripted

    def _of_request(self, endpoint: Endpoint, body: chat.Body) -> Endpoint:
        """The endpoint, changed for a request that must not be rewritten, pooled or offered."""
        form = endpoint.format
        if form is None:
            if endpoint.inactive and self.translates:
                self.warn_once(endpoint.name, endpoint.inactive)
            return endpoint
        # The check reads the whole request, and matters only with several accounts.
        if self._pools and form.is_kept(body):
            endpoint = endpoint.unpooled
        if not form.may_rewrite(body):
            if self.translates:
                self.warn_once(endpoint.name, _LEFT, endpoint.suffix, form.leaves)
            return endpoint.continuing if form.is_continued(body) else endpoint.untranslated
        # A decorated function above this client has translated it, and could send no marker header.
        return endpoint.translated if is_offered(body, form) else endpoint

    def _ended(self, observer: RequestObserver, exchange: Exchange) -> None:
        """Add an exchange's counts, and calibrate the estimates by its usage."""
        with exchange.guard.step("calibrate"):
            if exchange.estimated and exchange.usage is not None:
                self._estimator.calibrate(
                    exchange.counted_as, exchange.estimated, exchange.usage.prompt_tokens
                )
        with exchange.guard.step("observe"):
            observer.ended(exchange)
        self.counters.add(exchange.metrics.counts)
        if exchange.metrics.counts["switched_off"]:
            self.warn_once("switched_off", _SWITCHED_OFF, exchange.model)
        if exchange.metrics.counts["defects.impossible_usage"]:
            self.warn_once("usage", _IMPOSSIBLE_USAGE, exchange.model)
        if exchange.metrics.counts["reminders"]:
            self._warn_of_placement(exchange.model)

    def _warn_of_placement(self, model: str) -> None:
        """Say once that reminders do not stand where the user wants them, and why."""
        placement = self.options.reminders.placement if self.options.reminders else "append"
        unsupported = model_facts(model).unsupported
        for order in orders_of(placement):
            if order in unsupported:
                why = _EFFECTS[unsupported[order]]
                self.warn_once("placement", _APPENDED, model, placement, why)

    def guard(self) -> Guard:
        """A guard for the steps of a request outside its exchange, which reports at once."""
        return Guard(_Reports(self))

    @property
    def translates(self) -> bool:
        """Whether requests may be translated: batching or reminders are switched on."""
        return self.options.batching is not None or self.options.reminders is not None

    def warn_once(self, topic: str, message: str, *args: object) -> None:
        """Log a warning that concerns the whole target, once for each topic."""
        if topic not in self._warned:
            self._warned.add(topic)
            _log.warning(message, *args)

    def serves(self, endpoint: Endpoint) -> bool:
        """Whether batchwrap does anything for requests to an endpoint."""
        return not self.is_off and (
            endpoint.format is not None or self.options.throttle is not None
        )

    def passed_through(self) -> None:
        """Count a request that is passed through."""
        self.counters.add({"passed_through": 1})

    def _random_text(self, length: int) -> str:
        return "".join(self._random.choices(_ALPHANUMERIC, k=length))


def _shared_memory(options: Options) -> SharedMemory | None:
    """The memory that processes share; None if each has its own."""
    batching = options.batching
    if batching is None or batching.memory == "memory":
        return None
    with LOADING:
        from batchwrap.memory_stores import open_memory
        from batchwrap.memory_stores.shared import SharedMemory
    return SharedMemory(open_memory(batching.memory))


def _without_scripts(options: Options) -> Options:
    """The options for a process that cannot run scripts."""
    batching = options.batching
    if batching is None or batching.scripts is None:
        return options
    return replace(options, batching=replace(batching, scripts=None))


class _Reports:
    """Counts and events that belong to no exchange.

    Args:
        engine: the engine that they belong to.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, counter: str, amount: float = 1) -> None:
        """Count something."""
        self._engine.counters.add({counter: amount})

    def note(self, name: EventName, **data: Any) -> None:
        """Report an event."""
        event = Event(name=name, data=data, at_unix_s=time.time())
        report(event, self._engine.options.on_event, Guard(_Nowhere()))


class _Nowhere:
    """Drops the report of an error that `on_event` has raised while it got such a report."""

    def add(self, counter: str, amount: float = 1) -> None:
        """Nothing."""

    def note(self, name: EventName, **data: Any) -> None:
        """Nothing."""
