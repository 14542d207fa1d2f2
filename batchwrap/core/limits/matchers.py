"""What the wordings of refusals mean, whoever sends them: a table of matchers.

A gateway hands on the errors of the providers behind it, so a code or a sentence that has one
meaning is understood from every sender. What has a meaning at one provider only, such as a number,
is in that provider's data file and is tried before this table.

The first match counts. So fields of the body come before prose, and narrow patterns before general
ones: Groq and OpenAI send one code for "wait" and for "this can never fit", Cerebras sends one for
    the minute and the day.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from batchwrap.errors import ConfigError

RefusalKind = Literal["bucket", "overloaded", "growth", "concurrency", "final", "key"]
Reason = Literal["quota", "billing", "plan", "too_large", "daily"]
Scope = Literal["second", "minute", "hour", "day", "week", "month"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Matcher:
    """What an error looks like, and what it means. All given conditions must hold.

    Args:
        kind: ``"bucket"``: the account's own limit; wait. ``"overloaded"``: the provider is at
            capacity; try later, the account's buckets are unchanged. ``"growth"``: ramp up slower.
            ``"concurrency"``: too many requests at a time. ``"final"``: waiting is useless.
            ``"key"``: the key is not accepted. None: not a refusal, whatever it looks like.
        reason: why it is final. For a bucket: why it is final if the error names no time to come
            back; such an allowance lasts for hours or days, which is too long for a blind wait.
        scope: the period of the limit; None if the error says it.
        status: only these HTTP statuses (200: an error inside a stream); empty: all.
        code: a regular expression for the whole of one of the error's codes (its `code`,
            `type`, `status`, `reason`, …), in any case.
        text: a regular expression to be found in the error's message, in any case.
        waits: how a stated wait is used: ``"floor"``: as a minimum; ``"window"``: as the length
            of the period, since the bucket may have room earlier; ``"untrue"``: not at all.

    Raises:
        ConfigError: an expression is invalid.
    """

    kind: RefusalKind | None
    reason: Reason | None = None
    scope: Scope | None = None
    status: tuple[int, ...] = ()
    code: str = ""
    text: str = ""
    waits: Literal["floor", "window", "untrue"] = "floor"

    def __post_init__(self) -> None:
        for name, pattern in (("code", self.code), ("text", self.text)):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ConfigError(f"Matcher.{name}", f"{pattern!r}: {error}") from error

    def matches(self, status: int, codes: Sequence[str], text: str) -> bool:
        """Whether an error matches."""
        return (
            (not self.status or status in self.status)
            and (not self.code or any(re.fullmatch(self.code, c, re.IGNORECASE) for c in codes))
            and (not self.text or re.search(self.text, text, re.IGNORECASE) is not None)
        )


_bucket = partial(Matcher, kind="bucket")
_overloaded = partial(Matcher, kind="overloaded")
_growth = partial(Matcher, kind="growth")
# Billing errors and firewalls send a Retry-After, too, without a meaning.
_final = partial(Matcher, kind="final", waits="untrue")
_allowance = partial(Matcher, kind="bucket", reason="quota")
_concurrency = partial(Matcher, kind="concurrency")
_key = partial(Matcher, kind="key", waits="untrue")

# An error inside a stream came with status 200.
_LIMITED = (200, 429)

MATCHERS: Sequence[Matcher] = (
    # Cerebras. https://inference-docs.cerebras.ai/support/error
    _overloaded(code="queue_exceeded"),
    _final(
        reason="daily",
        scope="day",
        code="(token|request)_quota_exceeded",
        text="per day",
        waits="window",
    ),
    _bucket(code="(token|request)_quota_exceeded", waits="window"),
    # Qwen. https://help.aliyun.com/en/model-studio/rate-limit
    _growth(code=r"throttling\.burstrate|limit_burst_rate"),
    _bucket(code=r"throttling\.(ratequota|allocationquota)|limit_requests"),
    # xAI: a limit of 0, or a free allowance that is used up.
    _final(status=_LIMITED, reason="plan", text=r"\(actual/limit\): \d+/0\b"),
    _final(status=_LIMITED, reason="quota", text="free usage quota"),
    # Gemini: the wording is the same for minute and day, and a daily limit may state a wait of 1 s.
    _overloaded(code="model_capacity_exhausted"),
    # Plans with allowances for hours and weeks: Codex, Cloud Code, OpenCode Go, Qwen's and Kimi's
    # coding plans, Claude's and Copilot's. Anthropic says "not your usage limit" about something
    # else.
    _allowance(code="usage_limit_(reached|exceeded)|(go|free)usagelimiterror|quota_?exhausted"),
    _allowance(
        status=(200, 403, 429),
        text="(?<!not your )usage limit (has been |was |is )?(reached|exceeded|exhausted)"
        "|(reached|hit|exceeded) your [^.]{0,40}(usage|session|weekly|monthly|daily) limit"
        "|(session|5-hour|hourly|weekly|monthly)[^.]{0,20} limit "
        "(has been |was |is )?(reached|exhausted|exceeded)"
        "|quota has been exhausted|quota exhausted|exhausted your (capacity|quota)"
        "|reached the quota limit|(hour|week|month) allocated quota exceeded|使用上限",
    ),
    _final(reason="daily", scope="day", code=".*perday.*"),
    _bucket(code="resource[_-]exhausted"),
    # OpenAI. https://developers.openai.com/api/docs/guides/rate-limits
    _growth(code="slow_down"),
    _final(reason="quota", code="insufficient_quota"),
    _final(
        reason="billing",
        code="billing_not_active|credit_balance_exhausted|organization_spend_limit_exceeded",
    ),
    # Anthropic. https://platform.claude.com/docs/en/api/rate-limits
    _final(reason="billing", code="enforced_spend_limit_reached"),
    _growth(status=_LIMITED, text="usage increase rate"),
    # Moonshot.
    _final(reason="quota", code="exceeded_current_quota_error"),
    # Azure: a trial's allowance is spent.
    _final(
        status=_LIMITED,
        reason="quota",
        scope="day",
        text="retry after 86400 seconds",
        waits="floor",
    ),
    # Too many at the same time: Moonshot, Anthropic, Qwen, Z.ai, Ollama, litellm.
    _concurrency(code="(too_many_)?concurren(t|cy)_(limit|requests)(_reached|_exceeded)?"),
    _concurrency(
        status=(200, 403, 429, 503),
        text="(reduce|lower|decrease) (the |your )?concurren|(high|too (many|much)) concurren"
        r"|(parallel|simultaneous|in-flight) requests?[^.]{0,30} (limit|exceed|reached|allowed)"
        r"|\b\d{1,4} (concurrent|parallel|simultaneous) requests?\b|requests in flight"
        "|concurren(t|cy)[^.]{0,40} (limit|exceeded|reached|quota|slot)|max(imum)?[ _]concurren"
        "|limit[^.]{0,20} concurren|max_parallel_requests|并发",
    ),
    # All providers. "Billing" alone means nothing: Groq's and Gemini's common refusals link to that
    # page.
    _final(reason="too_large", status=(413,), code="rate_limit_exceeded"),
    _final(reason="too_large", status=_LIMITED, text="request too large"),
    _final(
        reason="billing",
        status=(200, 400, 403, 429),
        text="credit balance is too low|insufficient (account )?balance|spend(ing)? limit"
        "|out of credits|insufficient (funds|credits)",
    ),
    _overloaded(code="(server_is_|engine_)?overloaded(_error)?"),
    _overloaded(code="(service_)?unavailable|capacity_exceeded"),
    _overloaded(
        status=_LIMITED,
        text="high (demand|traffic)|overloaded|at capacity|resource unavailable",
    ),
    _bucket(code="rate_limit(ed|_exceeded|_error|_reached_error)?|too_many_requests"),
    _bucket(status=(200,), text="too many requests|rate limit"),
    _bucket(status=(429,)),
    _overloaded(status=(503, 529)),
    _allowance(
        status=(403,),
        text="(daily|weekly|monthly)[^.]{0,20} (limit|quota) "
        "(has been |was |is )?(reached|exhausted|exceeded)",
    ),
    _final(status=(402,), reason="billing"),
    _final(status=(403,), reason="billing", text=r"\b(credits?|billing|balance|payment)\b"),
    # A key that is wrong, revoked, or lacks a permission; Gemini and xAI answer 400. Moderation
    # (OpenRouter) and firewalls (Cloudflare) answer 403, too, for other reasons.
    Matcher(kind=None, status=(403,), text="moderation|flagged|^error code: 1|<html|<!doctype"),
    _key(status=(401, 403)),
    _key(status=(400,), code="(invalid_api_key|api_key_invalid)"),
    _key(
        status=(400,), text="(incorrect|invalid) api key|api key (is )?(not valid|invalid|expired)"
    ),
)
