"""What refusals teach: keys that leave the pool, times that are read, errors inside of streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path
from threading import Event, Lock
from typing import Any

import openai
import orjson
import pytest

import batchwrap
from batchwrap.adapters.clients import engine_of
from batchwrap.lab import Raw, Reply
from batchwrap.options import Limit, Throttle
from batchwrap.testing import ManualClock
from tests.adapters.callers import Caller, Web
from tests.adapters.conversation import USER
from tests.adapters.events import DONE, event, raw
from tests.adapters.servers import Keyed, keyed_server
from tests.core.harness import chunk, completion

JSON = {"content-type": "application/json"}


def error(status: int, message: str = "No.", **rest: Any) -> Raw:
    """A refusal in OpenAI's shape; `headers` and fields of the error."""
    headers = {**JSON, **rest.pop("headers", {})}
    return Raw(status, headers, (orjson.dumps({"error": {"message": message, **rest}}),))


def yes(body: dict[str, Any]) -> Raw:
    """An answer, streamed where one was asked for."""
    message = {"role": "assistant", "content": "yes"}
    if body.get("stream"):
        return raw(event(chunk(message, "stop")) + DONE)
    return Raw(200, JSON, (orjson.dumps(completion(message, "stop")),))


@pytest.fixture
def in_threads(closing: ExitStack) -> Caller:
    """Calls sync SDK clients, for what has nothing to do with the way of calling."""
    return Caller(closing, None)


@pytest.fixture
def by_key(closing: ExitStack) -> Callable[[Callable[[str], Raw | None]], Keyed]:
    """Starts a provider that refuses by the key of a request; None: it says yes."""
    return lambda refusal: closing.enter_context(
        keyed_server(lambda key, body: refusal(key) or yes(body))
    )


DEAD = {
    "401": error(401, "Incorrect API key provided", code="invalid_api_key"),
    "402": error(402, "Insufficient Balance"),
    "403": error(403, "You do not have access to this organization"),
    "400": error(400, "API key not valid. Please pass a valid API key."),
    "insufficient_quota": error(429, "You exceeded your current quota", code="insufficient_quota"),
    "days": error(429, "Limit reached", headers={"retry-after": "260000"}),
    "a reset in a field": error(429, type="usage_limit_reached", resets_in_seconds=13_872),
    "a reset in prose": error(429, "Weekly usage limit reached. Resets in 3 days."),
    "nothing left for hours": error(
        429,
        headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6h0m0s"},
    ),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", DEAD)
def test_a_dead_key_leaves_the_pool(caller: Caller, by_key: Any, name: str, stream: bool) -> None:
    """The request goes out with another key at once, and the next ones do not try the dead one."""
    lab = by_key(lambda key: DEAD[name] if key == "dead" else None)
    client = batchwrap.wrap(
        caller.open(lab, max_retries=1),
        throttle=Throttle(keys=["dead", "good"], max_wait_s=60, clock=ManualClock()),
    )
    for n in range(8):
        messages = [{"role": "user", "content": f"Question {n}"}]
        assert caller.ask(client, messages=messages, stream=stream)
    assert Counter(lab.keys) == {"dead": 1, "good": 8}
    stats = batchwrap.stats(client)
    assert (stats.refusals, stats.requests, stats.round_trips) == (1, 8, 9)
    assert stats.waited_s < 1


def test_without_retries_of_the_client(caller: Caller, by_key: Any) -> None:
    """Another key is no wait: a client with `max_retries=0` gets it, too."""
    lab = by_key(lambda key: DEAD["401"] if key == "dead" else None)
    client = batchwrap.wrap(
        caller.open(lab, max_retries=0), throttle=Throttle(keys=["dead", "good"])
    )
    for n in range(4):
        caller.ask(client, messages=[{"role": "user", "content": f"Question {n}"}])
    assert Counter(lab.keys) == {"dead": 1, "good": 4}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("401", openai.AuthenticationError),
        ("402", openai.APIStatusError),
        ("403", openai.PermissionDeniedError),
        ("400", openai.BadRequestError),
        ("insufficient_quota", openai.RateLimitError),
        ("a reset in prose", openai.RateLimitError),
    ],
)
def test_all_keys_are_dead(caller: Caller, by_key: Any, name: str, kind: type[Exception]) -> None:
    """The provider's own error reaches the caller; each key is asked once, then one a request."""
    lab = by_key(lambda key: DEAD[name])
    client = batchwrap.wrap(
        caller.open(lab, max_retries=0), throttle=Throttle(keys=["one", "two", "three"])
    )
    for n in range(5):
        with pytest.raises(kind) as caught:
            caller.ask(client, messages=[{"role": "user", "content": f"Question {n}"}])
        assert "batchwrap" not in str(caught.value)
    assert len(lab.keys) == 3 + 4
    assert set(lab.keys) == {"one", "two", "three"}


