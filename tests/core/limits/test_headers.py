"""Rate-limit headers in every dialect, and the times in them."""

import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.limits.headers import Observation, read_headers
from batchwrap.core.limits.prose import seconds_in_prose
from batchwrap.core.limits.resets import number, seconds_until
from batchwrap.providers import provider_files, provider_named

NOW = 1_790_000_000.0  # 2026-09-21T14:13:20Z
MINUTE, HOUR, DAY, MONTH = 60.0, 3_600.0, 86_400.0, 2_592_000.0

NAME_PARTS = ["x", "ratelimit", "tokenlimit", "anthropic", "limit", "remaining", "reset"]
NAME_PARTS += ["requests", "tokens", "req", "input", "minute", "day", "per", "dynamic"]

Told = tuple[object, ...]


def told(provider: str, headers: dict[str, str]) -> list[Told]:
    """What is understood, as plain tuples in the order of the fields, sorted."""
    seen = read_headers(headers, NOW, provider_named(provider).signals.headers)
    tuples = [
        (o.kind, o.per_s, o.limit, o.remaining, o.reset_s and round(o.reset_s, 6), o.reset_means)
        for o in seen
    ]
    return sorted(tuples, key=str)


def rungs(prefix: str, what: str, limit: str, remaining: str, reset: str = "") -> dict[str, str]:
    """The two or three headers of one limit."""
    values = {"limit": limit, "remaining": remaining, "reset": reset}
    return {f"{prefix}-{name}-{what}": value for name, value in values.items() if value}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("1m26.4s", 86.4),
        ("120ms", 0.12),
        ("2h3m", 7380),
        ("1h2m3s", 3723),
        ("0s", 0),
        ("-5s", 0),
        ("6 seconds", 6),
        ("1 minute and 3 seconds", 63),
        ("60", 60),
        (" 60 ", 60),
        ("33011.382867097855", 33011.382867097855),
        ("0", 0),
        ("-1", 0),
        ("1790000020", 20),
        ("1790000020500", 20.5),
        ("50000000000", 50_000_000_000 - NOW),
        ("1600000000", 0),
        ("Mon, 21 Sep 2026 14:13:30 GMT", 10),
        ("Mon, 21 Sep 2026 14:13:10 GMT", 0),
        ("Mon, 21 Sep 2026 14:13:30 +0000", 10),
        ("Mon, 21 Sep 2026 16:13:30 +0200", 10),
        ("Monday, 21-Sep-26 14:13:30 GMT", 10),
        ("Monday, 21-Sep-76 14:13:30 GMT", 1_577_923_210),
        ("Tuesday, 21-Sep-77 14:13:30 GMT", 0),  # of 1977: at most 50 years ahead
        ("Mon Sep 21 14:13:30 2026", 10),
        ("Tue Sep  1 14:13:30 2026", 0),
        ("2026-09-21T14:13:30+0000", 10),
        ("2026-09-21T14:13:30Z", 10),
        ("2026-09-21T14:13:30.5Z", 10.5),
        ("2026-09-21T16:13:30+02:00", 10),
        ("2026-09-21T09:13:30-05:00", 10),
        ("2026-09-21 14:13:30", 10),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("9" * 400, None),
        ("9" * 400 + "s", None),
        ("1e3", None),
        ("٣", None),
        ("12 parsecs", None),
        ("5m of waiting", None),
        ("Mon, 21 Foo 2026 14:13:30 GMT", None),
        ("2026-13-21T14:13:30Z", None),
        ("2026-09-21T24:13:30Z", None),
        ("0000-01-01T00:00:00Z", None),
    ],
)
def test_times(text: str, seconds: float | None) -> None:
    """Every way to write a time is understood, nonsense is not."""
    assert seconds_until(text, NOW) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 300ms.", 0.3),
        ("Please try again in 1m2s. Visit 5s.example", 62),
        ("Please retry after 6 seconds. To increase your limit", 6),
        ("please try again after 1 seconds", 1),
        ("Please retry in 41.8s.", 41.8),
        ("PLEASE WAIT 2 MINUTES", 120),
        ("wait 30 metres", None),
        ("retry in " + "9" * 400 + "s", None),
        ("in 5s something else happens", None),
        ("try again in 0s", None),
        ("", None),
    ],
)
def test_times_in_prose(text: str, seconds: float | None) -> None:
    """The wait is found in a sentence that asks for one, and only there."""
    assert seconds_in_prose(text, NOW) == (None if seconds is None else pytest.approx(seconds))


@given(st.text(), st.floats(0, 4e9))
def test_any_text_is_a_time_or_none(text: str, now_unix_s: float) -> None:
    """Whatever a header holds, the answer is None or a finite time that is not negative."""
    for seconds in (
        seconds_until(text, now_unix_s),
        seconds_in_prose(f"retry in {text}", now_unix_s),
    ):
        assert seconds is None or 0 <= seconds < math.inf


