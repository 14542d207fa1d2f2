"""What is Redis' own: scripts that do what Python does, keys that go by themselves, errors."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from traceback import format_exception
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchwrap.core.limits import account
from batchwrap.core.limits.state import AccountState, Seen, empty
from batchwrap.core.limits.windows import LimitMeter, meters
from batchwrap.errors import ConfigError, StoreRefused, StoreUnavailable
from batchwrap.options import Limit
from batchwrap.throttle.stores.contract import DAYS_KEPT_S, MINUTES_KEPT_S, TokenTotals
from tests.strategies import examples
from tests.throttle.conftest import StartRedis
from tests.throttle.redis_server import REQUIRED, RedisServer, free_port

if not REQUIRED:
    pytest.importorskip("redis")
import redis

from batchwrap.throttle.stores.redis import RedisStore, account_key

START = 1_795_000_000.25
LIMITS = (
    Limit("tokens", 600, 64),
    Limit("requests", 900, 0.7, burst=500),
    Limit("tokens", 600, 64, "fixed"),
    Limit("tokens", 90, 7.3, "fixed"),
    Limit("tokens", 600, 64, "rolling"),
    Limit("tokens", 90, 7.3, "rolling"),
    Limit("concurrency", 3),
)
CONTINUOUS = meters([LIMITS[0]])

MOST_LIMITS = 3

# Amounts are shares of the capacity, in steps whose sums are exact: since 3.12, Python's `sum`
# rounds less than adding up does.
SHARES = st.sampled_from([0.0, *[1 / 8, 1 / 4, 3 / 8] * 4, 1 / 2, 3 / 4, 1.0, 5 / 4, math.nan])
SPENT = (
    SHARES
    | st.sampled_from([-5.0, 1e300, math.inf])
    | st.integers(0, 300).map(lambda parts: parts / 256)
)
SEEN = st.builds(
    Seen,
    st.integers(0, MOST_LIMITS - 1),
    st.sampled_from([None, -1.0, math.nan, *[0.0, 1 / 8, 1 / 4, 3 / 8, 1.0] * 3, 3 / 4]),
    st.sampled_from([None, *[1.0] * 3, 5 / 4]),
    st.none() | st.none() | st.floats(0, 66) | st.just(math.nan),
)
OWNERS = st.sampled_from(["", "one", "other", "third"])
HOLDERS = st.sampled_from("abcde")
VALUES = {
    "amounts": st.lists(SHARES, min_size=MOST_LIMITS, max_size=MOST_LIMITS),
    "spent": st.lists(SPENT, min_size=MOST_LIMITS, max_size=MOST_LIMITS),
    "ticket": HOLDERS,
    "owner": OWNERS,
    "holders": st.lists(HOLDERS, max_size=3),
    "priority": st.integers(-1, 1),
    "max_wait_s": st.sampled_from([0.0, 0.5, 3.0, 30.0, 100.0, *[math.inf] * 6]),
    "seconds": st.sampled_from([0.0, 0.5, 3.0, 30.0]),
    "seen": st.lists(SEEN, min_size=1, max_size=3),
}
TAKEN = ("amounts", "ticket", "priority", "owner", "max_wait_s")
# Each operation with its arguments, as often as it is wanted.
OPERATIONS = [
    *[("reserve", TAKEN)] * 12,
    *[("arrived", ("ticket",))] * 3,
    *[("settle", ("ticket", "spent"))] * 3,
    ("leave", ("ticket",)),
    *[("renew", ("owner", "holders"))] * 2,
    ("close_for", ("seconds",)),
    *[("crowded", ("ticket", "seconds"))] * 2,
    *[("learn", ("ticket", "seen"))] * 6,
    ("snapshot", ()),
]
PASSED = st.sampled_from(
    [*[0.0] * 20, *[0.125, 0.75, 2.0] * 3, 31.25, 64.0, 1e5, -0.5, -40.0, -1e5]
)
# A limit that this step's process does not know of.
UNKNOWN = st.sampled_from([*[None] * 8, *range(MOST_LIMITS)])


@st.composite
def steps(draw: st.DrawFn) -> tuple[float, int | None, str, dict[str, Any]]:
    """Seconds that pass, a limit that is not known, an operation and its arguments."""
    name, fields = draw(st.sampled_from(OPERATIONS))
    return draw(PASSED), draw(UNKNOWN), name, {field: draw(VALUES[field]) for field in fields}


STEPS = st.lists(steps(), min_size=20, max_size=60)


@pytest.fixture(scope="module")
def raw(redis_server: RedisServer) -> Iterator[Any]:
    """A client of the server."""
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
def store(redis_url: str) -> Iterator[RedisStore]:
    """A store on the server's own clock, empty."""
    with closing(RedisStore(redis_url)) as opened:
        yield opened


