"""Accounts on a Redis server, for several hosts.

Every operation is one script that Redis runs alone, on the server's clock: one round trip.
The scripts repeat the arithmetic of `core.limits.account`; a property test compares the two.
All keys of an account stand in one slot of a cluster, and go by themselves: an account when
it has long been full again, a line of the books when it is old. The server should not evict
keys (``maxmemory-policy noeviction``): what it forgets counts as not spent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from hashlib import sha1
from importlib.resources import files
from math import inf
from threading import local
from typing import Any, Literal

from batchwrap.core.limits import account, windows
from batchwrap.core.limits.state import Admission, Level, Seen, Snapshot
from batchwrap.core.limits.windows import Meter
from batchwrap.errors import ConfigError, MissingExtraError, StoreUnavailable
from batchwrap.throttle.stores import contract
from batchwrap.throttle.stores.contract import Spent, Used
from batchwrap.throttle.stores.turnstile import Turnstile

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as error:
    raise MissingExtraError("redis", extra="redis") from error

# A limiter that waits longer than this for its store is the slower way to the provider.
_TIMEOUT_S = 2.0
# An account outlives the time when it is full by this, with what was learned of its provider.
_KEEP_S = 3_600.0
# Redis counts milliseconds in 64 bits; ten years are as good as for ever.
_MOST_TTL_S = 10 * 365 * 86_400.0

_Span = Literal["minute", "day"]


class RedisStore:
    """One budget for all hosts that use the same server; see `contract.Store` for the methods.

    Nothing is sent before the first operation.

    Args:
        url: ``"redis://[[user]:password@]host[:port][/db]"``, ``"rediss://…"`` for TLS, or
            ``"unix:///path/to/socket"``. The options of redis-py may follow as a query:
            ``"?socket_timeout=0.5"`` (2 seconds by default).
        clock: seconds, in place of the server's clock; for tests.

    Raises:
        ConfigError: the URL is none of Redis.
    """

    shared = True

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        self._client: Any = _client(url)  # redis-py's types do not tell sync from async
        self._clock = clock
        self._thread = _OfThread()
        self.name = _name_of(url, self._client)

    def __repr__(self) -> str:
        return f"RedisStore({self.name!r})"

    def reserve(
        self,
        key: str,
        meters: Sequence[Meter],
        amounts: Sequence[float],
        ticket: str,
        *,
        priority: int = 0,
        lease_ttl_s: float,
        ticket_ttl_s: float,
        max_wait_s: float = inf,
    ) -> Admission:
        """Ask for an amount of each limit."""
        status, wait_s, limit = self._change(
            "reserve",
            key,
            meters,
            amounts=list(amounts),
            ticket=ticket,
            priority=priority,
            lease_ttl_s=lease_ttl_s,
            ticket_ttl_s=ticket_ttl_s,
            max_wait_s=max_wait_s,
        )
        return Admission(status, float(wait_s), int(limit) if limit else None)

    def arrived(self, key: str, meters: Sequence[Meter], lease: str) -> None:
        """The provider has this lease's request."""
        self._change("arrived", key, meters, lease=lease)

    def learn(self, key: str, meters: Sequence[Meter], lease: str, seen: Sequence[Seen]) -> None:
        """Correct the account by an answer's headers."""
        known = [
            {name: value for name, value in one._asdict().items() if value is not None}
            for one in seen
        ]
        self._change("learn", key, meters, lease=lease, seen=known)

    def settle(self, key: str, meters: Sequence[Meter], lease: str, spent: Sequence[float]) -> None:
        """Replace what is reserved by what was spent."""
        self._thread.turnstile.run_soon(
            lambda: self._apply("settle", key, meters, lease=lease, spent=list(spent))
        )

    def leave(self, key: str, meters: Sequence[Meter], ticket: str) -> None:
        """Give up, admitted or not."""
        self._thread.turnstile.run_soon(lambda: self._apply("leave", key, meters, ticket=ticket))

    def renew(self, key: str, holder: str, ttl_s: float) -> bool:
        """Keep a lease or a ticket alive; False if it is gone."""
        [known] = self._change("renew", key, (), holder=holder, ttl_s=ttl_s)
        return bool(known == "yes")

    def close_for(self, key: str, seconds: float) -> None:
        """Admit nothing for so long."""
        self._change("close_for", key, (), seconds=seconds)

    def snapshot(self, key: str, meters: Sequence[Meter]) -> Snapshot:
        """How full the buckets are."""
        running, waiting, closed_s, *levels = map(float, self._change("snapshot", key, meters))
        return Snapshot(
            [Level(*levels[place : place + 4]) for place in range(0, len(levels), 4)],
            int(running),
            int(waiting),
            closed_s,
        )

    def spend(self, key: str, model: str, spent: Spent) -> None:
        """Enter into the books what was used, under the present minute and day."""
        books = [_book(key, "minute"), _book(key, "day")]
        self._thread.turnstile.run_soon(
            lambda: self._run(_BOOKS, books, model, self._now(), *astuple(spent))
        )

    def usage(self, key: str | None = None) -> list[Used]:
        """The books, of one account or of all, oldest first."""

        def read() -> list[Used]:
            with self._errors():
                keys = [key] if key is not None else self._keys()
                return [line for one in keys for line in self._lines(one)]

        return sorted(
            self._thread.turnstile.run(read),
            key=lambda line: (line.start_unix_s, line.span, line.key, line.model),
        )

    def close(self) -> None:
        """Let go of the connections. A store that is used again opens new ones."""
        self._client.close()

    def _change(self, operation: str, key: str, meters: Sequence[Meter], **asked: Any) -> Any:
        return self._thread.turnstile.run(lambda: self._apply(operation, key, meters, **asked))

    def _apply(self, operation: str, key: str, meters: Sequence[Meter], **asked: Any) -> Any:
        asked["meters"] = [meter._asdict() for meter in meters]
        return self._run(_ACCOUNT, [account_key(key)], operation, json.dumps(asked), self._now())

    def _run(self, script: _Script, keys: Sequence[str], *arguments: str | int) -> Any:
        with self._errors():
            try:
                return self._client.evalsha(script.sha, len(keys), *keys, *arguments)
            except redis.exceptions.NoScriptError:  # a new server, or one that was restarted
                return self._client.eval(script.source, len(keys), *keys, *arguments)

    def _now(self) -> str:
        return "" if self._clock is None else repr(self._clock())

    def _keys(self) -> set[str]:
        """The accounts that have books: a walk through all keys of the server."""
        return {
            name.removeprefix("batchwrap:{").removesuffix("}:day")
            for name in self._client.scan_iter(match=_book("*", "day"), count=1_000)
        }

    def _lines(self, key: str) -> Iterator[Used]:
        spans: tuple[_Span, ...] = ("minute", "day")
        for span in spans:
            for field, counts in self._client.hgetall(_book(key, span)).items():
                start, _, model = field.partition(" ")
                yield Used(key, model, span, int(start), Spent(*map(int, counts.split())))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except redis.exceptions.RedisError as error:
            raise StoreUnavailable(self.name, str(error)) from error


