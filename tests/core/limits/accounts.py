"""An account whose clock the test sets, and a record of what it has admitted."""

import json
from collections.abc import Callable
from math import inf
from typing import Any

from hypothesis import strategies as st

from batchwrap.core.limits import account
from batchwrap.core.limits.account import ARRIVAL_S
from batchwrap.core.limits.state import AccountState, Admission, Seen, Snapshot, empty
from batchwrap.core.limits.windows import LimitMeter, meters
from batchwrap.options import Limit

START = 1_000_000.0
CONTINUOUS = Limit("tokens", 600, 64)
FIXED = Limit("tokens", 600, 64, "fixed")
ROLLING = Limit("tokens", 600, 64, "rolling")
RUNNING = Limit("concurrency", 3)
MODES = [CONTINUOUS, FIXED, ROLLING]


class Account:
    """An account with a clock that the test sets. Its state is only ever kept as JSON."""

    def __init__(self, *limits: Limit, offset_s: float = 0.0) -> None:
        self.meters: tuple[LimitMeter, ...] = meters(limits, [offset_s] * len(limits))
        self.now = START
        self._kept = json.dumps(empty(START))

    @property
    def state(self) -> AccountState:
        """The state, as it would come from a store."""
        state: AccountState = json.loads(self._kept)
        return state

    def _keep(self, change: Callable[[AccountState], Any]) -> Any:
        state = self.state
        result = change(state)
        self._kept = json.dumps(state, allow_nan=False)
        return result

    def reserve(self, ticket: str, *amounts: float, **options: Any) -> Admission:
        """Ask for these amounts; a single one is for each limit."""
        given = list(amounts) * (len(self.meters) if len(amounts) == 1 else 1)
        admission: Admission = self._keep(
            lambda state: account.reserve(
                state, self.meters, given, ticket, now=self.now, **options
            )
        )
        return admission

    def take(self, ticket: str, *amounts: float, **options: Any) -> None:
        """Reserve, and be admitted."""
        assert self.reserve(ticket, *amounts, **options).status == "admitted"

    def arrived(self, ticket: str) -> None:
        """It is with the provider."""
        self._keep(lambda state: account.arrived(state, self.meters, ticket, now=self.now))

    def settle(self, ticket: str, *spent: float) -> None:
        """It is over."""
        given = list(spent) * (len(self.meters) if len(spent) == 1 else 1)
        self._keep(lambda state: account.settle(state, self.meters, ticket, given, now=self.now))

    def leave(self, ticket: str) -> None:
        """Give up."""
        self._keep(lambda state: account.leave(state, self.meters, ticket, now=self.now))

    def renew(self, owner: str, *holders: str) -> None:
        """A heartbeat."""
        self._keep(lambda state: account.renew(state, self.meters, owner, holders, now=self.now))

    def close_for(self, seconds: float) -> None:
        """The provider wants no more for a while."""
        self._keep(lambda state: account.close_for(state, seconds, now=self.now))

    def crowded(self, ticket: str, seconds: float = 1.0) -> None:
        """The provider has refused it: too many run."""
        self._keep(lambda state: account.crowded(state, self.meters, ticket, seconds, now=self.now))

    def learn(self, ticket: str, *seen: Seen) -> None:
        """The headers of its answer."""
        self._keep(lambda state: account.learn(state, self.meters, ticket, seen, now=self.now))

    def snapshot(self) -> Snapshot:
        """As it is now."""
        shot: Snapshot = self._keep(
            lambda state: account.snapshot(state, self.meters, now=self.now)
        )
        return shot

    @property
    def free(self) -> list[float]:
        """What can be taken now, of each limit."""
        return [level.free for level in self.snapshot().levels]


# What happens, to whom, and after how many seconds; the clock may jump in both directions.
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve"] * 4 + ["settle"] * 3 + ["arrived", "leave", "renew"]),
        st.integers(0, 4),
        st.sampled_from([0, 50, 200, 300, 600]),
        st.sampled_from([0.0] * 6 + [0.5, 3.0, 10.0, 30.0, 64.0, -0.5, -40.0, 1e5, -1e5]),
    ),
    max_size=40,
)


class Told:
    """What was admitted, as the test has seen it: when it counts, and what it came to."""

    def __init__(self) -> None:
        self.open: dict[str, dict[str, float]] = {}
        self.done: list[dict[str, float]] = []

    def admitted(self, ticket: str, amount: float, at: float) -> None:
        """A reservation begins."""
        held = {"at": at, "arrives": at + ARRIVAL_S, "ends": inf, "amount": amount}
        self.open[ticket] = held
        self.done.append(self.open[ticket])

    def arrived(self, ticket: str, at: float) -> None:
        """It is with the provider from now on."""
        if ticket in self.open:
            self.open[ticket]["arrives"] = min(self.open[ticket]["arrives"], at)

    def settled(self, ticket: str, spent: float, at: float) -> None:
        """It is over, and came to so much."""
        self.arrived(ticket, at)
        self.open.pop(ticket).update(amount=spent, ends=at)


def run(one: Account, steps: list[tuple[str, int, int, float]]) -> Told:
    """Do all this, and keep a record of it. Nobody spends more than he has reserved."""
    told, number, names = Told(), 0, [f"t{index}" for index in range(5)]
    for action, who, amount, passed in steps:
        one.now += passed
        ticket = names[who]
        one.snapshot()
        at = one.state["at"]
        if action == "reserve":
            waiting = {other["id"]: other["amounts"] for other in one.state["queue"]}
            asked = float(amount)
            if ticket in waiting:
                asked = max(waiting[ticket].values())
            given = [1.0 if meter.mode == "concurrency" else asked for meter in one.meters]
            known = ticket in told.open
            admission = one.reserve(ticket, *given)
            if admission.status == "admitted" and not known:
                told.admitted(ticket, asked, at)
            assert len(told.open) == one.snapshot().running
        elif action == "settle" and ticket in told.open:
            spent = min(float(amount), told.open[ticket]["amount"])
            one.settle(ticket, *[spent] * len(one.meters))
            told.settled(ticket, spent, at)
            number += 1
            names[who] = f"t{who}-{number}"
        elif action == "arrived":
            one.arrived(ticket)
            told.arrived(ticket, at)
        elif action == "leave" and ticket not in told.open:
            one.leave(ticket)
    return told
