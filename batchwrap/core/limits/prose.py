"""Reads the time to wait from a sentence. The wordings of providers are data: `CUES`.

A cue is what announces a time ("try again", "will reset"). The text after it is read as a duration
or as a point in time. Anything else is no time, and a sentence without a time has no effect: so an
unknown wording never closes an account.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from batchwrap.core.limits.moments import ZoneOffset, no_zones, read_moment
from batchwrap.core.limits.resets import LONGEST_S, duration_at

# A sentence with more cues than this is not a provider's message.
_MAX_CUES = 16
_CHINA_S = 8 * 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """Words that announce a time.

    Attributes:
        words: a regular expression for them, ignoring case. The time follows them, and the small
            words of `_SMALL`.
        example: a published message that contains them.
        source: where it was published.
        east_s: the zone of a time without one, if the words imply it.
    """

    words: str
    example: str
    source: str
    east_s: float | None = None


CUES = (
    Cue(
        words=r"\bagain",
        example="You've hit your usage limit. Try again in 4 days 20 hours 9 minutes.",
        source="https://github.com/openai/codex/issues/3257",
    ),
    Cue(
        words=r"\bre-?try(?:ing|_?delay)?",
        example="Requests to the ChatCompletions_Create Operation have exceeded the token rate "
        "limit of your current OpenAI S0 pricing tier. Please retry after 6 seconds.",
        source="Azure; Gemini: Please retry in 41.8s.",
    ),
    Cue(
        words=r"\bwait(?:ing)?",
        example="Sorry, your request was rate-limited. Please wait 587 hours 33 minutes before "
        "trying again.",
        source="https://github.com/microsoft/vscode-copilot-release/issues/6479",
    ),
    Cue(
        words=r"\breset(?:s|ting)?",
        example="5-hour usage limit reached. Resets in 3hr 56min.",
        source="OpenCode Go; z.ai, Qwen, Kimi, Cloud Code, Claude and Copilot use the word, too",
    ),
    Cue(
        words=r"\b(?:refresh|replenish|renew|restor|lift|unlock)(?:e[sd]|s|ed)?",
        example="Higher rate limits refresh at 2026-08-25T00:00:00Z",
        source="other words for a reset",
    ),
    Cue(
        words=r"\b(?:come|be) back",
        example="You have used all of today's free usage on this account. Come back in 3h 47m.",
        source="https://github.com/CodebuffAI/freebuff/issues/1050",
    ),
    Cue(
        words=r"\bcool-?down",
        example="Rate limited. Cooldown: 45s",
        source="proxies",
    ),
    Cue(
        words=r"\bresum(?:es?|ing)",
        example="You have reached the quota limit for this model. You can resume using this model "
        "at 12/16/2026, 7:15:56 PM.",
        source="Antigravity",
    ),
    Cue(
        words=r"\bavailable(?=[ _](?:again|at|in|after|on)\b|:)",
        example="Rate limited on m. Next available: 2026-08-18T20:18:34Z",
        source="a proxy of Cloud Code",
    ),
    Cue(
        words=r"\bnext_flush_time",
        example="Usage limit reached for 5 hour, next_flush_time: 2027-06-01T17:00:00Z",
        source="z.ai, in its tables of errors",
    ),
    Cue(
        words="将[于在]",
        example="已达到 5 小时的使用上限。您的限额将在 2026-08-25 07:41:44 重置。",
        source="https://github.com/dirge-code/dirge/issues/818",
        east_s=_CHINA_S,
    ),
)

# Words that may stand between a cue and its time.
_SMALL = (
    r"a|about|access|after|again|another|approx(?:imately|\.)?|around|at|be|by|credits?|daily"
    "|each day|every day|expected|for|from|in|is|it|least|less than|limits?|model|next|on|quota"
    "|requests?|roughly|service|the|this|time|to|under|until|up to|usage|using|will"
    "|window|within|your"
)
_BETWEEN = re.compile(
    rf"(?:[ :·|,(=_~\"'-]|(?<![a-z])(?:{_SMALL})(?![a-z])){{0,20}}", re.IGNORECASE
)
_CUE = re.compile("|".join(f"({cue.words})" for cue in CUES), re.IGNORECASE)
# A duration follows these: "in 3:12" is no time of day.
_LASTING = re.compile(r"(?<![a-z])(?:in|for|within)[ (:=]{0,3}$", re.IGNORECASE)
# Here a duration is a wait for something other than the next request ("If it happens again, wait
# 5 minutes before contacting support"), or one that is over ("timed out after waiting 30 s"). So
# "before" counts only if a request follows.
_REQUEST = (
    r"again|another|continu|making|new|next|perform|proceed|reconnect|request|resend|resubmit"
    r"|resum|retr(?:y|ies)|send|start|submi|try|using|you can"
)
_SUPPORT = (
    r"support|tickets?|sales|us|team|admin(?:istrator)?|incident|bug|issue|provider|hotline|help"
)
_OTHER_WAIT = re.compile(
    rf"[ ,]{{1,3}}(?:before\b(?!.{{0,30}}\b(?:{_REQUEST}))"
    rf"|(?:before|then|and)\b(?:(?!{_REQUEST})[^.;]){{0,40}}?\b(?:{_SUPPORT})\b"
    r"|for\b[^.;]{0,40}?\b(?:support|sales|approv|increas|upgrad|review))",
    re.IGNORECASE,
)
_IS_OVER = re.compile(
    r"(?:timed? ?out|gave up|cancell?ed|fail(?:ed|s|ing)?|aborted|dropped|persists?|continues?"
    r"|occurs?|happens?)[^.]{0,20} after $",
    re.IGNORECASE,
)
# Seconds in a field's own name, in a header or a message of Google's that the text quotes:
# "retry_delay { seconds: 41 }". https://github.com/langchain-ai/langchain-google/issues/1135
_QUOTED_SECONDS = re.compile(
    r"\b(?:retry_?delay\W{1,6}seconds|retry[-_]after(?:_s(?:ec(?:ond)?s?)?)?)"
    r"[\"']?[:=] ?[\"']?(\d{1,9}(?:\.\d{1,9})?)(?![\w:/-]|\.\d)",
    re.ASCII | re.IGNORECASE,
)
# Seconds or milliseconds since 1970.
_EPOCH = re.compile(r"(\d{10})(?:\d{3})?(?!\d)", re.ASCII)
# Claude Code: "Claude AI usage limit reached|1762952400".
# https://github.com/anthropics/claude-code/issues/11429
_STAMP = re.compile(r"\blimit reached\|(\d{10})\b", re.ASCII | re.IGNORECASE)
# "请20秒后重试": in 20 seconds.
_CHINESE = re.compile(r"(\d{1,9}) ?(秒|分钟|小时|天)[之以]?后")
_CHINESE_UNITS_S = {"秒": 1.0, "分钟": 60.0, "小时": 3_600.0, "天": 86_400.0}


def seconds_in_prose(
    text: str,
    now_unix_s: float | None,
    *,
    utc_offset_s: float = 0.0,
    zones: ZoneOffset = no_zones,
) -> float | None:
    """The wait that a message asks for ("Please try again in 1m2s."), in seconds.

    Args:
        text: the message; the caller bounds its length.
        now_unix_s: the current time at the sender; None: points in time are not read.
        utc_offset_s: the zone of times without one, in seconds east of UTC.
        zones: returns the offset of a zone by its name.

    Returns:
        More than 0 and at most `LONGEST_S`; None if the message names no time, or a past one.
    """
    text = " ".join(text.split())
    found = (
        _behind(text, cue, now_unix_s, utc_offset_s, zones)
        for cue in islice(_CUE.finditer(text), _MAX_CUES)
    )
    seconds = next((wait_s for wait_s in found if wait_s is not None and wait_s > 0), None)
    seconds = _without_cue(text, now_unix_s) if seconds is None else seconds
    return None if seconds is None or seconds <= 0 else min(seconds, LONGEST_S)


def _behind(
    text: str, cue: re.Match[str], now_unix_s: float | None, utc_offset_s: float, zones: ZoneOffset
) -> float | None:
    between = _BETWEEN.match(text, cue.end())
    start = between.end() if between is not None else cue.end()
    # "a" is a small word, and the amount of a duration, too ("in a minute").
    for place in (start, start - 2) if text[:start].endswith(" a ") else (start,):
        if (duration := duration_at(text, place)) is not None:
            seconds, end = duration
            is_other = _OTHER_WAIT.match(text, end) or _IS_OVER.search(text[: cue.start()][-40:])
            return None if is_other else seconds
    if now_unix_s is None or _LASTING.search(text, cue.end(), start):
        return None
    if stamp := _EPOCH.match(text, start):
        return float(stamp[1]) - now_unix_s
    east_s = CUES[(cue.lastindex or 1) - 1].east_s
    east_s = utc_offset_s if east_s is None else east_s
    moment = read_moment(text, now_unix_s, start=start, east_s=east_s, zones=zones)
    return None if moment is None else moment.unix_s - now_unix_s


def _without_cue(text: str, now_unix_s: float | None) -> float | None:
    if (stamp := _STAMP.search(text)) and now_unix_s is not None:
        return float(stamp[1]) - now_unix_s
    if quoted := _QUOTED_SECONDS.search(text):
        return float(quoted[1])
    if chinese := _CHINESE.search(text):
        return float(chinese[1]) * _CHINESE_UNITS_S[chinese[2]]
    return None
