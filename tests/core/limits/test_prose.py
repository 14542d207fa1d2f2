"""Times in the sentences of providers: the known wordings, and any moment written anyhow."""

from __future__ import annotations

from calendar import timegm
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchwrap.core.limits.prose import CUES, Cue, seconds_in_prose
from batchwrap.core.limits.resets import LONGEST_S
from batchwrap.providers import provider_named
from batchwrap.throttle.periods import zone_offset_s

MINUTE, HOUR, DAY = 60, 3_600, 86_400
# A Monday, 06:00:00 UTC.
NOW = datetime(2026, 7, 27, 6, tzinfo=UTC).timestamp()


def told(text: str, now: float = NOW, provider: str = "") -> float | None:
    """The wait that a message asks for."""
    offset_s = provider_named(provider).signals.utc_offset_s
    return seconds_in_prose(text, now, utc_offset_s=offset_s, zones=zone_offset_s)


def until(*date: int) -> float:
    """Seconds from now to a moment in UTC."""
    return timegm((*date, *[0] * (6 - len(date)))) - NOW


CUE_TIMES = [
    4 * DAY + 20 * HOUR + 9 * MINUTE,
    6,
    587 * HOUR + 33 * MINUTE,
    3 * HOUR + 56 * MINUTE,
    until(2026, 8, 25),
    3 * HOUR + 47 * MINUTE,
    45,
    until(2026, 12, 16, 19, 15, 56),
    until(2026, 8, 18, 20, 18, 34),
    until(2027, 6, 1, 17),
    until(2026, 8, 24, 23, 41, 44),
]


@pytest.mark.parametrize(("cue", "seconds"), list(zip(CUES, CUE_TIMES, strict=True)))
def test_cues(cue: Cue, seconds: float) -> None:
    """Each way to announce a time is understood as it was published."""
    assert told(cue.example) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Your quota will reset after 27h41m36s.", 27 * HOUR + 41 * MINUTE + 36),
        ("Please try again in 6m0s.", 6 * MINUTE),
        ("Please retry after 12.5s", 12.5),
        ("Limit resets in: 6m0s", 6 * MINUTE),
        ("try again in 1 day 2 hours", 26 * HOUR),
        ("5-hour usage limit reached. Resets in 3hr 12min", 3 * HOUR + 12 * MINUTE),
        ("5-hour usage limit reached. Resets in 50min.", 50 * MINUTE),
        ("Monthly usage limit reached. Resets in 19 days.", 19 * DAY),
        ("Please try again in 51 hours. Please review our Terms", 51 * HOUR),
        ("Upgrade to Pro (https://example) or try again in 5 days 22 hours.", 142 * HOUR),
        ("Please wait for your limit to reset in 18 minutes.", 18 * MINUTE),
        ("try again in an hour", HOUR),
        ("Please wait a minute and retry", MINUTE),
        ("wait one minute", MINUTE),
        ("请求过多，请20秒后重试", 20),
        ("请在 2 小时后重试", 2 * HOUR),
        ("The quota will reset at 07-27 09:25:00 UTC.", until(2026, 7, 27, 9, 25)),
        ("The quota will reset at 01-02 09:25:00 UTC.", until(2027, 1, 2, 9, 25)),
        ("resets 4pm (UTC)", until(2026, 7, 27, 16)),
        ("resets 5am (UTC)", until(2026, 7, 28, 5)),
        ("You've hit your session limit · resets 12:50am (America/Los_Angeles)", 110 * MINUTE),
        ("You've hit your session limit · resets 8:30pm (Asia/Tokyo)", until(2026, 7, 27, 11, 30)),
        ("Weekly limit reached · resets Jul 28 at 4am (Europe/Vienna)", until(2026, 7, 28, 2)),
        ("Limit reached · resets Dec 15, 3pm (America/Chicago)", until(2026, 12, 15, 21)),
        ("resets Thu 4:00 PM (America/New_York)", until(2026, 7, 30, 20)),
        ("resets Monday at 5am UTC", until(2026, 8, 3, 5)),
        ("resets tomorrow at 3pm (Asia/Tokyo)", DAY),
        ("resets at 3pm today UTC", until(2026, 7, 27, 15)),
        ("Access resets at 10:57 PM GMT-3.", until(2026, 7, 28, 1, 57)),
        ("resets at 12:30 (UTC+5:30)", HOUR),
        ("Your limit will reset at Oct 31, 11:59 PM PT.", until(2026, 11, 1, 6, 59)),
        ("The quota will reset at midnight UTC.", until(2026, 7, 28)),
        ("The quota will reset at midnight Pacific Time.", until(2026, 7, 27, 7)),
        ("(resets 03:16 on 2 Dec)", until(2026, 12, 2, 3, 16)),
        ("or try again at Aug 5th, 2026 3:00 PM.", until(2026, 8, 5, 15)),
        ("try again at Oct 15th, 2026", until(2026, 10, 15)),
        ("try again at 3:00 PM.", until(2026, 7, 27, 15)),
        ("reset on August 20, 2026 at 2:00 AM or switch to auto", until(2026, 8, 20, 2)),
        ("limit resets at: 2026-09-11T10:13:01+0000", until(2026, 9, 11, 10, 13, 1)),
        ("retry after Wed, 05 Aug 2026 15:00:00 GMT", until(2026, 8, 5, 15)),
        ("Claude AI usage limit reached|1785200000", 1_785_200_000 - NOW),
        ("Your limit will reset at 2026-08-09 05:38:28", until(2026, 8, 9, 5, 38, 28)),
        ("reset in under a minute", MINUTE),
        ("Try again in ~5 minutes", 5 * MINUTE),
        ("try again in approx. 5 min", 5 * MINUTE),
        ("reset_at: 2026-07-27T09:00:00Z", 3 * HOUR),
        ("resets_in=3h", 3 * HOUR),
        ("limit will reset at 1785200000", 1_785_200_000 - NOW),
        ("limit resets daily at midnight (America/Los_Angeles)", HOUR),
        ("Limit resets every day at 00:00 UTC", until(2026, 7, 28)),
        ("usage resets at 00:00 UTC on August 1, 2026", until(2026, 8, 1)),
        ("try again at 7:15 PM UTC on Tuesday", until(2026, 7, 28, 19, 15)),
        ("Your access will be restored on Monday, Aug 10 at 9:00 AM PDT.", until(2026, 8, 10, 16)),
        ("Reset time: 2026-07-27 09:00:00 +0000 UTC", 3 * HOUR),
        ("Wait a moment, then try again in 5 s.", 5),
    ],
)
def test_wordings(text: str, seconds: float) -> None:
    """Messages of providers and agents, as they were published or with other numbers."""
    assert told(text) == pytest.approx(seconds)