def test_a_dead_key_is_tried_again_by_one_request(in_threads: Caller, by_key: Any) -> None:
    """After the time that was said a single request tries it; it works, so it is in again."""
    clock, dead = ManualClock(), [True]

    lab = by_key(lambda key: DEAD["a reset in a field"] if dead[0] and key == "a" else None)
    client = batchwrap.wrap(in_threads.open(lab), throttle=Throttle(keys=["a", "b"], clock=clock))

    def ask(times: int) -> Counter[str]:
        before = Counter(lab.keys)
        for n in range(times):
            messages = [{"role": "user", "content": f"Question {n} at {clock.passed_s}"}]
            in_threads.ask(client, messages=messages)
        return Counter(lab.keys) - before

    assert ask(6) == {"a": 1, "b": 6}
    clock.sleep(13_800)
    assert ask(6) == {"b": 6}
    clock.sleep(100)
    assert ask(6) == {"a": 1, "b": 6}, "out for as long as is said, again"
    clock.sleep(13_900)
    dead[0] = False
    assert set(ask(6)) == {"a", "b"}


def test_what_is_about_the_request_stays(caller: Caller, serve: Any) -> None:
    """A request that is too large, or that nobody understands, is not sent around."""
    for refusal in (error(413, code="rate_limit_exceeded"), error(404), error(400, "bad")):
        lab = serve(lambda request, refusal=refusal: refusal)
        client = batchwrap.wrap(
            caller.open(lab, max_retries=0), throttle=Throttle(keys=["one", "two"])
        )
        with pytest.raises(openai.APIStatusError):
            caller.ask(client)
        assert len(lab.journal) == 1


LONG = {
    "usage_limit_reached": error(429, type="usage_limit_reached", resets_in_seconds=13_872),
    "a duration": error(429, "Your quota will reset after 27h41m36s."),
    "a sentence": error(429, "5-hour usage limit reached. Resets in 3hr 12min"),
    "a header": DEAD["nothing left for hours"],
}


@pytest.mark.parametrize("name", LONG)
def test_hours_are_not_waited_for(caller: Caller, serve: Any, name: str) -> None:
    """A limit that resets in hours fails at once, with the provider's error, sent once each."""
    lab = serve(lambda request: LONG[name])
    throttle = Throttle(clock=ManualClock())
    client = batchwrap.wrap(caller.open(lab, max_retries=2), throttle=throttle)
    for _ in range(3):
        with pytest.raises(openai.RateLimitError) as caught:
            caller.ask(client)
        assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(lab.journal) == 3
    assert batchwrap.stats(client).waited_s < 1


NOTHING = {
    "zero": lambda: {"retry-after": "0"},
    "negative": lambda: {"retry-after": "-1"},
    "no milliseconds": lambda: {"retry-after-ms": "0"},
    "past": lambda: {"retry-after": formatdate(0, usegmt=True)},
    "hours ago": lambda: {"x-ratelimit-reset": "1", "retry-after": "0.0"},
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_wait_of_nothing_is_backed_off(in_threads: Caller, serve: Any, name: str) -> None:
    """It is no order to come at once six times: the waits grow as if nothing were said."""
    clock, at_s = ManualClock(), list[float]()

    def provider(request: Any) -> Any:
        at_s.append(clock.passed_s)
        return error(429, headers=NOTHING[name]()) if len(at_s) < 5 else Reply("yes")

    lab = serve(provider)
    client = batchwrap.wrap(in_threads.open(lab), throttle=Throttle(clock=clock))
    in_threads.ask(client)
    gaps = [b - a for a, b in pairwise(at_s)]
    assert len(gaps) == 4 and all(gap >= 1 for gap in gaps) and gaps[-1] > 4


def test_short_waits_grow_where_they_do_not_help(in_threads: Caller, serve: Any) -> None:
    """The first short wait is kept as it was said; those after it take longer and longer."""
    clock, at_s = ManualClock(), list[float]()

    def provider(request: Any) -> Any:
        at_s.append(clock.passed_s)
        return error(429, headers={"retry-after-ms": "10"}) if len(at_s) < 6 else Reply("yes")

    client = batchwrap.wrap(in_threads.open(serve(provider)), throttle=Throttle(clock=clock))
    in_threads.ask(client)
    gaps = [b - a for a, b in pairwise(at_s)]
    assert 0.01 <= gaps[0] < 0.02
    for gap, least in zip(gaps[1:], (0.25, 0.5, 1, 2), strict=True):
        assert least <= gap <= least * 1.2


def created(kind: str) -> bytes:
    """An event that says that a response has begun."""
    return event({"type": kind, "response": {"id": "resp_1", "status": "in_progress"}})


FAILED = event(
    {
        "type": "response.failed",
        "response": {
            "id": "resp_1",
            "status": "failed",
            "error": {"code": "rate_limit_exceeded", "message": "Please try again in 20ms."},
        },
    }
)
BEGUN = event({"type": "response.output_text.delta", "delta": "Yes", "output_index": 0})
COMPLETED = event(
    {
        "type": "response.completed",
        "response": {
            "id": "resp_1",
            "status": "completed",
            "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
        },
    }
)
MESSAGE = event({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 3}}})
PING = event({"type": "ping"})
TEXT = event({"type": "content_block_delta", "index": 0, "delta": {"text": "Yes"}})
STOP = event({"type": "message_delta", "usage": {"output_tokens": 4}}) + event(
    {"type": "message_stop"}
)
OVERLOADED = b"event: error\n" + event(
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
)
OPENING = created("response.created") + created("response.in_progress")
ENDPOINTS = {
    "responses": (OPENING, FAILED, OPENING + BEGUN + COMPLETED, BEGUN),
    "messages": (MESSAGE + PING, OVERLOADED, MESSAGE + PING + TEXT + STOP, TEXT),
}