# The state, with every number as a text that has all of its digits.
DUMP = """
local function told(value)
  if type(value) == "number" then return string.format("#%.17g", value) end
  if type(value) ~= "table" then return value end
  local made = {}
  for name, one in pairs(value) do made[name] = told(one) end
  return made
end
return cjson.encode(told(cmsgpack.unpack(redis.call("GET", KEYS[1]))))
"""


def state_of(client: Any, key: str) -> Any:
    """What Redis holds, in the shape of Python's state."""
    state = numbers(json.loads(client.eval(DUMP, 1, account_key(key))))
    # Lua does not tell empty lists from empty objects.
    state["queue"] = list(state["queue"])
    state["leases"] = {held.pop("id"): held for held in state["leases"]}
    for bucket in state["buckets"].values():
        if "slices" in bucket:
            bucket["slices"] = list(bucket["slices"])
    return state


def numbers(value: Any) -> Any:
    """Texts with a # in front become the numbers that they are."""
    if isinstance(value, dict):
        return {name: numbers(one) for name, one in value.items()}
    if isinstance(value, list):
        return [numbers(one) for one in value]
    return float(value[1:]) if isinstance(value, str) and value[:1] == "#" else value


def by_python(
    state: AccountState, used: Sequence[LimitMeter], name: str, asked: dict[str, Any], now: float
) -> Any:
    """The reply of the operation in Python."""
    with_meters = () if name == "close_for" else (used,)
    return getattr(account, name)(state, *with_meters, now=now, **asked)


def by_redis(
    store: RedisStore, key: str, used: Sequence[LimitMeter], name: str, asked: dict[str, Any]
) -> Any:
    """The reply of the same operation in Lua."""
    with_meters = () if name == "close_for" else (used,)
    return getattr(store, name)(key, *with_meters, **asked)


# Tokens come back by a header: seldom found by chance.
ALL_IS_LEFT = [
    (0.0, None, "reserve", {"amounts": [0.25], "ticket": "a"}),
    (0.0, None, "settle", {"ticket": "a", "spent": [0.5]}),
    (0.0, None, "reserve", {"amounts": [0.125], "ticket": "b"}),
    (0.0, None, "learn", {"ticket": "b", "seen": [Seen(0, 1.0, None)]}),
    (0.0, None, "learn", {"ticket": "b", "seen": [Seen(0, 1.0, 1.0)]}),
]


@example(LIMITS[2:3], ALL_IS_LEFT)
@given(st.lists(st.sampled_from(LIMITS), min_size=1, max_size=MOST_LIMITS), STEPS)
@examples(150)
def test_lua_and_python_agree(
    redis_server: RedisServer, raw: Any, limits: Sequence[Limit], steps: list[Any]
) -> None:
    """Whatever is done, with whatever limits and clock: the same replies, the same state."""
    key, now, every = uuid4().hex, START, meters(limits)
    store, state = RedisStore(redis_server.url, clock=lambda: now), empty(START)
    assert by_redis(store, key, every, "snapshot", {}) == by_python(
        state, every, "snapshot", {}, now
    )
    for seconds, unknown, name, shares in steps:
        now += seconds
        known = [meter for place, meter in enumerate(every) if place != unknown] or [*every]
        asked = in_amounts(shares, known)
        expected = by_python(state, known, name, asked, now)
        assert by_redis(store, key, known, name, asked) == expected
        assert state_of(raw, key) == state
    store.close()


def in_amounts(shares: dict[str, Any], used: Sequence[LimitMeter]) -> dict[str, Any]:
    """Arguments that count in the units of these limits."""
    asked = dict(shares)
    for name in asked.keys() & {"amounts", "spent"}:
        asked[name] = [
            share * meter.capacity for share, meter in zip(asked[name], used, strict=False)
        ]
    if "seen" in asked:
        asked["seen"] = [
            Seen(
                one.limit,
                None if one.remaining is None else one.remaining * used[one.limit].capacity,
                None if one.capacity is None else one.capacity * used[one.limit].capacity,
                one.ends_s,
            )
            for one in asked["seen"]
            if one.limit < len(used)
        ]
    return asked


def test_one_round_trip(store: RedisStore, raw: Any) -> None:
    """A reservation is one command; so is a settlement. The script is sent once."""
    store.reserve("k", CONTINUOUS, [1], "a")
    raw.script_flush()
    raw.config_resetstat()
    for ticket in "bcd":
        store.reserve("k", CONTINUOUS, [1], ticket)
        store.settle("k", CONTINUOUS, ticket, [1])
    sent = raw.info("commandstats")
    assert sent["cmdstat_evalsha"]["calls"] == 6
    assert sent["cmdstat_eval"]["calls"] == 1
    assert raw.info("errorstats") == {"errorstat_NOSCRIPT": {"count": 1}}