def test_clocks_of_a_provider() -> None:
    """Where the provider's times are known to be of a zone that they do not name, they are."""
    message = "Usage limit reached for 5 hour. Your limit will reset at 2026-07-27 19:00:00"
    assert (told(message, provider="zai"), told(message)) == (5 * HOUR, 13 * HOUR)


@pytest.mark.parametrize(
    "text",
    [
        "Please try again later.",
        "Please wait a moment and try again.",
        "Try again tomorrow.",
        "resets in a few minutes",
        "resets every 5 hours",
        "try again at the top of the hour",
        "Your quota will be refreshed in the next cycle.",
        "Your quota will reset when the current 7-day window ends.",
        "or wait for limits to reset (every 5h and every week.)",
        "resets at 6:30pm IST",  # India, Ireland, Israel
        "resets at 6pm (Mars/Olympus)",
        "retry in 3:12",
        "resets at 27:00 UTC",
        "resets at 13pm (UTC)",
        "resets at 2026-02-30 00:00 UTC",
        "resets at 3/4/2027 10:00",  # March or April
        "resets at 4pm (UTC+19)",
        "You can use this model for 5 days",
        "Access is available for 5 days",
        "The reset was at 2026-07-27 05:00:00 UTC, it will reset at 2025-07-27 05:00 UTC",
        "try again in 0s",
        "5 hours",
        "Requests per day: 200 at 4pm (UTC)",
    ],
)
def test_no_wall_from_a_guess(text: str) -> None:
    """What names no time, or one that cannot be told from another, says nothing."""
    assert told(text) is None


def test_a_time_that_has_just_passed() -> None:
    """A time of the day that passed a minute ago is not the one of tomorrow."""
    assert told("resets 6am (UTC)", NOW + 60) is None
    assert told("resets 6am (UTC)", NOW + 600) == DAY - 600


Zone = tuple[str, tzinfo]