@pytest.mark.parametrize("size", [None, 7])
@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_refusal_behind_the_first_events(
    web: Web, serve: Any, name: str, size: int | None
) -> None:
    """What says nothing yet is held back, so the request is sent again, and nobody notices."""
    opening, refusal, answer, _ = ENDPOINTS[name]
    replies = [raw(opening + refusal, size=size), raw(answer, size=size)]
    lab = serve(lambda request: replies.pop(0))
    throttle = Throttle(clock=ManualClock())
    client = batchwrap.wrap(web.open(), batching=None, reminders=None, throttle=throttle)
    body = orjson.dumps({"model": "m", "input": "Hi", "stream": True, "messages": [USER]})
    response, seen = web.stream(client, lab, name, content=body, headers=JSON)
    assert (response.status_code, seen) == (200, answer)
    stats = batchwrap.stats(client)
    assert (stats.refusals, stats.retries, stats.round_trips) == (1, 1, 2)
    assert stats.prompt_tokens == 3


@pytest.mark.parametrize("name", ENDPOINTS)
def test_a_refusal_in_the_middle(web: Web, serve: Any, name: str) -> None:
    """Behind a part of the answer it is handed on as it came, counted, and learned from."""
    opening, refusal, _, part = ENDPOINTS[name]
    whole = opening + part + refusal
    lab = serve(lambda request: raw(whole))
    client = batchwrap.wrap(web.open(), batching=None, reminders=None)
    body = orjson.dumps({"model": "m", "input": "Hi", "stream": True, "messages": [USER]})
    _, seen = web.stream(client, lab, name, content=body, headers=JSON)
    assert seen == whole
    assert (batchwrap.stats(client).refusals, len(lab.journal)) == (1, 1)


def test_pings_are_not_held_back(web: Web, serve: Any) -> None:
    """A second ping keeps a connection alive: from it on everything is handed out as it comes."""
    whole = MESSAGE + PING + PING + OVERLOADED
    lab = serve(lambda request: raw(whole))
    client = batchwrap.wrap(web.open(), batching=None, reminders=None)
    body = orjson.dumps({"model": "m", "stream": True, "messages": [USER]})
    _, seen = web.stream(client, lab, "messages", content=body, headers=JSON)
    assert (seen, len(lab.journal)) == (whole, 1)
    assert batchwrap.stats(client).refusals == 1


def test_a_connection_that_is_lost_behind_the_first_events(web: Web, serve: Any) -> None:
    """What came is handed out, and then the error, as without us."""
    lab = serve(
        lambda request: Raw(200, {"content-type": "text/event-stream"}, (MESSAGE,), close="abrupt")
    )
    bare = web.open()
    body = orjson.dumps({"model": "m", "stream": True, "messages": [USER]})
    kinds = []
    for client in (bare, batchwrap.wrap(bare, batching=None, reminders=None)):
        with pytest.raises(Exception) as caught:
            web.stream(client, lab, "messages", content=body, headers=JSON)
        kinds.append(caught.type)
    assert kinds[0] is kinds[1]


