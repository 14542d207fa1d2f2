"""Reads rate-limit headers: what providers say about their buckets, in all known forms.

The names say what is counted and usually the period (``x-ratelimit-remaining-tokens-minute``).
What they do not say differs between providers and is passed in as `HeaderRules`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from batchwrap.core.limits.resets import number, seconds_until, server_time
from batchwrap.errors import ConfigError
from batchwrap.options import LimitKind

ResetMeaning = Literal["full", "window"]

_MINUTE_S, _DAY_S = 60.0, 86_400.0
# The attempts of the default policy, including the waits between them, are over after this time.
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
        limit: the amount per period; 0 means that nothing of this kind is ever admitted.
        remaining: the amount that is left.
        reset_s: seconds until the time that `reset_means` defines; None if the header is missing.
        reset_means: ``"full"``: the bucket is full at that time if nothing more is taken;
        ``"window"``: the period ends at that time; None: unknown.
            ``"window"``: the period ends then; None: it is not known which.
    """

    kind: LimitKind
    per_s: float | None
    limit: float | None
    remaining: float | None
    reset_s: float | None
    reset_means: ResetMeaning | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderRules:
    """What a provider's headers mean beyond what they say.

    Attributes:
        requests_per_s: the period of request limits whose name has none, in seconds; None if it is
            unknown.
        tokens_per_s: the same for tokens of every kind.
        reset_means: see `Observation`.
        bare_counts_requests: whether ``x-ratelimit-limit``, whose name does not say it, counts
            requests.
        zero_is_never: whether a limit of 0 is real; for other providers it is missing data.
    """

    requests_per_s: float | None = None
    tokens_per_s: float | None = None
    reset_means: ResetMeaning | None = None
    bare_counts_requests: bool = True
    zero_is_never: bool = False

    def __post_init__(self) -> None:
        for name in ("requests_per_s", "tokens_per_s"):
            period_s = getattr(self, name)
            if period_s is not None and not period_s > 0:
                raise ConfigError(f"HeaderRules.{name}", f"{period_s} is not above 0")

    def period_s(self, kind: LimitKind) -> float | None:
        """The period of a limit whose header names none."""
        return self.requests_per_s if kind == "requests" else self.tokens_per_s

    @property
    def bare(self) -> LimitKind | None:
        """What a header counts whose name does not say it."""
        return "requests" if self.bare_counts_requests else None


UNKNOWN = HeaderRules()
# Names of this form are read in the same way for all providers, since gateways hand them on: the
# buckets are per minute, and full at the time of their reset.
# https://platform.claude.com/docs/en/api/rate-limits
_ANTHROPIC = HeaderRules(requests_per_s=_MINUTE_S, tokens_per_s=_MINUTE_S, reset_means="full")

# A list of items with parameters, as in the IETF draft: `"default";q=100;w=60` in
# `RateLimit-Policy`, and `"default";r=50;t=30` in `RateLimit`. Older drafts, which are still in
# use, have no names for the policies: `100;w=60`, and `limit=100, remaining=50, reset=30`.
# https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
# Hugging Face sends them: https://huggingface.co/docs/hub/rate-limits
_POLICY = re.compile(
    r'(?:"(?P<name>[^"]{0,100})"|(?P<token>[a-z*][\w.:/*-]{0,99})|(?P<limit>\d{1,15}))'
    r'(?P<parameters>(?: ?; ?[a-z]{1,20}=(?:"[^"]{0,40}"|[^;,"\s]{1,40})){1,8})',
    re.ASCII | re.IGNORECASE,
)
_PARAMETER = re.compile(r'([a-z]{1,20})="?([^;,"]{1,40})', re.ASCII | re.IGNORECASE)
# Envoy and others send the third version of the draft, with three headers. The limit stands before
# its policies: `x-ratelimit-limit: 10, 10;w=1, 50;w=60`.
# https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/http/ratelimit/v3/rate_limit.proto
_QUOTA = re.compile(
    r"(?P<limit>\d{1,15}) ?, ?(?:[^,]{1,100}, ?){0,4}?(?P=limit) ?;"
    r"[^,]{0,40}?\bw=(?P<window>\d{1,9})",
    re.ASCII,
)
_MOST_POLICIES = 8
_MOST_TEXT = 1_000

_FIELD = "(?P<field>limit|remaining|reset)"
_PERIOD = rf"(?:per-)?(?P<period>{'|'.join(_PERIODS)})"
# Azure writes "x-rate-limit" in one place. Together's "-dynamic" is the limit that holds at the
# moment, beside a base that may be exceeded; it sorts after the base and so replaces it.
_NAMES = (
    re.compile(
        rf"(?:x-)?rate-?limit-{_FIELD}(?:-(?P<what>[a-z-]+?))??(?:-{_PERIOD})?(?:-dynamic)?"
    ),
    re.compile(rf"x-(?P<what>token)limit-{_FIELD}(?:-dynamic)?"),
    re.compile(rf"(?P<form>anthropic)-ratelimit-(?P<what>[a-z-]+)-{_FIELD}"),
)