@given(st.floats(0, 1e8), st.floats(1e9, 4e9))
def test_a_time_is_read_as_it_was_written(seconds: float, now_unix_s: float) -> None:
    """Seconds, durations, dates and moments of the same time mean the same."""
    whole, now = math.floor(seconds), math.floor(now_unix_s)
    hours, rest = divmod(whole, 3_600)
    ways = [
        f"{whole}",
        f"{hours}h{rest // 60}m{rest % 60}s",
        f"{now + whole}",
        f"{(now + whole) * 1000}",
        formatdate(now + whole, usegmt=True),
    ]
    assert [seconds_until(way, now) for way in ways] == [whole] * len(ways)


@pytest.mark.parametrize(
    ("provider", "headers", "expected"),
    [
        (  # cb_v1, syrax
            "cerebras",
            rungs("x-ratelimit", "requests-day", "14400", "14399", "33011.382867")
            | rungs("x-ratelimit", "requests-hour", "150", "149")
            | rungs("x-ratelimit", "tokens-minute", "60000", "59900", "11.382867"),
            [
                ("requests", DAY, 14400, 14399, 33011.382867, None),
                ("requests", HOUR, 150, 149, None, None),
                ("tokens", MINUTE, 60000, 59900, 11.382867, None),
            ],
        ),
        (  # oai_hist
            "openai",
            rungs("x-ratelimit", "requests", "60", "59", "1s")
            | rungs("x-ratelimit", "tokens", "150000", "149984", "6m0s")
            | rungs("x-ratelimit", "project-tokens", "1000", "990", "300ms"),
            [
                ("requests", MINUTE, 60, 59, 1, "full"),
                ("tokens", MINUTE, 1000, 990, 0.3, "full"),
                ("tokens", MINUTE, 150000, 149984, 360, "full"),
            ],
        ),
        (  # the same with a limit a day, as in the lower tiers
            "openai",
            rungs("x-ratelimit", "requests", "10000", "9999", "8.64s"),
            [("requests", DAY, 10000, 9999, 8.64, "full")],
        ),
        (
            "openai",
            rungs("x-ratelimit", "requests", "10000", "10000", "0s"),
            [("requests", None, 10000, 10000, 0, "full")],
        ),
        (  # azure_937: integer seconds, one name with a hyphen of its own
            "azure",
            {
                "x-ratelimit-remaining-requests": "99",
                "x-ratelimit-remaining-tokens": "9000",
                "x-rate-limit-reset-tokens": "42",
            },
            [
                ("requests", MINUTE, None, 99, None, None),
                ("tokens", MINUTE, None, 9000, 42, "window"),
            ],
        ),
        ("azure", rungs("x-ratelimit", "tokens", "-1", "-1", "0"), []),  # azure_neg1
        (  # ant_now
            "anthropic",
            {
                "anthropic-ratelimit-requests-limit": "1000",
                "anthropic-ratelimit-requests-remaining": "999",
                "anthropic-ratelimit-requests-reset": "2026-09-21T14:13:21Z",
                "anthropic-ratelimit-input-tokens-limit": "2000000",
                "anthropic-ratelimit-input-tokens-remaining": "1999000",
                "anthropic-ratelimit-input-tokens-reset": "2026-09-21T14:13:20Z",
                "anthropic-ratelimit-output-tokens-remaining": "400000",
                "anthropic-ratelimit-unified-5h-reset": "1790000020",
                "anthropic-priority-input-tokens-remaining": "5",
            },
            [
                ("input_tokens", MINUTE, 2000000, 1999000, 0, "full"),
                ("output_tokens", MINUTE, None, 400000, None, None),
                ("requests", MINUTE, 1000, 999, 1, "full"),
            ],
        ),
        (  # groq_doc
            "groq",
            rungs("x-ratelimit", "requests", "14400", "14370", "2m59.56s")
            | rungs("x-ratelimit", "tokens", "18000", "17997", "7.66s"),
            [
                ("requests", DAY, 14400, 14370, 179.56, "full"),
                ("tokens", MINUTE, 18000, 17997, 7.66, "full"),
            ],
        ),
        (  # fw, fw_hdr
            "fireworks",
            rungs("x-ratelimit", "tokens-prompt", "600", "500")
            | rungs("x-ratelimit", "tokens-cache-adjusted-prompt", "60", "50")
            | rungs("x-ratelimit", "tokens-generated", "6", "5")
            | rungs("x-ratelimit", "requests", "90", "80")
            | {"x-ratelimit-over-limit": "yes"},
            [
                ("input_tokens", MINUTE, 600, 500, None, None),
                ("output_tokens", MINUTE, 6, 5, None, None),
                ("requests", None, 90, 80, None, None),
                ("uncached_tokens", MINUTE, 60, 50, None, None),
            ],
        ),
        (  # vals: the dynamic limit is the one in force
            "together",
            {
                "x-ratelimit-limit-dynamic": "40",
                "x-ratelimit-limit": "10",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": "1",
                "x-ratelimit-remaining-dynamic": "30",
                "x-tokenlimit-limit": "1000",
                "x-tokenlimit-remaining": "900",
            },
            [
                ("requests", None, 40, 30, 1, None),
                ("tokens", None, 1000, 900, None, None),
            ],
        ),
        (  # mis_live, syrax
            "mistral",
            rungs("x-ratelimit", "req-minute", "4", "3")
            | rungs("x-ratelimit", "tokens-minute", "500000", "499990")
            | rungs("x-ratelimit", "tokens-month", "1000000000", "999999990")
            | {"x-ratelimit-tokens-query-cost": "10"},
            [
                ("requests", MINUTE, 4, 3, None, None),
                ("tokens", MINUTE, 500000, 499990, None, None),
                ("tokens", MONTH, 1000000000, 999999990, None, None),
            ],
        ),
        (  # only here a limit of 0 is meant
            "mistral",
            rungs("x-ratelimit", "req-minute", "0", "0"),
            [("requests", MINUTE, 0, 0, None, None)],
        ),
        ("", rungs("x-ratelimit", "req-minute", "0", "0"), []),
        (  # samba_hdr
            "sambanova",
            rungs("x-ratelimit", "requests", "20", "19", "1790000030")
            | rungs("x-ratelimit", "tokens-day", "200000", "0", "1790003600"),
            [
                ("requests", MINUTE, 20, 19, 30, "window"),
                ("tokens", DAY, 200000, 0, 3600, "window"),
            ],
        ),
        (  # or_doc, recall
            "openrouter",
            {
                "x-ratelimit-limit": "20",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": "1790000030000",
            },
            [("requests", None, 20, 0, 30, "window")],
        ),
        ("moonshot", {"x-ratelimit-limit": "3", "x-ratelimit-remaining": "2"}, []),
        (
            "xai",
            rungs("x-ratelimit", "requests", "480", "479"),
            [("requests", None, 480, 479, None, None)],
        ),
        (  # DigitalOcean, 12 Jun 2026
            "digitalocean",
            rungs("x-ratelimit", "tokens-per-minute", "1000", "900", "1790000020"),
            [("tokens", MINUTE, 1000, 900, 20, None)],
        ),
        (
            "",
            rungs("x-ratelimit", "requests", "60", "59", "1s"),
            [("requests", None, 60, 59, 1, None)],
        ),
        ("", {"x-ratelimit-reset-tokens": "5", "retry-after": "5", "date": "now"}, []),
        ("", rungs("x-ratelimit", "images", "5", "5"), []),
        ("", rungs("x-ratelimit", "tokens", "unlimited", "-1"), []),
    ],
)
def test_the_headers_of_a_provider(
    provider: str, headers: dict[str, str], expected: list[Told]
) -> None:
    """Each provider's headers mean what its documents, or measurements, say."""
    assert told(provider, headers) == sorted(expected, key=str)