def test_the_time_is_the_servers(store: RedisStore, raw: Any) -> None:
    """No host's clock matters."""
    before = seconds(raw.time())
    store.reserve("k", CONTINUOUS, [1], "a")
    assert before <= state_of(raw, "k")["at"] <= seconds(raw.time())


def seconds(told: tuple[int, int]) -> float:
    """What TIME says, as a number."""
    return told[0] + told[1] / 1e6


def test_nothing_but_names(store: RedisStore, raw: Any) -> None:
    """All that is kept stands under the account's own name."""
    store.reserve("k", CONTINUOUS, [1], "a")
    store.spend("k", "m", TokenTotals(1))
    assert set(raw.keys()) == {
        "batchwrap:{k}:account:2",
        "batchwrap:{k}:minute",
        "batchwrap:{k}:day",
    }


def test_an_account_goes_by_itself(store: RedisStore, raw: Any) -> None:
    """It is forgotten when it has been full for an hour, and not before."""
    store.reserve("k", CONTINUOUS, [600], "a")
    assert 3_660 < raw.pttl(account_key("k")) / 1000 <= 3_668
    store.reserve("k", meters([Limit("concurrency", 3)]), [1], "b")
    assert 3_660 < raw.pttl(account_key("k")) / 1000 <= 3_668
    store.close_for("k", 500)
    assert 4_090 < raw.pttl(account_key("k")) / 1000 <= 4_100


def test_an_account_that_is_never_full_again(store: RedisStore, raw: Any) -> None:
    """A broken count blocks an account for years, and breaks nothing else."""
    store.reserve("k", CONTINUOUS, [1], "a")
    store.settle("k", CONTINUOUS, "a", [math.inf])
    assert store.reserve("k", CONTINUOUS, [1], "b").status == "waiting"
    assert raw.ttl(account_key("k")) > 10**8


def test_books_go_by_themselves(store: RedisStore, raw: Any) -> None:
    """Minutes and days that nobody adds to are forgotten."""
    store.spend("k", "m", TokenTotals(1))
    assert raw.ttl("batchwrap:{k}:minute") == pytest.approx(MINUTES_KEPT_S, abs=5)
    assert raw.ttl("batchwrap:{k}:day") == pytest.approx(DAYS_KEPT_S, abs=5)


@pytest.mark.parametrize("key", ["a:m", "", "}", "{b", "a}:{b}", "ключ"])
def test_odd_names(store: RedisStore, key: str) -> None:
    """Accounts and models may be called anything."""
    store.spend(key, "a model, \n of {ours}", TokenTotals(1, 2, 3, 4))
    assert [(line.key, line.model) for line in store.usage()] == [
        (key, "a model, \n of {ours}")
    ] * 2
    assert store.usage(key) == store.usage()
    assert not store.usage("another")


def test_large_counts(store: RedisStore) -> None:
    """Books are exact as far as any provider counts."""
    store.spend("k", "m", TokenTotals(1, 10**15, 0, 1))
    store.spend("k", "m", TokenTotals(1, 1, 0, 10**15))
    assert store.usage("k")[0].spent == TokenTotals(2, 10**15 + 1, 0, 10**15 + 1)


def test_many_at_once(store: RedisStore) -> None:
    """A long queue behind many leases is still one step."""
    limits = meters([Limit("concurrency", 200)])
    for number in range(300):
        store.reserve("k", limits, [1], f"t{number}")
    shot = store.snapshot("k", limits)
    assert (shot.running, shot.waiting) == (200, 100)


