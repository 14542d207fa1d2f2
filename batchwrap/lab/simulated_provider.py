"""The state of the simulated provider: its settings, clock, accounts and journal."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from batchwrap.encodings import EncodingName
from batchwrap.errors import ConfigError
from batchwrap.lab import dialects
from batchwrap.lab.journal import Journal
from batchwrap.lab.rate_limits import RateLimit, RateLimitLedger
from batchwrap.lab.simulated_model import Model
from batchwrap.lab.tokenizing import Tokens
from batchwrap.options import Clock as ManualClock

IncludeUsage = Literal["asked", "always", "never"]


class ProviderClock:
    """Provider seconds since the start: `scale` of them pass in one second of wall time.

    Args:
        scale: provider seconds in a second of wall time.
        manual: a clock of the user's own in place of wall time.
    """

    def __init__(self, scale: float, manual: ManualClock | None = None) -> None:
        self.scale = scale
        self._now = time.monotonic if manual is None else manual.now
        self.skip = None if manual is None else manual.sleep
        self.restart()

    def restart(self) -> None:
        """Begin again at 0."""
        self._started = self._now()

    def now(self) -> float:
        """Provider seconds since the start."""
        return (self._now() - self._started) * self.scale


@dataclass(kw_only=True)
class SimulatedProvider:
    """The state that all requests share. `Lab` documents the settings."""

    model: Model
    limits: tuple[RateLimit, ...]
    dialect: dialects.DialectName
    tokens_per_s: float
    ttft_s: float
    time_scale: float
    encoding: EncodingName
    context_window: int
    chunk_tokens: int
    include_usage: IncludeUsage
    default_output: int
    api_keys: Sequence[str] | None
    gzip: bool
    counter: Tokens | None = None
    manual_clock: ManualClock | None = None
    journal: Journal = field(default_factory=Journal)

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("dialect", self.dialect, get_args(dialects.DialectName)),
            ("encoding", self.encoding, get_args(EncodingName)),
            ("include_usage", self.include_usage, get_args(IncludeUsage)),
        ):
            if value not in allowed:
                raise ConfigError(f"Lab.{name}", f"{value!r} is not one of {allowed}")
        for name in ("tokens_per_s", "time_scale", "context_window", "chunk_tokens"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"Lab.{name}", f"{getattr(self, name)!r} is not above 0")
        for name in ("ttft_s", "default_output"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"Lab.{name}", f"{getattr(self, name)!r} is below 0 or infinite")
        if isinstance(self.api_keys, str):
            raise ConfigError("Lab.api_keys", "a list of keys, not one string")
        self.clock = ProviderClock(self.time_scale, self.manual_clock)
        self.voice = dialects.dialect(self.dialect)
        self._ledgers: dict[str | None, RateLimitLedger] = {}

    @cached_property
    def tokens(self) -> Tokens:
        """The counter of tokens. Loading it takes 0.1-0.5 s the first time in a process."""
        return self.counter or Tokens(self.encoding)

    def restart(self) -> None:
        """Begin a new run: time 0, and all limits as at the start."""
        self.clock.restart()
        self._ledgers.clear()

    def ledger(self, headers: Mapping[str, str]) -> RateLimitLedger | None:
        """The ledger of the account that a request's key belongs to; None for a wrong key.

        Without `api_keys` there is one account, and no key is needed.
        """
        key = None
        # OpenAI's clients send a bearer token, Azure's `api-key`, Anthropic's `x-api-key`.
        if self.api_keys is not None:
            bearer = headers.get("authorization", "").removeprefix("Bearer ")
            key = headers.get("api-key") or headers.get("x-api-key") or bearer
            if key not in self.api_keys:
                return None
        # Each key is an account with buckets of its own.
        if key not in self._ledgers:
            self._ledgers[key] = RateLimitLedger(self.limits)
        return self._ledgers[key]