class _OfThread(local):
    """Threads do not wait for each other, but a finaliser waits for the thread it came in by."""

    def __init__(self) -> None:
        self.turnstile = Turnstile()


class _Script:
    def __init__(self, *parts: str) -> None:
        folder = files(__package__)
        texts = [folder.joinpath(part).read_text(encoding="utf-8") for part in parts]
        self.source = "\n".join([*_constants(), *texts])
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()


def _constants() -> Iterator[str]:
    """The constants that the scripts share with Python."""
    names = {
        windows: ("TICK_S", "DUST", "SLICES", "ROUNDING_S"),
        account: ("BACK_S", "ARRIVAL_S", "LEAST_WAIT_S", "MOST"),
        contract: ("MINUTE_S", "DAY_S", "MINUTES_KEPT_S", "DAYS_KEPT_S"),
    }
    for module, wanted in names.items():
        for name in wanted:
            yield f"local {name} = {getattr(module, name)!r}"
    yield f"local KEEP_S, MOST_TTL_S = {_KEEP_S!r}, {_MOST_TTL_S!r}"


_ACCOUNT = _Script("windows.lua", "account.lua")
_BOOKS = _Script("books.lua")


def account_key(key: str) -> str:
    """Where an account is kept. The number is that of the format."""
    return f"batchwrap:{{{key}}}:account:1"


def _book(key: str, span: _Span) -> str:
    return f"batchwrap:{{{key}}}:{span}"


def _client(url: str) -> redis.Redis:
    try:
        client = redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            # Nothing is sent twice. A connection that was closed meanwhile is made anew anyhow.
            retry=Retry(NoBackoff(), 0),
        )
        pool = client.connection_pool
        # Made and dropped: an option that does not exist is found now.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError) as error:
        del error  # it may quote the password
        message = 'is no URL of Redis: "redis://host:6379/0", "rediss://…", "unix:///path"'
        raise ConfigError("Throttle.store", message) from None
    return client


def _name_of(url: str, client: redis.Redis) -> str:
    """The URL without user, password and options."""
    scheme, found = url.partition("://")[0], client.connection_pool.connection_kwargs
    if "path" in found:
        return f"{scheme}://{found['path']}"
    host, port = found.get("host", "localhost"), found.get("port", 6379)
    return f"{scheme}://{host}:{port}/{found.get('db', 0)}"