def test_a_gateway_in_front_keeps_its_dialect() -> None:
    """Headers of one name are not read by the rules of another beside them."""
    headers = {"anthropic-ratelimit-requests-limit": "50", "x-ratelimit-limit": "9"}
    periods = {o.limit: o.per_s for o in read_headers(headers, NOW)}
    assert periods == {50: MINUTE, 9: None}


@given(
    st.sampled_from(["", *(file.provider.name for file in provider_files())]),
    st.dictionaries(
        st.builds(
            "-".join,
            st.lists(
                st.sampled_from(
                    [
                        "x",
                        "ratelimit",
                        "tokenlimit",
                        "anthropic",
                        "limit",
                        "remaining",
                        "reset",
                        "requests",
                        "tokens",
                        "minute",
                        "day",
                        "per",
                        "dynamic",
                        "req",
                        "input",
                    ]
                ),
                min_size=2,
                max_size=6,
            ),
        )
        | st.text(),
        st.text() | st.integers().map(str) | st.sampled_from(["1m2s", "-1", "0"]),
        max_size=8,
    ),
)
def test_anything_can_be_read(provider: str, headers: dict[str, str]) -> None:
    """Whatever the headers hold, what is told of them is finite and not negative."""
    for seen in read_headers(headers, NOW, provider_named(provider).signals.headers):
        numbers = [n for n in (seen.limit, seen.remaining, seen.reset_s) if n is not None]
        assert numbers and all(0 <= n < math.inf for n in numbers)
        assert seen.limit != 0 or provider == "mistral"


