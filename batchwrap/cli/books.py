"""What the books of a store say of the last minutes, of today, and of the last days.

The books keep minutes for an hour, and days in UTC. A day that began at another time is
therefore known from its minutes in its first hour. After that a part of it is unclear: what
was spent in the UTC day in which it began, at minutes that are not kept any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, time
from itertools import groupby
from zoneinfo import ZoneInfo

from batchwrap.throttle.stores import BookLine, TokenTotals
from batchwrap.throttle.stores.contract import DAY_S, MINUTE_S, MINUTES_KEPT_S

# How many are shown: this minute and those before it, and the days before this one.
_MINUTES, _DAYS = 5, 7


@dataclass(frozen=True, slots=True)
class Today:
    """The running day, as one time zone has it.

    Attributes:
        zone: the name of the time zone.
        start_unix_s: its midnight.
        spent: what was spent since, as far as it is certain.
        unclear: what may have been spent since as well, or before.
    """

    zone: str
    start_unix_s: float
    spent: TokenTotals
    unclear: TokenTotals

    @property
    def most(self) -> TokenTotals:
        """All that may have been spent in it."""
        return _sum([self.spent, self.unclear])


@dataclass(frozen=True, slots=True)
class Page:
    """What one account has spent on one model.

    Attributes:
        account: the account's name.
        model: the model's.
        minutes: the lines of the last five minutes, newest first; none where nothing was spent.
        today: the running day: here, where the provider counts it, and in UTC.
        days: the lines of the seven UTC days before this one, newest first.
    """

    account: str
    model: str
    minutes: tuple[BookLine, ...]
    today: tuple[Today, ...]
    days: tuple[BookLine, ...]


def pages(lines: Iterable[BookLine], now_unix_s: float, zones: Iterable[str] = ()) -> list[Page]:
    """The books by account and model, sorted.

    Args:
        lines: the books.
        now_unix_s: the time of day.
        zones: time zones in which providers begin their days.
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
    cut_s = start_s // DAY_S * DAY_S
    if cut_s == start_s:
        return Today(zone, start_s, _sum(whole), TokenTotals())
    known = [line for line in minutes if cut_s <= line.start_unix_s < cut_s + DAY_S]
    inside = [line.spent for line in known if line.start_unix_s >= start_s]
    unclear = TokenTotals()
    if start_s < now_s - MINUTES_KEPT_S:
        cut = _sum(line.spent for line in days if line.start_unix_s == cut_s)
        unclear = _less(cut, _sum(line.spent for line in known))
    return Today(zone, start_s, _sum(whole + inside), unclear)


def _midnights(now_s: float, zones: Iterable[str]) -> dict[float, str]:
    """When the running day began: here, in each zone, in UTC. Of equal ones the last is named."""
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
