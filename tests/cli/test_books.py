"""What the books say of today, wherever the day began."""

from __future__ import annotations

from dataclasses import astuple
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.cli.books import Page, Today, pages
from batchwrap.throttle.stores import MemoryStore, TokenTotals
from batchwrap.throttle.stores.contract import DAY_S, MINUTES_KEPT_S

ZONES = ["America/Los_Angeles", "Asia/Tokyo", "Asia/Kathmandu"]


def unix(text: str) -> float:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def page_of(now_s: float, spends: list[tuple[float, int]]) -> Page:
    """The page for requests with so many prompt tokens at these times."""
    clock = [0.0]
    store = MemoryStore(lambda: clock[0])
    for clock[0], amount in sorted(spends):
        store.spend("a", "m", TokenTotals(1, amount))
    [page] = pages(store.usage(), now_s, ZONES)
    return page


def today(page: Page, zone: str) -> Today:
    """The running day in a zone."""
    return next(day for day in page.today if day.zone == zone)


@given(
    st.floats(unix("2026-01-01"), unix("2027-01-01")),
    st.lists(st.tuples(st.floats(0, 3 * DAY_S), st.integers(0, 1_000)), min_size=1),
)
def test_today(now_s: float, spends: list[tuple[float, int]]) -> None:
    """What was really spent lies between the bounds; they meet as long as the minutes are kept."""
    made = [(now_s - ago_s, amount) for ago_s, amount in spends]
    for day in page_of(now_s, made).today:
        truth = [amount for at_s, amount in made if at_s >= day.start_unix_s]
        assert day.spent.prompt_tokens <= sum(truth) <= day.most.prompt_tokens
        assert day.spent.requests <= len(truth) <= day.most.requests
        if day.zone == "UTC" or day.start_unix_s >= now_s - MINUTES_KEPT_S:
            assert day.spent == day.most


@pytest.mark.parametrize(
    ("zone", "start", "spent", "unclear"),
    [
        ("America/Los_Angeles", "2026-11-21T08:00", 1, 3),
        ("Asia/Tokyo", "2026-11-20T15:00", 3 + 1, 5 + 7),
        ("Asia/Kathmandu", "2026-11-20T18:15", 3 + 1, 5 + 7),
        ("UTC", "2026-11-21T00:00", 3 + 1, 0),
    ],
)
def test_a_day_that_began_long_ago(zone: str, start: str, spent: int, unclear: int) -> None:
    """Days of UTC inside of it are certain, and so are the minutes that are kept."""
    now_s = unix("2026-11-21T12:00")
    times = {"20T14:00": 5, "20T18:00": 7, "21T01:00": 3, "21T11:30": 1}
    page = page_of(now_s, [(unix(f"2026-11-{at}"), amount) for at, amount in times.items()])
    day = today(page, zone)
    assert day.start_unix_s == unix(start)
    assert (day.spent.prompt_tokens, day.unclear.prompt_tokens) == (spent, unclear)


def test_a_day_that_has_just_begun() -> None:
    """In its first hour it is told from the minutes, to the token."""
    times = {"07:50": 5, "08:10": 7}
    spends = [(unix(f"2026-11-21T{at}"), amount) for at, amount in times.items()]
    day = today(page_of(unix("2026-11-21T08:40"), spends), "America/Los_Angeles")
    assert (astuple(day.spent), day.unclear) == ((1, 7, 0, 0), TokenTotals())


def test_minutes_and_days() -> None:
    """The last five minutes and the seven days before this one, newest first."""
    now_s = unix("2026-11-21T12:00:30")
    minutes = [(now_s - 60 * number, 100 + number) for number in range(7)]
    days = [(now_s - DAY_S * number, 200 + number) for number in range(1, 10)]
    page = page_of(now_s, minutes + days)
    assert [line.spent.prompt_tokens for line in page.minutes] == [100, 101, 102, 103, 104]
    assert [line.spent.prompt_tokens for line in page.days] == list(range(201, 208))
    assert page.days[0].start_unix_s == unix("2026-11-20")


def test_pages() -> None:
    """Each account and model has its own."""
    store = MemoryStore()
    for account, model in (("b", "m"), ("a", "n"), ("a", "m"), ("a", "n")):
        store.spend(account, model, TokenTotals(1, 10, 4, 2))
    found = pages(store.usage(), datetime.now(UTC).timestamp())
    assert [(page.account, page.model) for page in found] == [("a", "m"), ("a", "n"), ("b", "m")]
    assert sum(line.spent.requests for line in found[1].minutes) == 2
