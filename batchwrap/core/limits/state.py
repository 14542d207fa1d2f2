"""The state of one account, and what its operations (see `account`) answer.

All of the state is JSON that files and servers keep: its keys are a format, and do not change.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, NotRequired, TypedDict

from batchwrap.core.limits.windows import Bucket

Amounts = dict[str, float]


class Reserved(TypedDict):
    """What an admitted ticket has reserved.

    Attributes:
        owner: the process that has it; empty in the memory of one process.
        amounts: what is reserved, by the name of the limit.
        at: when.
        alone: whether nothing else was reserved when it was admitted.
        left: by limit, what was left then, plus all that had been learned by then.
        low: by limit, the smallest amount in the bucket since this one came into it; no more
            can be given back. A continuous limit is missing while the request is on its way to
            the provider, and one of concurrency always.
    """

    owner: str
    amounts: Amounts
    at: float
    alone: bool
    left: Amounts
    low: Amounts


class Ticket(TypedDict):
    """A place in the queue.

    Attributes:
        id: an id that the limiter has made.
        owner: the process that waits; empty in the memory of one process.
        priority: lower ones go first.
        since: when it came.
        amounts: what it needs, by the name of the limit.
    """

    id: str
    owner: str
    priority: int
    since: float
    amounts: Amounts


class Crowd(TypedDict):
    """How many requests may run at the same time, as inferred from refusals.

    Attributes:
        most: how many may run.
        ended: how many have ended while so many ran, since the last refusal or the last growth.
        patience: `most` grows by one when so many have ended.
        grew: 1 if it has grown since the last refusal, else 0.
    """

    most: int
    ended: int
    patience: int
    grew: int


class AccountState(TypedDict):
    """An account.

    Attributes:
        at: its own time.
        skew: its own time, less the store's clock.
        closed: nothing is admitted before this time.
        heard: seconds in which owners could be heard of, so far; see `account`.
        owners: until when, by `heard`, each process counts as alive.
        buckets: by the name of the limit.
        leases: what is reserved, by ticket.
        queue: the tickets that wait, in the order in which they will be admitted.
        crowd: how many may run at the same time, once the provider has refused for that.
    """

    at: float
    skew: float
    closed: float
    heard: float
    owners: dict[str, float]
    buckets: dict[str, Bucket]
    leases: dict[str, Reserved]
    queue: list[Ticket]
    crowd: NotRequired[Crowd]


class Admission(NamedTuple):
    """The answer to `reserve`.

    Attributes:
        status: ``"admitted"``: the amounts are reserved. ``"waiting"``: the ticket is in the
            queue. ``"late"``: its wait would be above the maximum, and ``"never"``: an amount is
            above a capacity; in both cases it is not in the queue.
        wait_s: seconds until it makes sense to ask again (0 if admitted or never).
        limit: the index of the limit that is in the way, if a limit is: when a ticket enters
            the queue, in the way of this ticket, later in the way of the first one.
        expected_s: when a ticket enters the queue: seconds until it would be admitted if time
            alone gave something back; infinite where only the end of another request does.
    """

    status: Literal["admitted", "waiting", "late", "never"]
    wait_s: float = 0.0
    limit: int | None = None
    expected_s: float = 0.0


class Seen(NamedTuple):
    """What an answer's headers say of one limit.

    Attributes:
        limit: its index.
        remaining: what the provider says is left.
        capacity: the provider's own limit.
        ends_s: seconds until its fixed period ends.
    """

    limit: int
    remaining: float | None = None
    capacity: float | None = None
    ends_s: float | None = None


class Level(NamedTuple):
    """How full a bucket is.

    Attributes:
        capacity: what fits in.
        free: what can be taken now; below zero if too much was spent.
        reserved: what is reserved and not settled yet.
        full_s: seconds until it is full, if no request comes.
    """

    capacity: float
    free: float
    reserved: float
    full_s: float


class Place(NamedTuple):
    """A place in the queue, as it is now.

    Attributes:
        owner: the process that waits; empty in the memory of one process.
        waited_s: for how long.
        amounts: what it needs of each limit.
    """

    owner: str
    waited_s: float
    amounts: tuple[float, ...]


class Snapshot(NamedTuple):
    """An account as it is now.

    Attributes:
        levels: of each limit, in their order.
        running: how many requests have something reserved.
        queue: the places, in the order in which they will be admitted.
        closed_s: for how many seconds nothing is admitted.
    """

    levels: list[Level]
    running: int
    queue: list[Place]
    closed_s: float

    @property
    def waiting(self) -> int:
        """How many tickets are in the queue."""
        return len(self.queue)


def empty(now: float) -> AccountState:
    """An account of which nothing is used."""
    return {
        "at": now,
        "skew": 0.0,
        "closed": now,
        "heard": 0.0,
        "owners": {},
        "buckets": {},
        "leases": {},
        "queue": [],
    }
