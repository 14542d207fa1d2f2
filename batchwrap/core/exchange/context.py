"""Everything that one exchange gets from outside: options, memory, facts and the time.

The core reads no clock and makes no random numbers, so both are passed in here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from batchwrap.core.exchange.memory import Memory
from batchwrap.core.exchange.recall import Recall
from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.limits.moments import ZoneOffset, no_zones
from batchwrap.core.model import UNKNOWN_MODEL, Model
from batchwrap.core.provider import Provider, RequestRules
from batchwrap.directives import Mode
from batchwrap.options import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What one exchange gets from outside.

    Attributes:
        options: the user's options.
        random_text: makes a text of this many random characters of ``[A-Za-z0-9]``.
        memory: what exchanges share; it may be lost at any time.
        metrics: where counts and events go.
        provider: facts about the provider.
        rules: the rules for requests that the user chose; None for the provider's.
        now_s: the time, in seconds of any clock.
        model: facts about the model.
        mode: the agent's mode, if the program set it.
        clock: returns the time, to measure the model's speed; None if it is not measured.
        zones: returns the offset of a time zone by its name.
        recall: what the exchange asks of and tells other processes; None if nothing is shared.
    """

    options: Options
    random_text: Callable[[int], str]
    memory: Memory
    metrics: ExchangeMetrics
    provider: Provider
    now_s: float
    rules: RequestRules | None = None
    model: Model = UNKNOWN_MODEL
    mode: Mode | None = None
    clock: Callable[[], float] | None = None
    zones: ZoneOffset = no_zones
    recall: Recall | None = None