def test_in_a_cluster(start_redis: StartRedis, store: RedisStore, raw: Any) -> None:
    """All keys of an account are in one slot, and accounts in different ones."""
    for key in ("a:m", "b:m", "a}b"):
        store.reserve(key, CONTINUOUS, [1], "t")
        store.spend(key, "m", TokenTotals(1))
    server = start_redis("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    with redis.Redis.from_url(server.url) as client:
        slots = [client.cluster("KEYSLOT", key) for key in raw.keys()]  # noqa: SIM118
    assert sorted(slots.count(slot) for slot in set(slots)) == [3, 3, 3]


def test_after_a_restart(start_redis: StartRedis) -> None:
    """A server that is away is an error; one that is back works, though it has lost everything."""
    server = start_redis()
    with closing(RedisStore(server.url)) as store:
        assert store.reserve("k", CONTINUOUS, [600], "a").status == "admitted"
        server.kill()
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as caught:
                store.reserve("k", CONTINUOUS, [600], "b")
        assert caught.value.store == store.name == f"{server.url}/0"
        server.start()
        assert store.reserve("k", CONTINUOUS, [600], "b").status == "admitted"
        store.renew("k", CONTINUOUS, "me", ["a"])


def test_flushed_in_between(store: RedisStore, raw: Any) -> None:
    """Who empties the server empties the accounts, and no more than that."""
    store.reserve("k", CONTINUOUS, [600], "a")
    raw.flushall()
    store.settle("k", CONTINUOUS, "a", [600])
    assert store.snapshot("k", CONTINUOUS).levels[0].free == 600
    assert store.reserve("k", CONTINUOUS, [600], "b").status == "admitted"


@pytest.mark.parametrize(
    ("options", "message", "passes"),
    [
        (("--requirepass", "another"), "password", False),
        (("--requirepass", "secret", "--replicaof", "127.0.0.1", "1"), "read only replica", True),
        (("--requirepass", "secret", "--maxmemory", "1"), "maxmemory", True),
        (("--user", "default", "on", ">secret", "~other:*", "+@all"), "permission|access", False),
        (("--user", "default", "on", ">secret", "~*", "-@all"), "permission|access", False),
    ],
)
def test_a_server_that_refuses(
    start_redis: StartRedis, options: tuple[str, ...], message: str, passes: bool
) -> None:
    """Whatever it refuses for, the error names the store, not its password, and if it may pass."""
    server = start_redis(*options)
    kind = StoreUnavailable if passes else StoreRefused
    refused(f"redis://:secret@127.0.0.1:{server.port}", message, kind)


def test_no_server() -> None:
    """A port on which nobody listens, and a host that nobody knows."""
    refused(f"redis://:secret@127.0.0.1:{free_port()}", "refused")
    refused("redis://:secret@host.invalid", "host.invalid")
    refused("unix:///nowhere/redis.sock?password=secret", "/nowhere/redis.sock")


def refused(url: str, message: str, kind: type[StoreUnavailable] = StoreUnavailable) -> None:
    """Every operation on that store is an error of its own."""
    with closing(RedisStore(url)) as store:
        for operation in (
            lambda: store.reserve("k", CONTINUOUS, [1], "a"),
            lambda: store.settle("k", CONTINUOUS, "a", [1]),
            lambda: store.spend("k", "m", TokenTotals(1)),
        ):
            with pytest.raises(StoreUnavailable, match=f"(?i){message}") as caught:
                operation()
            assert caught.value.store == store.name
            assert type(caught.value) is kind
            assert "secret" not in "".join(format_exception(caught.value)) + repr(store)


def test_a_server_that_hangs(start_redis: StartRedis) -> None:
    """It is given up after the timeout; when it goes on, so does the store."""
    server = start_redis()
    with closing(RedisStore(f"{server.url}?socket_timeout=0.1")) as store:
        store.reserve("k", CONTINUOUS, [1], "a")
        server.process.send_signal(signal.SIGSTOP)
        with pytest.raises(StoreUnavailable, match=r"(?i)timeout"):
            store.reserve("k", CONTINUOUS, [1], "b")
        server.process.send_signal(signal.SIGCONT)
        assert store.reserve("k", CONTINUOUS, [1], "b").status == "admitted"


@pytest.mark.parametrize("damage", [b"no state", b"\x81\xa2at\xa1x"])
def test_a_damaged_account(store: RedisStore, raw: Any, damage: bytes) -> None:
    """What cannot be read is an error that names the store; other accounts go on."""
    raw.set(account_key("k"), damage)
    with pytest.raises(StoreUnavailable) as caught:
        store.snapshot("k", CONTINUOUS)
    assert caught.value.store == store.name
    assert store.snapshot("other", CONTINUOUS).running == 0


@pytest.mark.parametrize(("field", "counts"), [("noon m", "1 2 0 3"), ("0 m", "1 x 0 3")])
def test_forged_books(store: RedisStore, raw: Any, field: str, counts: str) -> None:
    """What is no line of the books is refused by the name of the store."""
    raw.hset("batchwrap:{forged}:day", field, counts)
    with pytest.raises(StoreRefused, match="the books of 'forged' are damaged"):
        store.usage("forged")


@pytest.mark.parametrize("place", ["s.at", "s.skew", "s.closed", "b.at"])
def test_forged_numbers(store: RedisStore, raw: Any, place: str) -> None:
    """A number that would stop an account for ever is refused by the name of the store."""
    store.reserve("k", CONTINUOUS, [1], "a")
    script = f"""local s = cmsgpack.unpack(redis.call("GET", KEYS[1]))
    local _, b = next(s.buckets)
    {place} = 1e300
    redis.call("SET", KEYS[1], cmsgpack.pack(s))"""
    raw.eval(script, 1, account_key("k"))
    with pytest.raises(StoreRefused, match="the account is damaged"):
        store.reserve("k", CONTINUOUS, [1], "b")


@pytest.mark.parametrize(
    "url",
    [
        "redis:secret",
        "http://:secret@host",
        "redis://:sec/ret@host",
        "redis://:secret@host:port",
        "redis://:secret@host?socket_timeout=long",
        "redis://:secret@host?no_such_option=1",
    ],
)
def test_no_url_of_redis(url: str) -> None:
    """It is refused when the store is made, without telling the password."""
    with pytest.raises(ConfigError, match=r"Throttle\.store") as caught:
        RedisStore(url)
    told = "".join(format_exception(caught.value, chain=True))
    assert "secret" not in str(caught.value) and "'sec'" not in told


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("redis://", "redis://localhost:6379/0"),
        ("redis://me:secret@host:7000/3?socket_timeout=1", "redis://host:7000/3"),
        ("rediss://:secret@host?db=2", "rediss://host:6379/2"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock"),
    ],
)
def test_names(url: str, name: str) -> None:
    """A store is called by its URL, without user, password and options."""
    store = RedisStore(url)
    assert store.name == name
    assert repr(store) == f"RedisStore({name!r})"


