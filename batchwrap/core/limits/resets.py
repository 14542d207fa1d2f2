"""Reads the forms in which providers write a time to wait: durations, absolute times, prose."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite

from batchwrap.core.limits.moments import DAY_S, no_zones, read_moment

# From here on, a bare number is not a duration (it would be 30 years) but seconds since 1970, or
# milliseconds (as seconds, they would be the year 5138), or microseconds.
_EPOCH_S, _EPOCH_MS, _EPOCH_US = 1e9, 1e11, 1e14
# Longer than any period of a limit. A longer time is forged, or a mistake.
LONGEST_S = 366 * DAY_S
# A smaller difference of a server's clock needs no correction: `Date` has whole seconds.
_SAME_TIME_S = 5.0
_LONGEST_TEXT = 100

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0}
_UNITS |= {"millisecond": 1e-3, "sec": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0}
_UNITS |= {"hr": 3_600.0, "hour": 3_600.0, "d": DAY_S, "day": DAY_S, "week": 7 * DAY_S}

_ONES = (
    *("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"),
    *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# "A few" and "a couple of" are not among them: they stand for no certain number.
_WORDS = {"a": 1.0, "an": 1.0, "half": 0.5, "half a": 0.5, "half an": 0.5}
_WORDS |= {"half-a": 0.5, "half-an": 0.5, "quarter of an": 0.25}
_WORDS |= {"three quarters of an": 0.75, "three-quarters of an": 0.75}
_WORDS |= {word: float(amount) for amount, word in enumerate(_ONES) if word}
_WORDS |= {
    f"{word}{joint}{one}": float(ten * 10 + unit)
    for ten, word in enumerate(_TENS, 2)
    for unit, one in enumerate(_ONES[:10])
    for joint in (("-", " ") if one else ("",))
}

_DIGITS = r"(?:\d{1,3}(?:,\d{3}){1,4}(?!\d)|\d{1,15})(?:\.\d{1,15})?"
_WORD = "|".join(sorted(_WORDS, key=len, reverse=True))
_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_HALF = " and a half"
# Atomic groups: otherwise "1ms" could be read in two ways, and a list of n of them in 2^n ways.
_PART = (
    rf"(?:{_DIGITS}(?:{_HALF})? ?|(?>{_WORD})(?:{_HALF})?[ -](?=[a-z]{{3}}))(?>{_UNIT})s?+"
    rf"(?:\(s\))?(?![a-z])(?:{_HALF}(?![a-z]))?"
)
# A duration has no more parts than there are units.
_DURATION = rf"{_PART}(?:,? ?(?:and )?{_PART}){{0,7}}"

_A_NUMBER = re.compile(r"-?\d+(?:\.\d*)?", re.ASCII)
_A_DURATION = re.compile(rf"-?{_DURATION}", re.ASCII | re.IGNORECASE)
_A_PART = re.compile(
    rf"({_DIGITS}|\b(?>{_WORD})\b)({_HALF})?[ -]?({_UNIT})(?:s?(?:\(s\))?({_HALF}))?",
    re.ASCII | re.IGNORECASE,
)
# ISO 8601 without years and months, whose lengths differ. In upper case, as .NET and Java write it.
_ISO_DURATION = re.compile(
    r"P(?=\d|T\d)(?:(\d{1,6})W)?(?:(\d{1,6})D)?"
    r"(?:T(?=\d)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9}(?:[.,]\d{1,9})?)S)?)?(?![A-Za-z\d])",
    re.ASCII,
)
_ISO_UNITS_S = (7 * DAY_S, DAY_S, 3_600.0, 60.0, 1.0)


def number(text: str) -> float | None:
    """The finite decimal number that a text represents, or None."""
    text = text.strip()
    value = float(text) if len(text) < 1_000 and _A_NUMBER.fullmatch(text) else None
    return value if value is not None and isfinite(value) else None


def seconds_until(text: str, now_unix_s: float) -> float | None:
    """Seconds until the time that a header or a field names.

    It reads seconds (``60``, ``11.38``), durations (``1m26.4s``, ``120ms``, ``6 seconds``,
    ``PT1M30S``), seconds or milliseconds since 1970, HTTP dates in the three forms of RFC 9110
    (also with ``+0000`` for GMT), and RFC 3339 (UTC if it names no zone).

    Args:
        text: the whole value.
        now_unix_s: the current time at the sender: see `server_time`.

    Returns:
        Finite seconds, 0 for a time in the past; None for anything else.
    """
    value = number(text)
    text = " ".join(text[:_LONGEST_TEXT].split()) if len(text) <= _LONGEST_TEXT else ""
    if value is not None:
        seconds: float | None = _seconds_of(value, now_unix_s)
    elif iso := _ISO_DURATION.fullmatch(text):
        seconds = _iso_duration(iso)
    elif _A_DURATION.fullmatch(text):
        seconds = 0.0 if text.startswith("-") else _duration(text)
    else:
        moment = _moment(text, now_unix_s)
        seconds = None if moment is None else moment - now_unix_s
    return max(0.0, seconds) if seconds is not None and isfinite(seconds) else None


def milliseconds_until(text: str, now_unix_s: float) -> float | None:
    """The same, with a bare number in milliseconds, as the name of the field says.

    Args:
        text: the whole value.
        now_unix_s: the current time at the sender.

    Returns:
        Seconds, as `seconds_until` does.
    """
    value = number(text)
    if value is None or value >= _EPOCH_MS:
        return seconds_until(text, now_unix_s)
    return max(0.0, value / 1_000)


def server_time(headers: Mapping[str, str], now_unix_s: float) -> float:
    """The current time by the clock of the server that answered, which its absolute times refer to.

    Args:
        headers: of the answer, with lower-case names; ``Date`` shows the clock.
        now_unix_s: the current time here, which is used if the clocks agree or ``Date`` is missing.
    """
    date = headers.get("date")
    shown = None if date is None else _moment(date[:_LONGEST_TEXT], now_unix_s)
    return now_unix_s if shown is None or abs(shown - now_unix_s) < _SAME_TIME_S else shown


def duration_at(text: str, start: int) -> tuple[float, int] | None:
    """The seconds of a duration at a position of a text ("2 days 3 hr"), and where it ends."""
    if iso := _ISO_DURATION.match(text, start):
        return _iso_duration(iso), iso.end()
    found = _A_DURATION.match(text, start)
    if found is None or found[0].startswith("-"):
        return None
    return _duration(found[0]), found.end()


def _seconds_of(value: float, now_unix_s: float) -> float:
    if value < _EPOCH_S:
        return value
    unit = 1 if value < _EPOCH_MS else 1_000 if value < _EPOCH_US else 1_000_000
    return value / unit - now_unix_s


def _duration(text: str) -> float:
    parts = _A_PART.findall(text.lower())
    return sum(
        (_amount(amount) + 0.5 * bool(more or behind)) * _UNITS[unit]
        for amount, more, unit, behind in parts
    )


def _amount(text: str) -> float:
    return _WORDS[text] if text in _WORDS else float(text.replace(",", ""))


def _iso_duration(found: re.Match[str]) -> float:
    parts = zip(found.groups(default="0"), _ISO_UNITS_S, strict=True)
    return sum(float(amount.replace(",", ".")) * unit_s for amount, unit_s in parts)


def _moment(text: str, now_unix_s: float) -> float | None:
    """An absolute time with a date, if the text holds nothing else."""
    moment = read_moment(" ".join(text.split()), now_unix_s, zones=no_zones)
    whole = moment is not None and moment.has_date and moment.end == len(" ".join(text.split()))
    return moment.unix_s if moment is not None and whole else None
