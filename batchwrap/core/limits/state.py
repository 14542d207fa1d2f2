"""The state of one account, and the answers of its operations (see `account`).

The state is JSON that files and servers keep. Its keys are a file format and must not change.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, NotRequired, TypedDict

from batchwrap.core.limits.windows import Bucket

Amounts = dict[str, float]


class Reserved(TypedDict):
    """What an admitted ticket has reserved.

    Attributes:
        owner: the process that made it; empty in the memory of one process.
        amounts: what is reserved, by the name of the limit.
        at: when it was admitted.
        alone: whether nothing else was reserved when it was admitted.
        left: by limit, what was left at that time, plus everything learned before it.
        low: by limit, the smallest amount in the bucket since this one was added; no more than
            that can be given back. A continuous limit is missing while the request is in transit to
            the provider, and a limit of concurrency always.
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
        since: when it entered the queue.
        since: when it came.
        amounts: what it needs, by the name of the limit.
    """

    id: str
    owner: str
    priority: int
    since: float
    amounts: Amounts


class Crowd(TypedDict):
    """The number of requests that may run at a time, as inferred from refusals.

    Attributes:
        most: the number.
        ended: how many have ended while that many ran, since the last refusal or growth.
        patience: `most` grows by one after that many have ended.
        grew: 1 if it has grown since the last refusal, otherwise 0.
    """

    most: int
    ended: int
    patience: int
    grew: int


class AccountState(TypedDict):
    """An account.

    Attributes:
        at: the account's own time.
        skew: the account's own time minus the store's clock.
        closed: nothing is admitted before this time.
        heard: seconds in which owners could report, so far; see `account`.
        owners: the time, by `heard`, until which each process counts as alive.
        buckets: by the name of the limit.
        leases: the reservations, by ticket.
        queue: the waiting tickets, in the order of admission.
        crowd: how many may run at a time, once the provider has refused because of that.
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
            queue. ``"late"``: it would wait longer than the maximum. ``"never"``: an amount is
            above a capacity. In the last two cases it is not in the queue.
        wait_s: seconds until it is useful to ask again (0 if admitted or never).
        limit: the index of the limit that causes the wait, if one does: for this ticket when it
            enters the queue, later for the first ticket of the queue.
        expected_s: when a ticket enters the queue: seconds until it is admitted if only time
            gives something back; infinite if only the end of another request does.
    """

    status: Literal["admitted", "waiting", "late", "never"]
    wait_s: float = 0.0
    limit: int | None = None
    expected_s: float = 0.0


class Seen(NamedTuple):
    """What an answer's headers say about one limit.

    Attributes:
        limit: its index.
        remaining: what is left according to the provider.
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
        capacity: its size.
        free: what can be taken now; negative if too much was spent.
        reserved: what is reserved and not yet settled.
        full_s: seconds until it is full if no request is made.
    """

    capacity: float
    free: float
    reserved: float
    full_s: float


class Place(NamedTuple):
    """A place in the queue, as it is now.

    Attributes:
        owner: the process that waits; empty in the memory of one process.
        waited_s: how long it has waited.
        amounts: what it needs of each limit.
    """

    owner: str
    waited_s: float
    amounts: tuple[float, ...]


class Snapshot(NamedTuple):
    """The present state of an account.

    Attributes:
        levels: of each limit, in order.
        running: the number of requests with a reservation.
        queue: the places, in the order of admission.
        closed_s: seconds in which nothing is admitted.
    """

    levels: list[Level]
    running: int
    queue: list[Place]
    closed_s: float

    @property
    def waiting(self) -> int:
        """The number of tickets in the queue."""
        return len(self.queue)


def empty(now: float) -> AccountState:
    """An account without any usage."""
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
