"""Which accounts of a pool take requests.

A key that is revoked, out of money, or spent for hours is out of the pool for as long as the
provider says. Where it does not say, one request tries the key again after a minute, and after
twice as long each time that it is refused, up to an hour; all others take other keys meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import RLock

from batchwrap._forks import renew_in_child
from batchwrap.throttle.accounts import Account

_log = logging.getLogger("batchwrap")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 60.0, 3_600.0
_MOST_ENTRIES = 4_096


@dataclass(slots=True)
class _Out:
    """An account that is out.

    Attributes:
        until_s: when a request may try it again.
        pause_s: how long it is out if that request is refused, too, and no time is said.
        is_tried: whether that request is under way.
    """

    until_s: float
    pause_s: float
    is_tried: bool = False


class Pool:
    """The accounts of one budget that are out, each in the scope in which it was refused.

    Args:
        clock: seconds of any clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._out: dict[tuple[str, str], _Out] = {}
        self._lock = RLock()  # the garbage collector may settle a stream while this is held
        renew_in_child(self)

    def after_fork(self) -> None:
        """Another thread may have held the lock."""
        self._lock = RLock()

    def leave(self, account: Account, scope: str, told_s: float | None) -> None:
        """Take an account out, for as long as the provider has told; None: it has not."""
        with self._lock:
            out, now = self._out.pop((account.name, scope), None), self._clock()
            pause_s = _FIRST_PAUSE_S if out is None else out.pause_s
            if out is not None and out.is_tried:
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            until_s = now + (pause_s if told_s is None else told_s)
            self._out[account.name, scope] = _Out(until_s, pause_s)
            while len(self._out) > _MOST_ENTRIES:
                del self._out[next(iter(self._out))]
        _log.warning(
            "the key of account %s is left out of the pool for %.0f s: the provider refuses it",
            account.name,
            until_s - now,
        )

    def came_back(self, account: Account, scope: str) -> None:
        """An account has taken a request."""
        if self._out:
            with self._lock:
                self._out.pop((account.name, scope), None)

    def usable(self, accounts: Sequence[Account], scope: str) -> bool:
        """Whether any of these accounts may take a request now."""
        with self._lock:
            return any(self._is_usable(account, scope) for account in accounts)

    def choose(self, accounts: Sequence[Account], scope: str) -> tuple[Account, ...]:
        """Those that may take a request, in the same order.

        An account whose time is over comes first, once: this request tries it. Where all are
        out it is the one that comes back first, so that the provider's own error is seen.
        """
        if not self._out or len(accounts) == 1:
            return tuple(accounts)
        with self._lock:
            now = self._clock()
            outs = {one.name: self._out.get((one.name, scope)) for one in accounts}
            for account in accounts:
                out = outs[account.name]
                if out is not None and out.until_s <= now:
                    out.until_s, out.is_tried = now + out.pause_s, True
                    rest = [one for one in accounts if outs[one.name] is None]
                    return (account, *rest)
            inside = tuple(one for one in accounts if outs[one.name] is None)
            return inside or (min(accounts, key=lambda one: _until(outs[one.name])),)

    def _is_usable(self, account: Account, scope: str) -> bool:
        out = self._out.get((account.name, scope))
        return out is None or out.until_s <= self._clock()


def _until(out: _Out | None) -> float:
    return out.until_s if out is not None else 0.0
