"""When fixed periods begin: at midnight of a limit's time zone, and evenly from there on."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from batchwrap.core.limits.windows import Meter, meters
from batchwrap.options import Limit

# Every zone's midnight is at a quarter of an hour UTC, so within one the next is the same.
_QUARTER_S = 900


def meters_at(limits: tuple[Limit, ...], now_unix_s: float) -> tuple[Meter, ...]:
    """What the arithmetic needs of these limits today."""
    return _meters(limits, int(now_unix_s // _QUARTER_S))


def next_midnight_s(zone: str, now_unix_s: float) -> float:
    """When the next day begins there, in seconds since 1970."""
    there = ZoneInfo(zone)
    tomorrow = datetime.fromtimestamp(now_unix_s, there).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), there).timestamp()


@lru_cache(maxsize=64)
def _meters(limits: tuple[Limit, ...], quarter: int) -> tuple[Meter, ...]:
    now_s = float(quarter * _QUARTER_S)
    return meters(limits, [next_midnight_s(limit.zone, now_s) % limit.per_s for limit in limits])
