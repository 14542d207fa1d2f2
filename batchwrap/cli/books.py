"""Reads the books of a store: what was spent in the last minutes, today, and in the last days.

The books are the usage records of a store. They keep single minutes for an hour, and days in UTC.
A day that begins at another time is therefore known exactly only in its first hour, from its
minutes. After that a part of it is unclear: what was spent in the UTC day in which it began, in
minutes that are not kept any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, time
from itertools import groupby
from zoneinfo import ZoneInfo

from batchwrap.throttle.stores import BookLine, TokenTotals
from batchwrap.throttle.stores.contract import DAY_S, MINUTE_S, MINUTES_KEPT_S

# How many are shown: minutes including the current one, and days before the current one.
_MINUTES, _DAYS = 5, 7


@dataclass(frozen=True, slots=True)
class Today:
    """The current day in one time zone.

    Attributes:
        zone: the name of the time zone.
        start_unix_s: the midnight at which it began.
        spent: what was certainly spent since then.
        unclear: what was spent either since then or before.
    """

    zone: str
    start_unix_s: float
    spent: TokenTotals
    unclear: TokenTotals

    @property
    def most(self) -> TokenTotals:
        """The most that may have been spent in it."""
        return _sum([self.spent, self.unclear])


@dataclass(frozen=True, slots=True)
class Page:
    """What one account has spent on one model.

    Attributes:
        account: the name of the account.
        model: the name of the model.
        minutes: the records of the last five minutes, newest first, without empty minutes.
        today: the current day in the local zone, in the provider's zones, and in UTC.
        days: the records of the seven UTC days before this one, newest first.
    """

    account: str
    model: str
    minutes: tuple[BookLine, ...]
    today: tuple[Today, ...]
    days: tuple[BookLine, ...]


def pages(lines: Iterable[BookLine], now_unix_s: float, zones: Iterable[str] = ()) -> list[Page]:
    """The books by account and model, sorted.

    Args:
        lines: the records.
        now_unix_s: the current time.
        zones: the time zones in which providers begin their days.
    """
    midnights = _midnights(now_unix_s, zones)
    by_page = sorted(lines, key=lambda line: (line.key, line.model, -line.start_unix_s))
    return [
        _page(account, model, tuple(group), midnights, now_unix_s)
        for (account, model), group in groupby(by_page, lambda line: (line.key, line.model))
    ]


def _page(
    account: str, model: str, lines: Sequence[BookLine], midnights: dict[float, str], now_s: float
) -> Page:
    minutes = [line for line in lines if line.span == "minute"]
    days = [line for line in lines if line.span == "day"]
    return Page(
        account,
        model,
        tuple(line for line in minutes if line.start_unix_s > now_s - _MINUTES * MINUTE_S),
        tuple(_since(start_s, minutes, days, zone, now_s) for start_s, zone in midnights.items()),
        tuple(
            line
            for line in days
            if now_s - (_DAYS + 1) * DAY_S < line.start_unix_s <= now_s - DAY_S
        ),
    )


def _since(
    start_s: float, minutes: Sequence[BookLine], days: Sequence[BookLine], zone: str, now_s: float
) -> Today:
    whole = [line.spent for line in days if line.start_unix_s >= start_s]
    # The UTC day in which the zone's day began: only a part of it belongs to that day.
    cut_s = start_s // DAY_S * DAY_S
    if cut_s == start_s:
        return Today(zone, start_s, _sum(whole), TokenTotals())
    known = [line for line in minutes if cut_s <= line.start_unix_s < cut_s + DAY_S]
    inside = [line.spent for line in known if line.start_unix_s >= start_s]
    unclear = TokenTotals()
    # The minutes before the last hour are gone, and the day's record does not tell them apart.
    if start_s < now_s - MINUTES_KEPT_S:
        cut = _sum(line.spent for line in days if line.start_unix_s == cut_s)
        unclear = _less(cut, _sum(line.spent for line in known))
    return Today(zone, start_s, _sum(whole + inside), unclear)


def _midnights(now_s: float, zones: Iterable[str]) -> dict[float, str]:
    """The beginnings of the current day: local, in each zone, in UTC; equal ones are merged."""
    here = datetime.fromtimestamp(now_s).astimezone().tzname() or "here"
    there = {_midnight(now_s, ZoneInfo(zone)): zone for zone in zones}
    return {_midnight(now_s, None): here, **there, now_s // DAY_S * DAY_S: "UTC"}


def _midnight(now_s: float, zone: ZoneInfo | None) -> float:
    today = datetime.fromtimestamp(now_s, zone).date()
    return datetime.combine(today, time(), zone).timestamp()


def _sum(spent: Iterable[TokenTotals]) -> TokenTotals:
    return sum(spent, TokenTotals())


def _less(whole: TokenTotals, part: TokenTotals) -> TokenTotals:
    pairs = zip(astuple(whole), astuple(part), strict=True)
    return TokenTotals(*(max(0, all_of_it - known) for all_of_it, known in pairs))