def read_headers(
    headers: Mapping[str, str], now_unix_s: float, rules: HeaderRules = UNKNOWN
) -> list[Observation]:
    """The observations in the headers of any answer.

    Values without meaning are left out: an amount of -1 or 0 (unless 0 means "never"), a reset
    without an amount. Several observations may have the same kind and period (a project's limit
    beside the organisation's); the tightest one holds.

    Args:
        headers: with lower-case names.
        now_unix_s: the current time, for resets that are absolute.
        rules: what the provider's headers mean beyond what they say.
    """
    names = sorted(name for name in headers if "limit" in name)
    if not names:
        return []
    groups: dict[tuple[str, str, str], dict[str, str]] = {}
    for name in names:
        match = next(filter(None, (pattern.fullmatch(name) for pattern in _NAMES)), None)
        if match is None:
            continue
        found = match.groupdict(default="")
        key = (found.get("form", ""), found["what"], found.get("period", ""))
        groups.setdefault(key, {})[found["field"]] = headers[name]
    now_unix_s = server_time(headers, now_unix_s)
    read = (
        _read(_ANTHROPIC if form else rules, what, period, group, now_unix_s)
        for (form, what, period), group in groups.items()
    )
    seen = [observation for observation in read if observation is not None]
    return [*seen, *_policies(headers, rules)]


def admits_again_s(seen: Sequence[Observation]) -> float | None:
    """Seconds until exhausted limits admit a request again.

    A window admits one at its end. A bucket has room for one request after its share of the time
    until it is full; for tokens that depends on the request. If it is unknown which of the two is
    meant, a reset that is further away than all retries would last is taken for the end of a
    window.

    Returns:
        None if no observation says it.
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
    rules: HeaderRules, what: str, period: str, group: Mapping[str, str], now_unix_s: float
) -> Observation | None:
    kind = _KINDS.get(what) if what else rules.bare
    quota = _QUOTA.match(group.get("limit", "")[:_MOST_TEXT])
    limit = number(quota["limit"]) if quota else number(group.get("limit", ""))
    remaining = number(group.get("remaining", ""))
    if kind is None or (limit is not None and not _is_real(limit, rules)):
        return None
    remaining = None if remaining is None or remaining < 0 else remaining
    if limit is None and remaining is None:
        return None
    reset_s = seconds_until(group.get("reset", ""), now_unix_s)
    window_s = number(quota["window"]) if quota else None
    per_s = _PERIODS.get(period) or window_s or rules.period_s(kind)
    reset_means = rules.reset_means or ("window" if window_s else None)
    if per_s is None and rules.reset_means == "full":
        per_s = _period_of(limit, remaining, reset_s)
    return Observation(
        kind=kind,
        per_s=per_s,
        limit=limit,
        remaining=remaining,
        reset_s=reset_s,
        reset_means=None if reset_s is None else reset_means,
    )


def _policies(headers: Mapping[str, str], rules: HeaderRules) -> list[Observation]:
    """The observations in the two headers of the IETF draft, one for each policy."""
    policies: dict[str, dict[str, str]] = {}
    for header in ("ratelimit-policy", "ratelimit"):
        items = _POLICY.finditer(headers.get(header, "")[:_MOST_TEXT])
        for place, item in enumerate(islice(items, _MOST_POLICIES)):
            name = item["name"] or item["token"] or f"#{place}"
            policy = policies.setdefault(name.lower(), {})
            policy |= {key.lower(): value.strip() for key, value in _PARAMETER.findall(item[0])}
            if item["limit"]:
                policy["q"] = item["limit"]
    old = {
        key.lower(): value
        for key, value in _PARAMETER.findall(headers.get("ratelimit", "")[:_MOST_TEXT])
        if key.lower() in ("limit", "remaining", "reset")
    }
    if old:
        window = next((one for one in policies.values() if one.get("q") == old.get("limit")), {})
        old_names = {"q": "limit", "r": "remaining", "t": "reset"}
        state = {short: old[name] for short, name in old_names.items() if name in old}
        policies = {"": window | state}
    read = (_policy(name, policy, rules) for name, policy in policies.items())
    return [observation for observation in read if observation is not None]


def _policy(name: str, policy: Mapping[str, str], rules: HeaderRules) -> Observation | None:
    """The observation of one policy. In the draft, the time is when its quota is available."""
    kind = _kind_of(name, policy.get("qu", ""), rules)
    limit, remaining = number(policy.get("q", "")), number(policy.get("r", ""))
    if kind is None or (limit is not None and not _is_real(limit, rules)):
        return None
    if remaining is None or remaining < 0:
        return None
    per_s, reset_s = number(policy.get("w", "")), number(policy.get("t", ""))
    reset_s = None if reset_s is None or reset_s < 0 else reset_s
    return Observation(
        kind=kind,
        per_s=per_s if per_s else rules.period_s(kind),
        limit=limit,
        remaining=remaining,
        reset_s=reset_s,
        reset_means=None if reset_s is None else rules.reset_means or "window",
    )


def _kind_of(name: str, unit: str, rules: HeaderRules) -> LimitKind | None:
    """What a policy counts: its unit says it, or its name; requests are the draft's default."""
    if unit:
        return _KINDS.get(unit.lower())
    words = [word for word in re.split(r"[^a-z]+", name) if word]
    if any("token" in word for word in words):
        which = {"input", "output", "prompt"} & {*words}
        joined = f"{which.pop()}-tokens" if len(which) == 1 else "tokens"
        return _KINDS.get("input-tokens" if joined == "prompt-tokens" else joined)
    return rules.bare


def _is_real(limit: float, rules: HeaderRules) -> bool:
    return limit > 0 or (limit == 0 and rules.zero_is_never)


def _period_of(limit: float | None, remaining: float | None, reset_s: float | None) -> float | None:
    """The period of a bucket, inferred from the time in which what was used is refilled.

    OpenAI's request headers are per minute or, in the lower tiers, per day: 1 of 10,000 used
    and full in 8.64 s is a day.
    """
    if limit is None or remaining is None or not reset_s or remaining >= limit:
        return None
    period_s = reset_s * limit / (limit - remaining)
    return next((s for s in _PERIODS.values() if s / 2 < period_s < s * 2), None)
