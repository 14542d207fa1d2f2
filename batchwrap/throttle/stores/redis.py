"""Accounts on Redis servers, for several hosts.

Every operation is one atomic script on the server's clock: one round trip. The scripts repeat the
arithmetic of `core.limits.account`; a property test compares the two. All keys of an account are in
one slot of a cluster. They expire: an account when it has been full for long, a line of the books
when it is old. The server should not evict keys (``maxmemory-policy noeviction``), since usage that
it forgets counts as not spent.
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
from typing import Any, Literal, TypeVar

from batchwrap.core.limits import account, windows
from batchwrap.core.limits.state import Admission, Level, Place, Seen, Snapshot
from batchwrap.core.limits.windows import LimitMeter
from batchwrap.errors import StoreRefused, StoreUnavailable
from batchwrap.throttle.stores import contract
from batchwrap.throttle.stores.contract import BookLine, TokenTotals, book_line
from batchwrap.throttle.stores.redis_servers import errors, servers_of
from batchwrap.throttle.stores.turnstile import Turnstile

# An account is kept for this long after it is full, with what was learned about its provider.
_KEEP_S = 3_600.0
# Redis keeps expiry times as milliseconds in 64 bits. Ten years are as good as for ever.
_MAX_TTL_S = 10 * 365 * 86_400.0

# If one of these is lost in a fail-over, more is admitted than the limits allow. A lost settlement
# gives back less; its ticket is dropped once its owner does not report it any more.
_LASTING = ("reserve",)

T = TypeVar("T")
_Span = Literal["minute", "day"]


class RedisStore:
    """One budget for all hosts that use the same server; see `contract.Store` for the methods.

    It connects at the first operation.

    Args:
        url: ``"redis://[[user]:password@]host[:port][/db]"``, ``"rediss://…"`` for TLS,
            ``"unix:///path/to/socket"``, ``"redis+cluster://host:7000,host:7001"``, or
            ``"redis+sentinel://host:26379,host:26379/name[/db]"``. The options of redis-py may
            follow as a query: ``"?socket_timeout=0.5"`` (2 seconds by default), with a cluster
            or sentinels ``failover_s`` as well (15 seconds by default).
        clock: seconds, in place of the server's clock; for tests.

    Raises:
        ConfigError: the URL is not one of Redis.
    """

    shared = True

    def __init__(self, url: str, *, clock: Callable[[], float] | None = None) -> None:
        self._servers = servers_of(url)
        self._clock = clock
        self._thread = _OfThread()
        self.name = self._servers.name

    def __repr__(self) -> str:
        return f"RedisStore({self.name!r})"

    def reserve(
        self,
        key: str,
        meters: Sequence[LimitMeter],
        amounts: Sequence[float],
        ticket: str,
        *,
        priority: int = 0,
        owner: str = "",
        max_wait_s: float = inf,
    ) -> Admission:
        """Reserve an amount of each limit. See `account.reserve`."""
        status, wait_s, limit, expected_s = self._change(
            "reserve",
            key,
            meters,
            amounts=list(amounts),
            ticket=ticket,
            priority=priority,
            owner=owner,
            max_wait_s=max_wait_s,
        )
        place = int(limit) if limit else None
        return Admission(status, float(wait_s), place, float(expected_s))

    def arrived(self, key: str, meters: Sequence[LimitMeter], ticket: str) -> None:
        """Record that the provider has the ticket's request. See `account.arrived`."""
        self._change("arrived", key, meters, ticket=ticket)

    def learn(
        self, key: str, meters: Sequence[LimitMeter], ticket: str, seen: Sequence[Seen]
    ) -> None:
        """Correct the account by an answer's headers. See `account.learn`."""
        known = [
            {name: value for name, value in one._asdict().items() if value is not None}
            for one in seen
        ]
        self._change("learn", key, meters, ticket=ticket, seen=known)

    def settle(
        self, key: str, meters: Sequence[LimitMeter], ticket: str, spent: Sequence[float]
    ) -> None:
        """Replace what is reserved by what was spent. See `account.settle`."""
        self._thread.turnstile.run_soon(
            lambda: self._apply("settle", key, meters, ticket=ticket, spent=list(spent))
        )

    def leave(self, key: str, meters: Sequence[LimitMeter], ticket: str) -> None:
        """Give up, admitted or not. See `account.leave`."""
        self._thread.turnstile.run_soon(lambda: self._apply("leave", key, meters, ticket=ticket))

    def renew(
        self, key: str, meters: Sequence[LimitMeter], owner: str, holders: Sequence[str]
    ) -> None:
        """Record that an owner is alive and which tickets it has. See `account.renew`."""
        self._change("renew", key, meters, owner=owner, holders=list(holders))

    def close_for(self, key: str, seconds: float) -> None:
        """Admit nothing for this long. See `account.close_for`."""
        self._change("close_for", key, (), seconds=seconds)

    def crowded(self, key: str, meters: Sequence[LimitMeter], ticket: str, seconds: float) -> None:
        """Record a refusal because too many requests run. See `account.crowded`."""
        self._change("crowded", key, meters, ticket=ticket, seconds=seconds)

    def snapshot(self, key: str, meters: Sequence[LimitMeter]) -> Snapshot:
        """The levels of the buckets. See `account.snapshot`."""
        running, waiting, closed_s, *rest = self._change("snapshot", key, meters)
        width = 2 + len(meters)
        cut = int(waiting) * width
        queue = [_place(rest[at : at + width]) for at in range(0, cut, width)]
        levels = [Level(*map(float, rest[at : at + 4])) for at in range(cut, len(rest), 4)]
        return Snapshot(levels, int(running), queue, float(closed_s))

    def spend(self, key: str, model: str, spent: TokenTotals) -> None:
        """Add usage to the books, under the current minute and day."""
        books = [_book(key, "minute"), _book(key, "day")]
        self._thread.turnstile.run_soon(
            lambda: self._run(_BOOKS, books, model, self._now(), *astuple(spent))
        )

    def accounts(self) -> list[str]:
        """The keys of all accounts that are kept, in alphabetical order."""
        return sorted(self._read(lambda: self._keys(account_key("*"))))

    def usage(self, key: str | None = None) -> list[BookLine]:
        """The books, of one account or of all, oldest first."""

        def read() -> list[BookLine]:
            keys = [key] if key is not None else self._keys(_book("*", "day"))
            return [line for one in keys for line in self._lines(one)]

        return sorted(
            self._read(read), key=lambda line: (line.start_unix_s, line.span, line.key, line.model)
        )

    def close(self) -> None:
        """Close the connections. A store that is used again opens new ones."""
        self._servers.close()

    def _change(self, operation: str, key: str, meters: Sequence[LimitMeter], **asked: Any) -> Any:
        return self._thread.turnstile.run(lambda: self._apply(operation, key, meters, **asked))

    def _apply(self, operation: str, key: str, meters: Sequence[LimitMeter], **asked: Any) -> Any:
        asked["meters"] = [meter._asdict() for meter in meters]
        arguments = operation, json.dumps(asked), self._now()
        return self._run(_ACCOUNT, [account_key(key)], *arguments, lasting=operation in _LASTING)

    def _run(
        self, script: _Script, keys: Sequence[str], *arguments: str | int, lasting: bool = False
    ) -> Any:
        rest = (len(keys), *keys, *arguments)
        with self._errors():
            try:
                return self._servers.run(keys[0], "EVALSHA", script.sha, *rest, lasting=lasting)
            except errors.NoScriptError:  # the server is new or was restarted
                return self._servers.run(keys[0], "EVAL", script.source, *rest, lasting=lasting)

    def _now(self) -> str:
        return "" if self._clock is None else repr(self._clock())

    def _read(self, operation: Callable[[], T]) -> T:
        def read() -> T:
            with self._errors():
                return operation()

        return self._thread.turnstile.run(read)

    def _keys(self, named: str) -> set[str]:
        """The accounts with a key of this form, found by a scan over all keys of the servers."""
        before, _, after = named.partition("*")
        return {
            name.removeprefix(before).removesuffix(after)
            for client in self._servers.each()
            for name in client.scan_iter(match=named, count=1_000)
        }

    def _lines(self, key: str) -> Iterator[BookLine]:
        spans: tuple[_Span, ...] = ("minute", "day")
        for span in spans:
            book = _book(key, span)
            for field, counts in self._servers.run(book, "HGETALL", book).items():
                start, _, model = field.partition(" ")
                yield book_line(self.name, key, model, span, start, *counts.split())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (errors.RedisError, errors.RedisClusterException) as error:
            kind = StoreRefused if self._servers.is_refusal(error) else StoreUnavailable
            raise kind(self.name, str(error)) from error


def _place(reply: Sequence[str]) -> Place:
    owner, waited_s, *amounts = reply
    return Place(owner, float(waited_s), tuple(map(float, amounts)))


class _OfThread(local):
    """A turnstile for each thread, so a finaliser waits for its own thread's operation only."""

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
        account: (
            *("BACK_S", "ARRIVAL_S", "TTL_S", "STEP_S", "MIN_WAIT_S", "MAX_AMOUNT"),
            "LATEST_S",
            *("PATIENCE", "MAX_PATIENCE"),
        ),
        contract: ("MINUTE_S", "DAY_S", "MINUTES_KEPT_S", "DAYS_KEPT_S"),
    }
    for module, wanted in names.items():
        for name in wanted:
            yield f"local {name} = {getattr(module, name)!r}"
    yield f"local KEEP_S, MAX_TTL_S = {_KEEP_S!r}, {_MAX_TTL_S!r}"


_ACCOUNT = _Script("windows.lua", "account.lua")
_BOOKS = _Script("books.lua")


def account_key(key: str) -> str:
    """The Redis key of an account. The number is the version of the format."""
    return f"batchwrap:{{{key}}}:account:2"


def _book(key: str, span: _Span) -> str:
    return f"batchwrap:{{{key}}}:{span}"