ZONES: st.SearchStrategy[Zone] = st.sampled_from(
    [
        *[("UTC", UTC), ("(UTC)", UTC), ("Z", UTC), ("GMT", UTC), ("gmt", UTC)],
        *[("JST", timezone(timedelta(hours=9))), ("PST", timezone(timedelta(hours=-8)))],
        *[("+02:00", timezone(timedelta(hours=2))), ("-0330", timezone(-timedelta(hours=3.5)))],
        *[("UTC+8", timezone(timedelta(hours=8))), ("(GMT-3)", timezone(-timedelta(hours=3)))],
        *[(f"({name})", ZoneInfo(name)) for name in ("Asia/Kolkata", "Pacific/Auckland")],
        *[(name, ZoneInfo(name)) for name in ("Europe/Berlin", "America/Sao_Paulo")],
    ]
)
DATES = st.sampled_from(
    [
        *["%Y-%m-%d", "%Y/%m/%d", "%m-%d", "%b %d", "%B %d, %Y", "%b %dth, %Y", "%d %b"],
        *["%d %B %Y", "%b. %d", "%dnd of %B", "%a, %d %b %Y", "%A %d %B", "%a %b %d"],
    ]
)
CLOCKS = st.sampled_from(["%H:%M:%S", "%I:%M:%S %p", "%I:%M:%S%p"])
JOINTS = st.sampled_from([" ", " at ", ", ", "  "])
CALLS = st.sampled_from(
    [
        *["Try again at {}", "resets {}", "Resets: {}.", "limit · resets {} · /upgrade"],
        *["Your quota will reset on {}, or upgrade", "Please wait until {}", "retry after {}"],
        *["Please wait for your limit to reset on {} or switch", "available again at {}!"],
    ]
)


@given(CALLS, DATES, JOINTS, CLOCKS, ZONES, st.integers(1, 100 * DAY), st.integers(0, 10**8))
def test_any_moment(
    call: str, date: str, joint: str, clock: str, zone: Zone, ahead: int, later: int
) -> None:
    """A moment that is written in any of these ways is the same instant when it is read."""
    now, (name, info) = NOW + later, zone
    there = datetime.fromtimestamp(now + ahead, info)
    if there.utcoffset() != there.replace(fold=0).utcoffset():
        return  # the hour that clocks show twice
    written = f"{there.strftime(date)}{joint}{there.strftime(clock)}"
    spaced = "" if name[0] in "+-Z" and clock[-1] == "S" else " "
    assert told(call.format(f"{written}{spaced}{name}"), now) == pytest.approx(ahead)


@given(CALLS, CLOCKS, ZONES, st.integers(1, DAY - 300), st.integers(0, 10**8))
def test_any_time_of_the_day(call: str, clock: str, zone: Zone, ahead: int, later: int) -> None:
    """A time without a date is the next one, wherever the clock hangs."""
    now, (name, info) = NOW + later, zone
    there, here = datetime.fromtimestamp(now + ahead, info), datetime.fromtimestamp(now, info)
    if here.utcoffset() != there.utcoffset():
        return  # a day with another number of hours
    spaced = "" if name[0] in "+-Z" and clock[-1] == "S" else " "
    assert told(call.format(f"{there.strftime(clock)}{spaced}{name}"), now) == pytest.approx(ahead)


UNITS = {
    "s": (["s", " s", " sec", " seconds", " second"], 1),
    "m": (["m", " min", "min", " minutes", " mins"], MINUTE),
    "h": (["h", "hr", " hours", " hrs", " h"], HOUR),
    "d": (["d", " days", " day"], DAY),
}
WAITS = st.sampled_from(
    [
        *["Please try again in {}.", "retry after {}", "wait {}", "Resets in {}. Upgrade"],
        *["quota will reset after {}", "Please wait {} before trying again"],
    ]
)


@given(
    WAITS,
    st.lists(st.sampled_from("dhms"), min_size=1, max_size=4, unique=True),
    st.integers(1, 59),
    st.sampled_from(["", " ", ", ", " and "]),
    st.integers(0, 4),
)
def test_any_duration(call: str, units: list[str], amount: int, joint: str, way: int) -> None:
    """Durations in any units, short or long, glued or spaced, are the same time."""
    names = [UNITS[unit][0][way % len(UNITS[unit][0])] for unit in units]
    glue = joint if joint or all(len(name) == 1 for name in names) else " "
    seconds = sum(amount * UNITS[unit][1] for unit in units)
    assert told(call.format(glue.join(f"{amount}{name}" for name in names))) == seconds


PIECES = st.sampled_from(
    [
        *[
            "try again",
            "resets",
            "wait",
            "at",
            "in",
            "for",
            "until",
            "4pm",
            "10:30",
            "(UTC)",
            "UTC",
        ],
        *["Aug", "5th", "2026", "07-27", "9" * 40, "1h", "60", "seconds", "an", "hour", "(", ")"],
        *["Europe/Berlin", "../../etc/passwd", "+99:99", "-05:00", "·", "|", "Monday"],
        *[
            "将在",
            "后",
            "秒",
            "limit reached|",
            "1790000000",
            "0",
            "-1",
            "00-00",
            "Feb",
            "30",
            "\x00",
        ],
    ]
)


