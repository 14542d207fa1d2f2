"""Days begin at midnight where the provider counts them."""

from datetime import UTC, datetime

import pytest

from batchwrap.options import Limit
from batchwrap.throttle.periods import meters_at, next_midnight_s


def unix(text: str) -> float:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("zone", "now", "midnight"),
    [
        ("UTC", "2026-11-21T13:00", "2026-11-22T00:00"),
        ("UTC", "2026-11-21T00:00", "2026-11-22T00:00"),
        ("America/Los_Angeles", "2026-11-21T07:59", "2026-11-21T08:00"),
        ("America/Los_Angeles", "2026-11-21T08:00", "2026-11-22T08:00"),
        ("America/Los_Angeles", "2026-07-21T08:00", "2026-07-22T07:00"),
        ("America/Los_Angeles", "2026-11-01T07:00", "2026-11-02T08:00"),
        ("Asia/Kathmandu", "2026-11-21T13:00", "2026-11-21T18:15"),
    ],
)
def test_midnight(zone: str, now: str, midnight: str) -> None:
    """The next one, in summer and in winter time, and on the day when it changes."""
    assert next_midnight_s(zone, unix(now)) == unix(midnight)


def test_meters() -> None:
    """Each limit's periods begin in its own zone; shorter ones evenly within the day."""
    limits = (
        Limit("requests", 50, 86_400, "fixed", zone="America/Los_Angeles"),
        Limit("requests", 20, 60, "fixed"),
    )
    made = meters_at(limits, unix("2026-11-21T13:00"))
    assert [meter.offset_s for meter in made] == [8 * 3_600, 0]
    assert meters_at(limits, unix("2026-07-21T13:00"))[0].offset_s == 7 * 3_600
