"""How one provider tells of its limits: in headers, in refusals, and by which clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchwrap.core.limits.headers import HeaderRules
from batchwrap.core.limits.matchers import Matcher


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSignals:
    """What has to be known of a provider to read its headers and refusals.

    Attributes:
        headers: what its headers mean without saying so.
        refusals: what its errors mean where they mean something else, or more, than the same
            words of others; they count before `batchwrap.core.limits.matchers.MATCHERS`.
        utc_offset_s: the zone of times in its messages that name none, in seconds east of UTC.
    """

    headers: HeaderRules = field(default_factory=HeaderRules)
    refusals: tuple[Matcher, ...] = ()
    utc_offset_s: float = 0.0


NO_SIGNALS = LimitSignals()