@given(st.lists(PIECES | st.text(max_size=5), max_size=30), st.floats(0, 4e9))
@example(["again"] * 5_000, NOW)
@example(["resets in", "9" * 8_000], NOW)
@example(["resets", *["1h"] * 2_000], NOW)
@example(["resets at 9999-12-31 23:59:60 +14:00"], 0.0)
@example(["wait"] * 3 + [" "] * 8_000 + ["5s"], NOW)
def test_nothing_raises(pieces: list[str], now: float) -> None:
    """Whatever a message holds, the answer is None or a time that can be waited for."""
    for text in (" ".join(pieces), "".join(pieces)):
        seconds = told(text, now)
        assert seconds is None or 0 < seconds <= LONGEST_S


@given(st.text(max_size=30), st.floats(-1e18, 1e18))
def test_any_zone(name: str, wall_s: float) -> None:
    """A zone of any name is known or not, and no name reaches a file."""
    for given_name in (name, f"../{name}", "Europe", "posix/UTC", "/etc/passwd"):
        east_s = zone_offset_s(given_name, wall_s)
        assert east_s is None or abs(east_s) <= 16 * HOUR


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Try again in two hours.", 2 * HOUR),
        ("Please wait half an hour before retrying.", HOUR / 2),
        ("You can retry in an hour", HOUR),
        ("Try again in an hour and a half.", 1.5 * HOUR),
        ("Limit resets in one and a half hours", 1.5 * HOUR),
        ("Come back in a quarter of an hour.", 15 * MINUTE),
        ("Please wait twenty-five minutes", 25 * MINUTE),
        ("Please wait forty five seconds", 45),
        ("Please wait 1 hour(s) 30 minute(s) before retrying", 1.5 * HOUR),
        ("Try again in 2 and a half days", 2.5 * DAY),
        ("Resets in three-quarters of an hour", 45 * MINUTE),
        ("Try again in a half-hour.", HOUR / 2),
        ("Try again in half-an-hour.", HOUR / 2),
        ("Please re-try in twenty-one seconds.", 21),
        ("Please retry after 1,200 seconds.", 20 * MINUTE),
        ("Try again in 1d and 1h.", 25 * HOUR),
        ("Please retry after PT1M30S.", 90),
        ("Rate limited, resets in P1DT2H", 26 * HOUR),
        ("Please wait three quarters of an hour", 45 * MINUTE),
        ("Please wait 1,200 seconds", 1_200),
        ("Please wait a few minutes", None),
        ("Try again in a couple of hours", None),
        ("Please retry the second request", None),
    ],
)
def test_amounts_in_words(text: str, seconds: float | None) -> None:
    """Amounts in words and ISO 8601 durations are read; what names no amount is none."""
    assert told(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        # google-api-core prints the detail as protobuf's text.
        ("429 You exceeded your quota. [retry_delay {\n  seconds: 41\n}\n]", 41),
        ('{"error": {"details": [{"retryDelay": "37s"}]}}', 37),
        ("429 Too Many Requests, headers: {'retry-after': '12'}", 12),
        ("RateLimitError(retry_after=12.5)", 12.5),
        ("Retry-After: 2026-07-27T06:01:00Z", 60),
        ("retry_after: 3/5", None),
    ],
)
def test_quoted_fields(text: str, seconds: float | None) -> None:
    """A field or a header that is quoted in a text counts as if it stood alone."""
    assert told(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please wait 5 minutes before contacting support.", None),
        ("Try in vain? Wait 2 hours, then open a ticket.", None),
        ("Wait 5 minutes before contacting support. Retry in 20s.", 20),
        ("Wait 5 minutes before you retry, or contact support.", 5 * MINUTE),
        ("Wait 30 seconds and send another request.", 30),
        ("The request timed out after waiting 30 seconds.", None),
        ("If it still fails after waiting 10 minutes, contact support.", None),
        ("Wait 5 minutes before reporting this.", None),
        ("Please wait 48 hours for support to reply.", None),
        ("Retry in a few; the typical wait is 2 days for support tickets.", None),
        ("Wait 24 hours for your quota increase request to be approved.", None),
        ("Please wait 2 minutes for your quota to be restored.", 2 * MINUTE),
        ("Please wait 30 seconds for the provider to recover.", 30),
        ("Please wait 10 minutes before calling our hotline.", None),
        ("Please wait 10 minutes before sending another request.", 10 * MINUTE),
        ("If the error persists after waiting 5 minutes, tell us.", None),
        ("Wait 5 minutes before your ticket is answered.", None),
        ("Please retry after waiting 30 seconds.", 30),
    ],
)
def test_a_wait_for_something_else(text: str, seconds: float | None) -> None:
    """A time to wait for an answer of people, or one that is over, is no time to retry."""
    assert told(text) == seconds
