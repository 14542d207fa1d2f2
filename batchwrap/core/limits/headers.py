"""Rate-limit headers: what the provider says about its buckets, in every dialect known.

The names tell what is counted and mostly the period (``x-ratelimit-remaining-tokens-minute``).
What they leave unsaid differs from provider to provider: `DIALECTS` has it, as data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from batchwrap.core.limits.resets import number, seconds_until, server_time
from batchwrap.options import LimitKind

ResetMeaning = Literal["full", "window"]

_MINUTE_S, _DAY_S = 60.0, 86_400.0
# The attempts of the default policy, with the waits between them, are over by then.
_RETRIES_LAST_S = 60.0

_PERIODS = {
    "second": 1.0,
    "minute": _MINUTE_S,
    "hour": 3_600.0,
    "day": _DAY_S,
    "month": 30 * _DAY_S,
}

_KINDS: Mapping[str, LimitKind] = {
    "requests": "requests",
    "req": "requests",
    "tokens": "tokens",
    "token": "tokens",
    "project-tokens": "tokens",
    "input-tokens": "input_tokens",
    "output-tokens": "output_tokens",
    "tokens-prompt": "input_tokens",
    "tokens-cache-adjusted-prompt": "uncached_tokens",
    "tokens-generated": "output_tokens",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What an answer's headers say about one limit.

    Attributes:
        kind: what is counted.
        per_s: its period in seconds; None if neither the header nor the dialect says.
        limit: the amount in a period; 0 means that nothing of this kind is ever admitted.
        remaining: what is left of it.
        reset_s: seconds until the time that `reset_means` names; None if it is not said.
        reset_means: ``"full"``: the bucket is full then, if nothing more is taken;
            ``"window"``: the period ends then; None: nobody knows which.
    """

    kind: LimitKind
    per_s: float | None
    limit: float | None
    remaining: float | None
    reset_s: float | None
    reset_means: ResetMeaning | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a provider's headers mean without saying so.

    Attributes:
        per_s: the period of a kind where the name has none, in seconds.
        reset_means: see `Observation`.
        bare: what ``x-ratelimit-limit`` counts; None if nobody knows.
        zero_is_never: a limit of 0 is real; with others it is a gap in the data.
    """

    per_s: Mapping[LimitKind, float] = field(default_factory=dict)
    reset_means: ResetMeaning | None = None
    bare: LimitKind | None = "requests"
    zero_is_never: bool = False


_A_MINUTE: Mapping[LimitKind, float] = {
    "tokens": _MINUTE_S,
    "input_tokens": _MINUTE_S,
    "uncached_tokens": _MINUTE_S,
    "output_tokens": _MINUTE_S,
}
_ALL_A_MINUTE: Mapping[LimitKind, float] = {"requests": _MINUTE_S, **_A_MINUTE}

UNKNOWN = Dialect()

# By the names of the providers. Cerebras says "continuous refill", but its documented sample
# fits windows on the minute and on the day, so its resets mean neither.
DIALECTS: Mapping[str, Dialect] = {
    # Requests are per minute or per day, by tier: see `_period_of`.
    "openai": Dialect(per_s=_A_MINUTE, reset_means="full"),
    "azure": Dialect(per_s=_ALL_A_MINUTE, reset_means="window"),
    "anthropic": Dialect(per_s=_ALL_A_MINUTE, reset_means="full"),
    # https://console.groq.com/docs/rate-limits
    "groq": Dialect(per_s={"requests": _DAY_S, "tokens": _MINUTE_S}, reset_means="full"),
    "fireworks": Dialect(per_s=_A_MINUTE),
    "mistral": Dialect(zero_is_never=True),
    "sambanova": Dialect(per_s={"requests": _MINUTE_S}, reset_means="window"),
    "openrouter": Dialect(reset_means="window"),
    "xai": Dialect(per_s=_A_MINUTE),
    # The help page names the three headers and not what they count.
    "moonshot": Dialect(bare=None),
}

_FIELD = "(?P<field>limit|remaining|reset)"
_PERIOD = rf"(?:per-)?(?P<period>{'|'.join(_PERIODS)})"
# Azure writes "x-rate-limit" in one place. Together's "-dynamic" is the limit in force beside
# a base that may be exceeded; it sorts behind the base and so takes its place.
_NAMES = (
    re.compile(
        rf"(?:x-)?rate-?limit-{_FIELD}(?:-(?P<what>[a-z-]+?))??(?:-{_PERIOD})?(?:-dynamic)?"
    ),
    re.compile(rf"x-(?P<what>token)limit-{_FIELD}(?:-dynamic)?"),
    re.compile(rf"(?P<dialect>anthropic)-ratelimit-(?P<what>[a-z-]+)-{_FIELD}"),
)


def read_headers(
    headers: Mapping[str, str], now_unix_s: float, provider: str = ""
) -> list[Observation]:
    """What the headers of any answer say about the account's limits.

    Left out is what says nothing: an amount of -1 or 0 (unless 0 means "never"), a reset
    without an amount. Several observations may be of the same kind and period (a project's
    limit beside the organisation's): the tightest holds.

    Args:
        headers: with lower-case names.
        now_unix_s: the time of day, for resets that are moments.
        provider: its name as in the presets; the empty name for one that is not known.
    """
    now_unix_s = server_time(headers, now_unix_s)
    groups: dict[tuple[str, str, str], dict[str, str]] = {}
    for name in sorted(headers):
        match = next(filter(None, (pattern.fullmatch(name) for pattern in _NAMES)), None)
        if match is None:
            continue
        found = match.groupdict(default="")
        key = (found.get("dialect", provider), found["what"], found.get("period", ""))
        groups.setdefault(key, {})[found["field"]] = headers[name]
    read = (_read(*key, group, now_unix_s) for key, group in groups.items())
    return [observation for observation in read if observation is not None]


def admits_again_s(seen: Sequence[Observation]) -> float | None:
    """Seconds until limits of which nothing is left admit a request again.

    A window does at its end. A bucket has room long before it is full: for one request after
    its share of the time, for tokens nobody knows when. Where it is not known which of the two
    is meant, a reset that is farther away than all retries would last is taken for the end.

    Returns:
        None if nothing says so.
    """
    waits = (_admits_again_s(one) for one in seen if one.remaining == 0 and one.reset_s)
    return max((wait_s for wait_s in waits if wait_s is not None), default=None)


def _admits_again_s(one: Observation) -> float | None:
    if one.reset_s is None or one.reset_means == "window":
        return one.reset_s
    if one.reset_means == "full":
        is_countable = one.kind == "requests" and one.limit
        return one.reset_s / one.limit if is_countable and one.limit else None
    return one.reset_s if one.reset_s > _RETRIES_LAST_S else None


def _read(
    provider: str, what: str, period: str, group: Mapping[str, str], now_unix_s: float
) -> Observation | None:
    dialect = DIALECTS.get(provider, UNKNOWN)
    kind = _KINDS.get(what) if what else dialect.bare
    limit, remaining = number(group.get("limit", "")), number(group.get("remaining", ""))
    if kind is None or (limit is not None and not _is_real(limit, dialect)):
        return None
    remaining = None if remaining is None or remaining < 0 else remaining
    if limit is None and remaining is None:
        return None
    reset_s = seconds_until(group.get("reset", ""), now_unix_s)
    per_s = _PERIODS.get(period) or dialect.per_s.get(kind)
    if per_s is None and dialect.reset_means == "full":
        per_s = _period_of(limit, remaining, reset_s)
    return Observation(
        kind=kind,
        per_s=per_s,
        limit=limit,
        remaining=remaining,
        reset_s=reset_s,
        reset_means=None if reset_s is None else dialect.reset_means,
    )


def _is_real(limit: float, dialect: Dialect) -> bool:
    return limit > 0 or (limit == 0 and dialect.zero_is_never)


def _period_of(limit: float | None, remaining: float | None, reset_s: float | None) -> float | None:
    """The period of a bucket, from the time in which what was used is refilled.

    OpenAI's request headers are per minute or, in the lower tiers, per day: 1 of 10,000 used
    and full in 8.64 s is a day.
    """
    if limit is None or remaining is None or not reset_s or remaining >= limit:
        return None
    told_s = reset_s * limit / (limit - remaining)
    return next((s for s in _PERIODS.values() if s / 2 < told_s < s * 2), None)