@given(st.integers(1, 10**9), st.data())
def test_amounts_come_through(limit: int, data: st.DataObject) -> None:
    """Amounts are told as they were sent, in whatever order the headers come."""
    remaining = data.draw(st.integers(0, limit))
    headers = rungs("x-ratelimit", "tokens-minute", str(limit), str(remaining), "1.5")
    shuffled = dict(data.draw(st.permutations(list(headers.items()))))
    assert read_headers(shuffled, NOW) == [
        Observation(
            kind="tokens",
            per_s=MINUTE,
            limit=limit,
            remaining=remaining,
            reset_s=1.5,
            reset_means=None,
        )
    ]


def test_numbers() -> None:
    """Only plain, finite decimal numbers are numbers."""
    assert [number(text) for text in ("5", "-1", " 2.5 ", "1.")] == [5, -1, 2.5, 1]
    assert [number(text) for text in ("", "1e5", "5,000", "nan", "9" * 400)] == [None] * 5


@pytest.mark.parametrize(
    ("provider", "policy", "state", "seen"),
    [
        # The draft's own example, and Hugging Face's, whose first item has no parameters.
        (
            "",
            '"default";q=100;w=60',
            '"default";r=50;t=30',
            [("requests", 60, 100, 50, 30, "window")],
        ),
        (
            "",
            '"fixed window";"api";q=500;w=300',
            '"api";r=0;t=55',
            [("requests", 300, 500, 0, 55, "window")],
        ),
        # Several policies, in another order, one of them of tokens.
        (
            "",
            '"burst";q=10;w=1, "tokens-daily";q=1000;w=86400',
            '"tokens-daily";r=9;t=60, "burst";r=3;t=1',
            [("requests", 1, 10, 3, 1, "window"), ("tokens", 86_400, 1_000, 9, 60, "window")],
        ),
        ("", '"a";q=9;qu="tokens";w=60', '"a";r=1;t=2', [("tokens", 60, 9, 1, 2, "window")]),
        ("", "", '"default";r=50;t=30', [("requests", None, None, 50, 30, "window")]),
        ("", "default;q=9;w=60", "default;r=4", [("requests", 60, 9, 4, None, None)]),
        # Older drafts.
        (
            "",
            "100;w=60",
            "limit=100, remaining=50, reset=5",
            [("requests", 60, 100, 50, 5, "window")],
        ),
        # Another unit, no statement of what is left, names that nobody knows the meaning of.
        ("", '"a";q=65535;qu="content-bytes";w=10', '"a";r=1;t=2', []),
        ("", '"a";q=100;w=60', "", []),
        ("moonshot", "", '"a";r=1;t=2', []),
        ("", '"a";q=0;w=60', '"a";r=-1;t=-3', []),
        ("", "nonsense", ";;r=1,,", []),
    ],
)
def test_headers_of_the_ietf(provider: str, policy: str, state: str, seen: list[Told]) -> None:
    """`RateLimit` and `RateLimit-Policy` of the IETF's draft are read, policy by policy."""
    headers = {"ratelimit-policy": policy, "ratelimit": state}
    assert told(provider, {name: text for name, text in headers.items() if text}) == seen


def test_a_limit_in_front_of_its_policies() -> None:
    """Envoy's limit names the window of the policy that holds, whatever else stands there."""
    limits = ("10, 10;w=1, 50;w=60", "50, 10;w=1, 50;w=60", '50, 50;w=60;name="a", 10;w=1')
    seen = [
        told("", {"x-ratelimit-limit": limit, "x-ratelimit-remaining": "0"}) for limit in limits
    ]
    assert seen == [
        [("requests", 1, 10, 0, None, None)],
        *([("requests", 60, 50, 0, None, None)],) * 2,
    ]
    ends = {"x-ratelimit-limit": limits[1], "x-ratelimit-remaining": "0", "x-ratelimit-reset": "41"}
    assert told("", ends) == [("requests", 60, 50, 0, 41, "window")]
    # No policy of that amount: the headers say what is left, and not when.
    assert told("", ends | {"x-ratelimit-limit": "5, 50;w=60"}) == [
        ("requests", None, None, 0, 41, None)
    ]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT1M30S", 90), ("PT0.5S", 0.5), ("PT0,5S", 0.5), ("P1DT2H", 26 * HOUR), ("P2W", 14 * DAY)],
)
def test_iso_8601_durations(text: str, seconds: float) -> None:
    """Durations by ISO 8601 are read."""
    assert seconds_until(text, NOW) == seconds


@pytest.mark.parametrize("text", ["P", "PT", "P1M", "P1Y", "PT5", "P1DT"])
def test_no_iso_8601_durations(text: str) -> None:
    """Months and years have no length, and what is cut off no meaning."""
    assert seconds_until(text, NOW) is None
