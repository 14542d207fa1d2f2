"""The ways in which providers write a time to wait: durations, moments, and prose."""

from __future__ import annotations

import re
from calendar import timegm
from math import isfinite

# From here on a bare number is no duration (30 years) but a moment: seconds since 1970, or
# milliseconds (as seconds it would be the year 5138).
_EPOCH_S, _EPOCH_MS = 1e9, 1e11

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3_600.0}
_UNITS |= {"millisecond": 1e-3, "sec": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0}
_UNITS |= {"hr": 3_600.0, "hour": 3_600.0, "d": 86_400.0, "day": 86_400.0}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

# Atomic: "1ms" would be read in two ways, and a list of them in as many as there are powers of two.
_PART = rf"\d++(?:\.\d++)? ?(?>{'|'.join(sorted(_UNITS, key=len, reverse=True))})s?+(?![a-z])"
_DURATION = rf"{_PART}(?:,? ?(?:and )?{_PART})*"
_DAY, _CLOCK = r"(0[1-9]|[12]\d|3[01])", r"([01]\d|2[0-3]):([0-5]\d):([0-5]\d)"

_A_NUMBER = re.compile(r"-?\d+(?:\.\d*)?", re.ASCII)
_A_DURATION = re.compile(rf"-?{_DURATION}", re.ASCII)
_A_PART = re.compile(r"(\d+(?:\.\d+)?) ?([a-zµ]+)", re.ASCII)
_AN_HTTP_DATE = re.compile(
    rf"[a-z]{{3}}, {_DAY} ([a-z]{{3}}) ([1-9]\d{{3}}) {_CLOCK} gmt", re.ASCII
)
_A_TIMESTAMP = re.compile(
    rf"([1-9]\d{{3}})-(0[1-9]|1[0-2])-{_DAY}[t ]{_CLOCK}(\.\d+)?(?:z|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)
_IN_PROSE = re.compile(rf"(?:again|retry|wait)(?: (?:in|after|for))? ({_DURATION})", re.ASCII)


def number(text: str) -> float | None:
    """The finite decimal number that a text is, or None."""
    text = text.strip()
    value = float(text) if _A_NUMBER.fullmatch(text) else None
    return value if value is not None and isfinite(value) else None


def seconds_until(text: str, now_unix_s: float) -> float | None:
    """How far away the time is that a header or a field names.

    Understood are seconds (``60``, ``11.38``), durations (``1m26.4s``, ``120ms``, ``6 seconds``),
    moments as seconds or milliseconds since 1970, HTTP dates, and RFC 3339 (UTC where it
    names no zone).

    Args:
        text: the value, alone.
        now_unix_s: the time of day.

    Returns:
        Finite seconds, 0 for what is past or negative; None for anything else.
    """
    value = number(text)
    text = text.strip().lower()
    if value is not None:
        seconds: float | None = _seconds_of(value, now_unix_s)
    elif _A_DURATION.fullmatch(text):
        seconds = 0.0 if text.startswith("-") else _duration(text)
    else:
        moment = _moment(text)
        seconds = None if moment is None else moment - now_unix_s
    return max(0.0, seconds) if seconds is not None and isfinite(seconds) else None


def seconds_in_prose(text: str) -> float | None:
    """The wait that a sentence asks for ("Please try again in 1m2s."), in seconds, or None."""
    found = _IN_PROSE.search(text.lower())
    seconds = None if found is None else _duration(found[1])
    return seconds if seconds is not None and isfinite(seconds) else None


def _seconds_of(value: float, now_unix_s: float) -> float:
    if value < _EPOCH_S:
        return value
    return (value if value < _EPOCH_MS else value / 1000) - now_unix_s


def _duration(text: str) -> float:
    parts = _A_PART.findall(text)
    return sum(float(amount) * _unit(name) for amount, name in parts)


def _unit(name: str) -> float:
    return _UNITS[name] if name in _UNITS else _UNITS[name.removesuffix("s")]


def _moment(text: str) -> float | None:
    if date := _AN_HTTP_DATE.fullmatch(text):
        day, name, year, *clock = date.groups()
        if name not in _MONTHS:
            return None
        return timegm((int(year), _MONTHS.index(name) + 1, int(day), *map(int, clock)))
    if stamp := _A_TIMESTAMP.fullmatch(text):
        *whole, fraction, sign, hours, minutes = stamp.groups()
        zone = int(hours or 0) * 3_600 + int(minutes or 0) * 60
        east = -zone if sign == "-" else zone
        return timegm(tuple(map(int, whole))) + float(fraction or 0) - east
    return None
