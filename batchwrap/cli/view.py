"""A shared store at one moment: its books (usage records), and the buckets of one plan."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from batchwrap.cli.books import Page, Today, pages
from batchwrap.core.limits.state import Snapshot
from batchwrap.errors import ConfigError
from batchwrap.options import Limit, Throttle
from batchwrap.providers import plan
from batchwrap.throttle.accounts import Account, Origin
from batchwrap.throttle.budget import Budget
from batchwrap.throttle.presence import describe_owner
from batchwrap.throttle.scope import LimitScope
from batchwrap.throttle.standing import Standing
from batchwrap.throttle.stores import BookLine
from batchwrap.throttle.stores.contract import DAY_S

_SHARED = ("sqlite:", "redis:", "rediss:", "redis+", "rediss+", "unix:")
_SHARED_ARE = 'use "sqlite:///path", "redis://…", "redis+cluster://…" or "redis+sentinel://…"'


@dataclass(frozen=True, slots=True)
class Running:
    """An account whose limits are not known.

    Attributes:
        key: its key in the store: the account, and the scope of its limits.
        now: the running and waiting requests.
    """

    key: str
    now: Snapshot


@dataclass(frozen=True, slots=True)
class View:
    """A store at one moment. No API key can be inferred from the accounts' names.

    Attributes:
        store: its URL, without a password.
        at_unix_s: the time.
        pages: the usage, by account and model.
        standings: the buckets of the plan; empty if no plan was named.
        others: the accounts that do not have the limits of the plan.
    """

    store: str
    at_unix_s: float
    pages: list[Page]
    standings: list[Standing]
    others: list[Running]


class Viewer:
    """Reads a store, as often as it is asked.

    Args:
        url: the store, as in `Throttle.store`.
        name: the plan whose buckets are shown, written exactly as in `Throttle.limits`, since
            the buckets are named after it.

    Raises:
        ConfigError: the store or the plan does not exist, or no other process can see the store.
        StoreUnavailable: it cannot be opened now.
    """

    def __init__(self, url: str, name: str | None = None) -> None:
        _check(url)
        limits = plan(name).limits if name is not None else ()
        self._zones = [limit.zone for limit in limits if _is_a_day(limit)]
        # A client's own `Budget` with these options, so that its buckets have the same names.
        self._budget = Budget(Throttle(limits=name or "auto", store=url))
        self._store = self._budget.limiter.store

    def look(self) -> View:
        """The current content of the store.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        now_s = time.time()
        found = pages(self._store.usage(), now_s, self._zones)
        planned = self._planned(found)
        standings = [
            Standing(account, scope, self._store.snapshot(key, scope.meters))
            for key, (account, scope) in planned.items()
        ]
        rest = (key for key in self._store.accounts() if key not in planned)
        others = [Running(key, self._store.snapshot(key, ())) for key in rest]
        return View(self._store.name, now_s, found, standings, others)

    def _planned(self, found: Iterable[Page]) -> dict[str, tuple[str, LimitScope]]:
        """Each account that has limits of the plan, by its key in the store."""
        scopes = [(page.account, self._scope(page.model)) for page in found]
        return {scope.key(Account(who)): (who, scope) for who, scope in scopes if scope.limits}

    def _scope(self, model: str) -> LimitScope:
        return self._budget.request({"model": model}, Origin()).scope()


def as_dict(view: View) -> dict[str, Any]:
    """A view as a dict for JSON, with times in UTC."""
    return {
        "store": view.store,
        "at": _iso(view.at_unix_s),
        "books": [_page_as_dict(page) for page in view.pages],
        "buckets": [_standing_as_dict(standing) for standing in view.standings],
        "others": [{"account": one.key, **_now_as_dict(one.now)} for one in view.others],
    }


def _page_as_dict(page: Page) -> dict[str, Any]:
    return {
        "account": page.account,
        "model": page.model,
        "minutes": [_line_as_dict(line) for line in page.minutes],
        "today": [_today_as_dict(day) for day in page.today],
        "days": [_line_as_dict(line) for line in page.days],
    }


def _today_as_dict(day: Today) -> dict[str, Any]:
    start, spent, unclear = _iso(day.start_unix_s), asdict(day.spent), asdict(day.unclear)
    return {"zone": day.zone, "start": start, "spent": spent, "unclear": unclear}


def _line_as_dict(line: BookLine) -> dict[str, Any]:
    return {"start": _iso(line.start_unix_s), "spent": asdict(line.spent)}


def _standing_as_dict(standing: Standing) -> dict[str, Any]:
    return {
        "account": standing.account,
        "name": standing.scope.name,
        **_now_as_dict(standing.now),
        "limits": [
            {**asdict(limit), **level._asdict(), "full_s": full_s}
            for limit, level, full_s in standing.levels
        ],
    }


def _now_as_dict(now: Snapshot) -> dict[str, Any]:
    queue = [
        {
            "process": describe_owner(one.owner),
            "waited_s": one.waited_s,
            "amounts": list(one.amounts),
        }
        for one in now.queue
    ]
    return {
        "running": now.running,
        "waiting": now.waiting,
        "closed_s": now.closed_s,
        "queue": queue,
    }


def _iso(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="seconds")


def _is_a_day(limit: Limit) -> bool:
    return limit.mode == "fixed" and limit.per_s == DAY_S


def _check(url: str) -> None:
    """Refuse a store that cannot be read. Errors do not quote the URL: it may hold a password.

    Raises:
        ConfigError: it is no shared store, or does not exist.
    """
    if url == "memory":
        problem = '"memory" is inside each process, so no other process can read it'
        raise ConfigError("--store", f"{problem}; {_SHARED_ARE}")
    if not url.startswith(_SHARED):
        raise ConfigError("--store", f"is no known kind of store; {_SHARED_ARE}")
    if url.startswith("sqlite:"):
        from batchwrap.throttle.stores.sqlite import path_of

        if not (path := path_of(url)).exists():
            raise ConfigError("--store", f"{path} does not exist; the first request creates it")