def python(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """A fresh interpreter that runs this."""
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_without_the_library() -> None:
    """The error names the extra that brings it."""
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "try: import batchwrap.throttle.stores.redis\n"
        "except ImportError as error: print(error.extra)"
    )
    assert python(code).communicate(timeout=60) == ("redis\n", "")


FORKER = """
import os, sys
from batchwrap.core.limits.windows import meters
from batchwrap.options import Limit
from batchwrap.throttle.stores.redis import RedisStore

METERS = meters([Limit("requests", 3, 1e9)])
store = RedisStore(sys.argv[1])
def take(name):
    return store.reserve(sys.argv[2], METERS, [1], name).status
before = take("before")
child = os.fork()
if child == 0:
    os._exit(0 if take("child") == "admitted" else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(before, code, take("parent"), store.snapshot(sys.argv[2], METERS).running)
store.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_a_fork(redis_server: RedisServer) -> None:
    """Parent and child go on with one budget, each with connections of its own."""
    told = python(FORKER, redis_server.url, uuid4().hex).communicate(timeout=60)
    assert told == ("admitted 0 admitted 3\n", "")


# Takes one at a time until there are no more; with a third argument, dies with the first one.
TAKER = """
import os, sys, time
from itertools import count
from batchwrap.core.limits.windows import meters
from batchwrap.options import Limit
from batchwrap.throttle.stores.redis import RedisStore

METERS = meters([Limit("requests", 200, 1e9), Limit("concurrency", 1)])
store, taken = RedisStore(sys.argv[1]), 0
def ask(ticket):
    return store.reserve(
        sys.argv[2], METERS, [1, 1], ticket, owner=str(os.getpid()), max_wait_s=60
    )
for number in count():
    ticket = f"{os.getpid()} {number}"
    while (reply := ask(ticket)).status == "waiting" and reply.limit != 0:
        time.sleep(min(reply.wait_s, 0.005))
    if reply.status != "admitted":
        store.leave(sys.argv[2], METERS, ticket)
        break
    taken += 1
    if sys.argv[3:]:
        print("held", flush=True)
        sys.stdin.readline()
    store.settle(sys.argv[2], METERS, ticket, [1, 1])
store.close()
print(taken)
"""


def test_processes(redis_server: RedisServer) -> None:
    """Four get what the limit allows; one that is killed while it holds a place holds nobody up."""
    key = uuid4().hex
    with python(TAKER, redis_server.url, key, "and dies") as victim:
        assert victim.stdout is not None and victim.stdout.readline() == "held\n"
        others = [python(TAKER, redis_server.url, key) for _ in range(3)]
        os.kill(victim.pid, signal.SIGKILL)
    printed = [one.communicate(timeout=60) for one in others]
    assert [errors for _, errors in printed] == [""] * 3
    assert sum(int(taken) for taken, _ in printed) == 199
    shot = RedisStore(redis_server.url).snapshot(key, meters([Limit("requests", 200, 1e9)]))
    assert shot.running == 0
    assert shot.levels[0].free == pytest.approx(0, abs=1e-3)
