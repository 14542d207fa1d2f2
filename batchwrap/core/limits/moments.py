"""Reads points in time as people and servers write them: dates, clock times, time zones.

One scanner reads all forms: the three of HTTP dates, RFC 3339, and what providers write into
sentences ("Aug 5th, 2026 3:00 PM", "07-27 09:25:00 UTC", "4pm (Europe/Berlin)"). It reads one
piece after the other, in any order, each with an expression of bounded length, so it is linear.

What is missing is completed in the most likely way: the year is the one that brings the date
nearest to now, a time without a date is the next such time of day, and the zone is UTC. An unknown
zone makes the text unreadable, since the result could be wrong by a day.
"""

from __future__ import annotations

import re
from calendar import monthrange, timegm
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

DAY_S = 86_400.0
_HOUR_S = 3_600
_FARTHEST_S = 14 * _HOUR_S  # of all zones
# A time of day that has just passed is meant as such: texts are rounded and may be a little old.
_JUST_PASSED_S = 120.0

ZoneOffset = Callable[[str, float], float | None]
"""Seconds east of UTC of a zone (``"Europe/Berlin"``) when its clocks show a time, which is
given as if it were UTC; None for a zone that is not known."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONTH = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_WEEKDAY = r"(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?"
_DAY_OF_MONTH = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"

_PIECES: Mapping[str, tuple[str, ...]] = {
    "date": (
        r"(?P<year>[1-9]\d{3})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?!\d)",
        r"(?P<month>\d{2})-(?P<day>\d{2})(?![\d-])",
        r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>[1-9]\d{3})\b(?=.{0,12}[ap]\.?m\b)",
        rf"{_MONTH} {_DAY_OF_MONTH}\b(?!:)(?:,? (?P<year>[1-9]\d{{3}})\b(?!:))?",
        rf"{_DAY_OF_MONTH}(?: of)?[ -]{_MONTH}"
        r"(?:,?[ -](?P<year>[1-9]\d{3})\b(?!:)|-(?P<short>\d{2})\b)?",
    ),
    "time": (
        r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?P<fraction>\.\d{1,9})?)?(?![\d:])"
        r"(?: ?(?P<half>[ap])\.?m\b\.?)?",
        r"(?P<hour>\d{1,2}) ?(?P<half>[ap])\.?m\b\.?",
        r"(?P<word>midnight|noon)\b",
    ),
    "weekday": (rf"(?P<weekday>{_WEEKDAY})\b\.?",),
    "relative": (r"(?P<relative>today|tomorrow)\b",),
    "year": (r"(?P<year>[1-9]\d{3})\b",),
    "zone": (
        r"\(?(?:utc|gmt)? ?(?P<sign>[+-])(?P<east_h>\d{1,2})(?::?(?P<east_m>\d{2}))?(?!\d)\)?",
        r"(?P<open>\()?(?P<zone>[a-z]{1,20}(?:/[a-z_+-]{2,30}){0,2})\b"
        r"(?: (?:standard |daylight )?time)?\)?",
    ),
}
_COMPILED = {
    name: [re.compile(pattern, re.IGNORECASE | re.ASCII) for pattern in patterns]
    for name, patterns in _PIECES.items()
}
_SEPARATOR = re.compile(r"[ ,]{0,3}(?:(?:at|on|the) |T(?=\d))?", re.IGNORECASE)
_ABBREVIATION = re.compile(r"[A-Z]{2,5}")

# Abbreviations with a single meaning: "IST", "CST" and "BST" have several. Hours east of UTC.
_ABBREVIATIONS: Mapping[str, float] = {
    "utc": 0,
    "gmt": 0,
    "z": 0,
    "ut": 0,
    "wet": 0,
    "west": 1,
    "cet": 1,
    "cest": 2,
    "eet": 2,
    "eest": 3,
    "msk": 3,
    "hkt": 8,
    "sgt": 8,
    "jst": 9,
    "kst": 9,
    "aest": 10,
    "aedt": 11,
    "nzst": 12,
    "nzdt": 13,
    "edt": -4,
    "est": -5,
    "cdt": -5,
    "mdt": -6,
    "mst": -7,
    "pdt": -7,
    "pst": -8,
    "akdt": -8,
    "akst": -9,
    "hst": -10,
}
_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("pt", "pacific"), "America/Los_Angeles"),
    **dict.fromkeys(("mt", "mountain"), "America/Denver"),
    **dict.fromkeys(("ct", "central"), "America/Chicago"),
    **dict.fromkeys(("et", "eastern"), "America/New_York"),
    "beijing": "Asia/Shanghai",
}


class Moment(NamedTuple):
    """A point in time that was read from a text.

    Attributes:
        unix_s: when it is.
        end: where its text ends.
        has_date: whether a day was written.
    """

    unix_s: float
    end: int
    has_date: bool


def no_zones(name: str, wall_s: float) -> float | None:
    """A `ZoneOffset` that knows no zones."""


@dataclass(frozen=True, slots=True)
class _Clock:
    """The offset of a zone's clocks from UTC: a number, or a function of its name."""

    east_s: float = 0.0
    name: str = ""
    offset: ZoneOffset = no_zones

    def unix_s(self, wall_s: float) -> float | None:
        """The time at which these clocks show a wall time."""
        east_s = self.offset(self.name, wall_s) if self.name else self.east_s
        return None if east_s is None else wall_s - east_s

    def wall_s(self, unix_s: float) -> float | None:
        """What these clocks show at a time; off by an hour at most around a change of them."""
        there = self.unix_s(unix_s)
        return None if there is None else unix_s + (unix_s - there)


