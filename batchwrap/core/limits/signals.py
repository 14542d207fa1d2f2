"""How a provider reports its limits: in headers, in refusals, and by which clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchwrap.core.limits.headers import HeaderRules
from batchwrap.core.limits.matchers import Matcher


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSignals:
    """What is needed to read a provider's headers and refusals.

    Attributes:
        headers: what its headers mean beyond what they say.
        refusals: what its errors mean if they differ from the same words of other providers;
            they are tried before `batchwrap.core.limits.matchers.MATCHERS`.
        utc_offset_s: the zone of times without one in its messages, in seconds east of UTC.
    """

    headers: HeaderRules = field(default_factory=HeaderRules)
    refusals: tuple[Matcher, ...] = ()
    utc_offset_s: float = 0.0


NO_SIGNALS = LimitSignals()