def test_a_refusal_in_a_chat_stream(caller: Caller, serve: Any) -> None:
    """Wherever it stands it closes the account for as long as it says."""
    limited = {"error": {"code": "rate_limit_exceeded", "message": "Please try again in 40s."}}
    said = event(chunk({"role": "assistant", "content": "The fix"}))
    whole = event(chunk({"role": "assistant", "content": "yes"}, "stop")) + DONE
    clock, replies = ManualClock(), [raw(said + event(limited)), raw(whole)]
    lab = serve(lambda request: replies.pop(0))
    client = batchwrap.wrap(caller.open(lab), throttle=Throttle(clock=clock))
    with pytest.raises(openai.APIError):
        caller.ask(client, stream=True)
    assert batchwrap.stats(client).refusals == 1
    caller.ask(client, stream=True)
    assert 40 <= clock.passed_s < 45


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_redirection_is_no_answer(caller: Caller, serve: Any, status: int) -> None:
    """The client follows it; what was reserved for it comes back, and only the answer counts."""
    there = serve(lambda request: Reply("yes"))
    moved = {"location": f"{there.base_url}/chat/completions"}
    lab = serve(lambda request: Raw(status, moved, (b"",)))
    client = batchwrap.wrap(
        caller.open(lab, max_retries=0),
        limits=[Limit("tokens", 100_000, 1e9), Limit("requests", 9, 1e9)],
    )
    if status == 301:  # the client goes on with a GET, of which nobody knows anything
        with pytest.raises(openai.APIStatusError):
            caller.ask(client, max_tokens=5_000)
    else:
        caller.ask(client, max_tokens=5_000)
    engine = engine_of(client)
    assert engine is not None
    seen = [snapshot.levels for _, snapshot in engine.budget.limiter.snapshots().values()]
    tokens, requests = (
        sum(one.capacity - one.free for one in of) for of in zip(*seen, strict=True)
    )
    assert tokens < 100
    assert requests == pytest.approx(0 if status == 301 else 1, abs=1e-6)


BUSY = error(
    429,
    "High concurrency usage of this API, please reduce concurrency or contact customer service",
    code="1302",
)


@contextmanager
def few_at_a_time(real: int) -> Iterator[tuple[Keyed, list[int]]]:
    """A provider that takes so many at a time, and answers none before it has refused one."""
    lock, has_refused = Lock(), Event()
    running, refusals = 0, [0]

    def answer(key: str, body: dict[str, Any]) -> Raw:
        nonlocal running
        with lock:
            if running >= real:
                refusals[0] += 1
                has_refused.set()
                return BUSY
            running += 1
        has_refused.wait(10)
        with lock:
            running -= 1
        return yes(body)

    with keyed_server(answer) as server:
        yield server, refusals


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("real", [1, 3])
def test_reduce_concurrency(
    in_threads: Caller, closing: ExitStack, tmp_path: Path, real: int, store: str
) -> None:
    """Eight at once, where one is taken at a time: all succeed, each is refused once at most."""
    server, refusals = closing.enter_context(few_at_a_time(real))
    where = f"sqlite:///{tmp_path}/limits.db" if store == "sqlite" else "memory"
    client = batchwrap.wrap(
        in_threads.open(server),
        throttle=Throttle(store=where),
    )

    def ask(n: int) -> str:
        messages = [{"role": "user", "content": f"Question {n}"}]
        return str(in_threads.ask(client, messages=messages).choices[0].message.content)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == ["yes"] * 8
        assert 1 <= refusals[0] <= 8 - real
        assert list(pool.map(ask, range(8))) == ["yes"] * 8
    assert refusals[0] <= 8 - real + 1, "the number is known"
    assert batchwrap.stats(client).refusals == refusals[0]


def test_a_refusal_tells_how_full_the_bucket_is(in_threads: Caller, serve: Any) -> None:
    """Somebody else has used the account: after the wait there is room for this request alone."""
    limited = error(
        429,
        "Rate limit reached on tokens per min (TPM): Limit 60000. Please try again in 5s.",
        type="tokens",
    )
    clock, at_s = ManualClock(), list[float]()

    def provider(request: Any) -> Any:
        at_s.append(clock.passed_s)
        return limited if len(at_s) == 1 else Reply("yes")

    client = batchwrap.wrap(
        in_threads.open(serve(provider)),
        throttle=Throttle(limits=[Limit("tokens", 60_000)], clock=clock),
    )
    for _ in range(3):
        messages = [{"role": "user", "content": "word " * 10_000}]
        in_threads.ask(client, messages=messages, max_tokens=10)
    assert at_s[0] == 0 and 5 <= at_s[1] < 8
    for gap in (at_s[2] - at_s[1], at_s[3] - at_s[2]):
        assert 8 < gap < 13, "10,000 tokens are refilled in ten seconds, and a little is kept free"