def read_moment(
    text: str, now_unix_s: float, *, start: int = 0, east_s: float = 0.0, zones: ZoneOffset
) -> Moment | None:
    """The point in time at a position of a text.

    text: with single spaces only.
        now_unix_s: the current time, from which missing parts are completed.
        start: the position.
        east_s: the zone of a time without one, in seconds east of UTC.
        zones: returns the offset of a zone by its name.
        zones: knows zones by their names.

    Returns:
        None if there is none, or if its zone is unknown.
    """
    found, end = _scan(text, start)
    clock, time_s = _clock_of(found, east_s, zones), _time_of_day(found)
    if clock is None or time_s is None:
        return None
    has_date = "day" in found
    complete = _on_date if has_date else _next_time
    unix_s = complete(found, time_s, clock, now_unix_s)
    return None if unix_s is None else Moment(unix_s, end, has_date)


def _scan(text: str, start: int) -> tuple[dict[str, str], int]:
    """The parts at that position by name, and where they end."""
    found: dict[str, str] = {}
    left, end = list(_COMPILED), start
    while piece := _next_piece(text, end, left, found):
        name, match = piece
        left.remove(name)
        found |= {key: value for key, value in match.groupdict().items() if value is not None}
        end = match.end()
    return found, end


def _next_piece(
    text: str, end: int, left: list[str], found: Mapping[str, str]
) -> tuple[str, re.Match[str]] | None:
    separator = _SEPARATOR.match(text, end)
    place = separator.end() if separator is not None and found else end
    for name in left:
        if (name == "zone" and not found) or (name == "year" and not _lacks_year(found)):
            continue
        for pattern in _COMPILED[name]:
            match = pattern.match(text, place)
            if match is not None and (name != "zone" or _is_zone(match)):
                return name, match
    return None


def _lacks_year(found: Mapping[str, str]) -> bool:
    """Whether an asctime date still lacks its year, which stands at the end."""
    return "day" in found and "hour" in found and not {"year", "short"} & found.keys()


def _is_zone(match: re.Match[str]) -> bool:
    """Whether a word is a zone: it is known, or looks like one. Any word may follow a time."""
    name = match.groupdict().get("zone")
    if name is None:
        return True
    known = name.lower() in _ABBREVIATIONS or name.lower() in _NAMES
    return known or bool(match["open"]) or "/" in name or bool(_ABBREVIATION.fullmatch(name))


def _clock_of(found: Mapping[str, str], east_s: float, zones: ZoneOffset) -> _Clock | None:
    if "sign" in found:
        east_s = int(found["east_h"]) * _HOUR_S + int(found.get("east_m", "0")) * 60
        return (
            _Clock(-east_s if found["sign"] == "-" else east_s) if east_s <= _FARTHEST_S else None
        )
    name = found.get("zone")
    if name is None:
        return _Clock(east_s)
    if name.lower() in _ABBREVIATIONS:
        return _Clock(_ABBREVIATIONS[name.lower()] * _HOUR_S)
    name = _NAMES.get(name.lower(), name)
    return _Clock(name=name, offset=zones) if "/" in name else None


def _time_of_day(found: Mapping[str, str]) -> float | None:
    """Seconds since midnight; 0 if only a date is given; None if it is no valid time."""
    if not {"day", "hour", "word"} & found.keys():
        return None
    if "word" in found:
        return 0.0 if found["word"].lower() == "midnight" else DAY_S / 2
    hour, minute = int(found.get("hour", "0")), int(found.get("minute", "0"))
    second = int(found.get("second", "0"))
    if "half" in found:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found["half"].lower() == "p" else 0)
    if hour > 23 or minute > 59 or second > 60:
        return None
    return hour * _HOUR_S + minute * 60 + second + float(found.get("fraction", "0"))


def _on_date(
    found: Mapping[str, str], time_s: float, clock: _Clock, now_unix_s: float
) -> float | None:
    """The time of a date; without a year, the nearest one."""
    this_year = 1970 + int(now_unix_s / (365.2425 * DAY_S))
    if "year" in found:
        years = [int(found["year"])]
    elif "short" in found:  # RFC 9110, 5.6.7: at most 50 years ahead
        year = this_year - this_year % 100 + int(found["short"])
        years = [year - 100 if year > this_year + 50 else year]
    else:
        years = [this_year - 1, this_year, this_year + 1]
    month = (
        int(found["month"]) if "month" in found else _MONTHS.index(found["name"][:3].lower()) + 1
    )
    moments = [_midnight_s(year, month, int(found["day"])) for year in years]
    read = [clock.unix_s(midnight + time_s) for midnight in moments if midnight is not None]
    known = [moment for moment in read if moment is not None]
    return min(known, key=lambda moment: abs(moment - now_unix_s), default=None)


def _midnight_s(year: int, month: int, day: int) -> float | None:
    if not (1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]):
        return None
    return float(timegm((year, month, day, 0, 0, 0)))


def _next_time(
    found: Mapping[str, str], time_s: float, clock: _Clock, now_unix_s: float
) -> float | None:
    """The next time that the clocks there show a time of day, on a given day of the week if
    there is one."""
    wall_now = clock.wall_s(now_unix_s)
    if wall_now is None:
        return None
    today = wall_now // DAY_S
    ahead, step = 0, 1
    if "weekday" in found:  # 1970 began on a Thursday
        ahead, step = (_DAYS.index(found["weekday"][:3].lower()) - int(today) - 3) % 7, 7
    elif "relative" in found:
        ahead, step = int(found["relative"].lower() == "tomorrow"), 0
    unix_s = clock.unix_s((today + ahead) * DAY_S + time_s)
    if unix_s is not None and unix_s < now_unix_s - _JUST_PASSED_S:
        unix_s = clock.unix_s((today + ahead + step) * DAY_S + time_s)
    return unix_s
