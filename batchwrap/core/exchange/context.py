"""What the core is told of the world around one exchange."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from batchwrap.core.exchange.memory import Memory
from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.limits.moments import ZoneOffset, no_zones
from batchwrap.core.model import UNKNOWN_MODEL, Model
from batchwrap.core.provider import Provider, RequestRules
from batchwrap.directives import Mode
from batchwrap.options import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What one exchange is given from outside.

    Attributes:
        options: the user's options.
        random_text: gives so many random characters of ``[A-Za-z0-9]``.
        memory: what exchanges share and may forget.
        metrics: where counts and events go.
        provider: what is known of the provider.
        rules: what requests have to obey, where the user named it; None: as the provider says.
        now_s: the time, in seconds of any clock.
        model: what is known of the model.
        mode: the agent's mode, where it was told from outside.
        clock: tells the time, to measure how fast the model generates; None: it is not.
        zones: knows time zones by their names.
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
