"""Time zones: when fixed periods begin (midnight in a limit's zone), and the offsets of zones."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from batchwrap.core.limits.windows import LimitMeter, meters
from batchwrap.options import Limit

# Midnight in any zone is at a quarter of an hour UTC, so the next one is the same within a quarter.
_QUARTER_S = 900


def meters_at(limits: tuple[Limit, ...], now_unix_s: float) -> tuple[LimitMeter, ...]:
    """The meters of these limits, for the arithmetic, as of today."""
    return _meters(limits, int(now_unix_s // _QUARTER_S))


def next_midnight_s(zone: str, now_unix_s: float) -> float:
    """When the next day begins in the zone, in seconds since 1970."""
    there = ZoneInfo(zone)
    tomorrow = datetime.fromtimestamp(now_unix_s, there).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), there).timestamp()


def zone_offset_s(name: str, wall_s: float) -> float | None:
    """A zone's offset in seconds east of UTC at a local time.

    Args:
        name: a name of the zone database, in upper or lower case; from an untrusted source.
        wall_s: the local time, in seconds since 1970 as if it were UTC.

    Returns:
        None for an unknown zone.
    """
    zone = _zone(name.lower())
    if zone is None:
        return None
    try:
        offset = datetime.fromtimestamp(wall_s, UTC).replace(tzinfo=zone).utcoffset()
    except (ValueError, OverflowError, OSError):
        return None
    return None if offset is None else offset.total_seconds()


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo | None:
    """A zone by its name in lower case."""
    known = _names().get(name)
    return None if known is None else ZoneInfo(known)


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones()}


@lru_cache(maxsize=64)
def _meters(limits: tuple[Limit, ...], quarter: int) -> tuple[LimitMeter, ...]:
    now_s = float(quarter * _QUARTER_S)
    return meters(limits, [next_midnight_s(limit.zone, now_s) % limit.per_s for limit in limits])
