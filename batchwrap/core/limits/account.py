"""The arithmetic of limits: one account, which several threads, processes or hosts share.

Every operation changes a plain JSON state in place and reads no clock. A store keeps the state,
passes the time, and makes each operation atomic. A store that cannot run Python implements this
module and `windows` again (Redis, in Lua). A request goes through these operations:

    reserve (again and again, until admitted) ─► arrived ─► learn ─► settle
        └─► leave (gave up)

A request is identified by its ticket: an id that waits in the queue and then has something
reserved. The state calls reservations "leases"; the name stays because files and servers hold it.
Only the head of the queue may reserve, from all limits or from none, so small requests cannot
starve a large one.

Each ticket has an owner: a process, which reports regularly that it is alive and which tickets it
has (`renew`). A ticket that it does not report is dropped, which makes up for any settlement that
was lost. An owner that is silent for `TTL_S` counts as dead. Its tickets leave the queue, and its
reservations free their places among the running requests; their tokens stay spent, since the
requests may have used them. Of the time between two operations at most `STEP_S` counts as silence:
while the store was away, the machine slept, or a clock was set, no owner could have reported.

An account has a clock of its own, which follows the store's clock but never goes back. If the
store's clock goes back by less than `BACK_S`, as between hosts, the account's clock stops until the
store's has caught up. If it goes back by more, it was set, and the account's clock continues from
where it was: that refills nothing, and nothing waits for a time that was never right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf

from batchwrap.core.limits import windows
from batchwrap.core.limits.state import (
    AccountState,
    Admission,
    Amounts,
    Crowd,
    Level,
    Place,
    Reserved,
    Seen,
    Snapshot,
    Ticket,
)
from batchwrap.core.limits.windows import TICK_S, LimitMeter

# If the clock goes back by more than this, it was set.
BACK_S = 1.0
# A request has reached the provider after this time; if it takes longer, the model is at work.
ARRIVAL_S = 0.5
# An owner that was silent for this long counts as dead. It reports at each beat of its settlement
# worker, every half a second.
TTL_S = 2.0
# At most this much of the time between two operations counts as silence.
STEP_S = 0.5
# After a refusal for concurrency, this many requests must end successfully before one more may run.
# The number doubles, up to the maximum, each time that one more was too many.
PATIENCE, MAX_PATIENCE = 16, 256
# The shortest wait before a ticket asks again. Otherwise rounding errors could make it ask in a
# loop.
MIN_WAIT_S = 0.005
# Larger amounts and times are capped at this: the state is JSON, which has no infinity.
MAX_AMOUNT = 1e15
# The latest time of an account: with the longest wait.
LATEST_S = 2 * MAX_AMOUNT
_ADMITTED = Admission("admitted")


def reserve(
    state: AccountState,
    meters: Sequence[LimitMeter],
    amounts: Sequence[float],
    ticket: str,
    *,
    now: float,
    priority: int = 0,
    owner: str = "",
    max_wait_s: float = inf,
) -> Admission:
    """Reserve an amount of each limit. A ticket that waits asks again and keeps its place.

    Args:
        state: the account.
        meters: its limits.
        amounts: the amount of each limit.
        ticket: an id that the caller has made. A ticket that was admitted gets the same answer
            again.
        now: the store's clock.
        priority: lower ones go first; within one priority, first come, first served.
        owner: the process that asks, which is therefore alive; empty in the memory of one
            process.
        max_wait_s: the ticket does not enter the queue if it would wait longer than this even
            if everything that is reserved were given back.

    Returns:
        Whether it is admitted, and otherwise how long it waits.
    """
    _advance(state, meters, now, heard_of=owner)
    if ticket in state["leases"]:
        return _ADMITTED
    needs = _named(meters, amounts)
    for index, meter in enumerate(meters):
        if needs[meter.name] > meter.capacity:
            _dequeue(state, ticket)
            return Admission("never", 0.0, index)
    queue, expected_s, own_limit = state["queue"], 0.0, None
    used = _all_used(state, meters)
    if not queue and _wait(state, meters, needs, used)[0] <= TICK_S:
        _admit(state, meters, ticket, needs, owner, used)
        return _ADMITTED
    place = _place_of(queue, ticket)
    if place is None:
        place = sum(other["priority"] <= priority for other in queue)
        wait, limit = _wait_at(state, meters, needs, place, all_comes_back=True)
        if wait > max_wait_s:
            return Admission("late", wait, limit)
        expected_s, own_limit = _wait_at(state, meters, needs, place, all_comes_back=False)
        entry: Ticket = {
            "id": ticket,
            "owner": owner,
            "priority": priority,
            "since": state["at"],
            "amounts": needs,
        }
        queue.insert(place, entry)
    wait, limit = _wait(state, meters, queue[0]["amounts"], used)
    if place == 0 and wait <= TICK_S:
        _admit(state, meters, ticket, queue.pop(0)["amounts"], owner, used)
        return _ADMITTED
    if place > 0:
        wait = min(wait, TTL_S)  # the owners of the tickets before it may be dead by then
    limit = limit if own_limit is None else own_limit
    return Admission("waiting", max(wait, MIN_WAIT_S), limit, expected_s)


def arrived(state: AccountState, meters: Sequence[LimitMeter], ticket: str, *, now: float) -> None:
    """Record that the provider has received the ticket's request.

    The provider's continuous buckets begin to refill when the request arrives. If ours began
    when the amount was reserved, one network delay earlier, they would be ahead of the provider's
    by that delay, and the first tight request would be refused. So amounts in transit do not
    refill.
    """
    _advance(state, meters, now)
    if ticket in state["leases"]:
        _arrive(state, meters, state["leases"][ticket], state["at"])


def settle(
    state: AccountState,
    meters: Sequence[LimitMeter],
    ticket: str,
    spent: Sequence[float],
    *,
    now: float,
) -> None:
    """Replace what a ticket has reserved by what was spent, which may be more.

    Only the first settlement counts. An amount that is given back goes to the period in which it
    was taken; an amount beyond the reservation is taken now.
    """
    _advance(state, meters, now)
    held = state["leases"].pop(ticket, None)
    if held is None:
        return
    _count_ended(state)
    real = _named(meters, spent)
    for meter in meters:
        taken = held["amounts"].get(meter.name, 0.0) if meter.name in held["low"] else 0.0
        more = real[meter.name] - taken
        if more < 0:
            _give_back(state, meter, held, -more)
        elif meter.mode != "concurrency":
            windows.take(state["buckets"][meter.name], meter, state["at"], more)


def leave(state: AccountState, meters: Sequence[LimitMeter], ticket: str, *, now: float) -> None:
    """Leave the queue. A ticket that was admitted meanwhile has spent nothing."""
    settle(state, meters, ticket, [0.0] * len(meters), now=now)
    _dequeue(state, ticket)


def renew(
    state: AccountState,
    meters: Sequence[LimitMeter],
    owner: str,
    holders: Iterable[str],
    *,
    now: float,
) -> None:
    """Record that an owner is alive and has these tickets; its other tickets are dropped."""
    _advance(state, meters, now, heard_of=owner)
    known = set(holders)
    _drop(state, meters, lambda one, name: one["owner"] == owner and name not in known)


def close_for(state: AccountState, seconds: float, *, now: float) -> None:
    """Admit nothing for this long, as the provider has asked; the longest request counts."""
    state["closed"] = max(state["closed"], _tick(state, now) + min(seconds, MAX_AMOUNT))


def crowded(
    state: AccountState, meters: Sequence[LimitMeter], ticket: str, seconds: float, *, now: float
) -> None:
    """Record that the provider has refused the ticket's request because too many run at a time.

    The number of other running requests is the provider's limit as far as is known, so no more
    than these are admitted from now on. When a burst is refused request by request, exactly those
    remain that were accepted. If no other request runs, none can end and free a place, so nothing
    is admitted for some seconds.

    The limit grows by one when many requests have ended while as many ran as it allows. If that
    was one too many, it takes twice as long the next time.
    """
    _advance(state, meters, now)
    others = len(state["leases"]) - (ticket in state["leases"])
    if others == 0:
        state["closed"] = max(state["closed"], state["at"] + min(seconds, MAX_AMOUNT))
    crowd = state.get("crowd", Crowd(most=others, ended=0, patience=PATIENCE, grew=0))
    patience = crowd["patience"] * 2 if crowd["grew"] else crowd["patience"]
    state["crowd"] = {
        "most": max(1, min(others, crowd["most"])),
        "ended": -1,  # the refused request itself ends, too, and must not count
        "patience": min(patience, MAX_PATIENCE),
        "grew": 0,
    }


def learn(
    state: AccountState,
    meters: Sequence[LimitMeter],
    ticket: str,
    seen: Iterable[Seen],
    *,
    now: float,
) -> None:
    """Correct the buckets by the headers of the ticket's answer, before it is settled.

    A header is as old as the answer. So the remaining amount in it is compared with what the ledger
    had left when the request was admitted: refills, requests and settlements since then count the
    same on both sides, and the difference is what other clients have used. Some providers write the
    header at the end of the answer, when it includes requests that were sent since. So it counts
    only as far as it is below what the ledger has left now, too.

    A larger amount than the ledger's is believed only if it is about the same limit (ours may be a
    share of it), if it exceeds what this request itself could explain, and if no other request was
    running, since its tokens would be given back twice.
    """
    _advance(state, meters, now)
    held = state["leases"].get(ticket)
    for one in seen:
        meter = meters[one.limit]
        if one.ends_s is not None:
            windows.align(state["buckets"][meter.name], meter, state["at"], now, one.ends_s)
        if one.remaining is not None and one.remaining >= 0 and held is not None:
            same = one.capacity is not None and one.capacity <= meter.capacity
            _correct(state, meter, held, one.remaining, same)


def snapshot(state: AccountState, meters: Sequence[LimitMeter], *, now: float) -> Snapshot:
    """How full the buckets are, and which requests run and wait."""
    _advance(state, meters, now)
    levels = []
    for meter in meters:
        used = _used(state, meter)
        full_s = _wait_for(state, meter, used)
        reserved = _sum(state["leases"].values(), meter.name)
        levels.append(Level(meter.capacity, meter.capacity - used, reserved, full_s))
    closed_s = max(0.0, state["closed"] - state["at"])
    queue = [
        Place(
            ticket["owner"],
            state["at"] - ticket["since"],
            tuple(ticket["amounts"].get(meter.name, 0.0) for meter in meters),
        )
        for ticket in state["queue"]
    ]
    return Snapshot(levels, len(state["leases"]), queue, closed_s)


def over_s(state: AccountState, meters: Sequence[LimitMeter]) -> float:
    """Seconds until the account is as good as new, according to these limits."""
    seconds = state["closed"] - state["at"]
    if state["leases"] or state["queue"]:
        seconds = max(seconds, TTL_S)
    for meter in meters:
        if meter.mode != "concurrency":
            seconds = max(seconds, _wait_for(state, meter, _used(state, meter)))
    return max(0.0, seconds)


def check(state: AccountState) -> None:
    """Check the times of a state that was kept elsewhere.

    If a time were so large that its clock cannot advance, or later than that of the account,
    nothing would be refilled, and requests would wait for nothing.

    Raises:
        ValueError: something else has written the state.
    """
    times = [state["at"], state["skew"], state["closed"], state["heard"]]
    for bucket in state["buckets"].values():
        times += (bucket["at"], bucket.get("until", 0.0))
        if bucket["at"] > state["at"]:
            raise ValueError("a bucket is ahead of its account")
    if not all(abs(time) <= LATEST_S for time in times):
        raise ValueError("a time is too large")


def _tick(state: AccountState, now: float) -> float:
    """The account's own time."""
    behind = state["at"] - (now + state["skew"])
    if behind > BACK_S:
        state["skew"] += behind
    before = state["at"]
    state["at"] = max(before, now + state["skew"])
    if state["owners"]:
        state["heard"] += min(state["at"] - before, STEP_S)
    return state["at"]


def _advance(
    state: AccountState, meters: Sequence[LimitMeter], now: float, heard_of: str = ""
) -> None:
    """Bring the account up to this time, at which this owner is alive."""
    t = _tick(state, now)
    if heard_of:
        state["owners"][heard_of] = state["heard"] + TTL_S
    for meter in meters:
        if meter.name not in state["buckets"]:
            state["buckets"][meter.name] = windows.fresh(meter, t)
    if state["leases"]:
        _age(state, meters, t)
    if state["owners"]:
        _drop_silent_owners(state, meters)
    for meter in meters:
        windows.refill(state["buckets"][meter.name], meter, t, now)
        if state["leases"]:
            _lower_mark(state, meter)


def _count_ended(state: AccountState) -> None:
    """Count a request that has ended while as many ran as are allowed, towards one more."""
    crowd = state.get("crowd")
    if crowd is None or len(state["leases"]) + 1 < crowd["most"]:
        return
    crowd["ended"] += 1
    if crowd["ended"] >= crowd["patience"]:
        crowd["most"], crowd["ended"], crowd["grew"] = crowd["most"] + 1, 0, 1


def _is_crowded(state: AccountState, ahead: int) -> bool:
    """Whether as many run as are allowed, including this many that go first."""
    crowd = state.get("crowd")
    return crowd is not None and len(state["leases"]) + ahead >= crowd["most"]


def _age(state: AccountState, meters: Sequence[LimitMeter], t: float) -> None:
    """Mark requests as arrived that were sent some time ago."""
    due = t - ARRIVAL_S
    for held in state["leases"].values():  # in the order of admission
        if held["at"] <= due:
            _arrive(state, meters, held, held["at"] + ARRIVAL_S)


def _drop_silent_owners(state: AccountState, meters: Sequence[LimitMeter]) -> None:
    """Drop the tickets of owners that were silent for too long."""
    owners, heard = state["owners"], state["heard"]
    dead = [owner for owner, until in owners.items() if until <= heard]
    if dead:
        for owner in dead:
            del owners[owner]
        _drop(state, meters, lambda one, _: one["owner"] != "" and one["owner"] not in owners)


def _drop(
    state: AccountState,
    meters: Sequence[LimitMeter],
    is_gone: Callable[[Reserved | Ticket, str], bool],
) -> None:
    """Remove tickets from the account. Tokens that they had reserved stay spent."""
    for name, held in list(state["leases"].items()):
        if is_gone(held, name):
            _arrive(state, meters, held, state["at"])
            del state["leases"][name]
    state["queue"] = [one for one in state["queue"] if not is_gone(one, one["id"])]


def _arrive(state: AccountState, meters: Sequence[LimitMeter], held: Reserved, when: float) -> None:
    """Move an amount that was in transit into its continuous buckets."""
    for meter in meters:
        if meter.mode == "continuous" and meter.name not in held["low"]:
            bucket = state["buckets"][meter.name]
            windows.refill(bucket, meter, when, when)
            _lower_mark(state, meter)
            windows.take(bucket, meter, when, held["amounts"].get(meter.name, 0.0))
            held["low"][meter.name] = bucket["used"]


def _lower_mark(state: AccountState, meter: LimitMeter) -> None:
    used = state["buckets"][meter.name]["used"]
    for held in state["leases"].values():
        if meter.name in held["low"]:
            held["low"][meter.name] = min(held["low"][meter.name], used)


def _all_used(state: AccountState, meters: Sequence[LimitMeter]) -> list[float]:
    """What is used of each limit. Mostly nothing is in transit, and one pass is enough."""
    if state["leases"]:
        return [_used(state, meter) for meter in meters]
    return [state["buckets"][meter.name]["used"] for meter in meters]


def _used(state: AccountState, meter: LimitMeter) -> float:
    """What is in the bucket, and in transit to it (for concurrency: how many run)."""
    used = state["buckets"][meter.name]["used"]
    for held in state["leases"].values():
        if meter.name not in held["low"]:
            used += held["amounts"].get(meter.name, 0.0)
    return used


def _admit(
    state: AccountState,
    meters: Sequence[LimitMeter],
    ticket: str,
    amounts: Amounts,
    owner: str,
    used: Sequence[float],
) -> None:
    t, alone = state["at"], not state["leases"]
    held: Reserved = {
        "owner": owner,
        "amounts": amounts,
        "at": t,
        "alone": alone,
        "left": {},
        "low": {},
    }
    state["leases"][ticket] = held
    for meter, before in zip(meters, used, strict=True):
        bucket, amount = state["buckets"][meter.name], amounts.get(meter.name, 0.0)
        if meter.mode in ("fixed", "rolling"):
            windows.take(bucket, meter, t, amount)
            held["low"][meter.name] = bucket["used"]
        held["left"][meter.name] = meter.capacity - (before + amount) + bucket["learned"]


def _give_back(state: AccountState, meter: LimitMeter, held: Reserved, amount: float) -> None:
    """Give back what is still taken: if the bucket was empty since, some of its refill was lost."""
    if meter.mode == "continuous":
        low = held["low"][meter.name]
        amount = min(amount, low)
        for other in state["leases"].values():
            # The bucket holds less for the time since this reservation, not for the time before it.
            if (least := other["low"].get(meter.name)) is not None:
                other["low"][meter.name] = max(least - amount, min(least, low - amount))
    windows.give(state["buckets"][meter.name], meter, amount, held["at"])


def _correct(
    state: AccountState, meter: LimitMeter, held: Reserved, remaining: float, same: bool
) -> None:
    bucket, amount = state["buckets"][meter.name], held["amounts"].get(meter.name, 0.0)
    gone = meter.mode == "fixed" and held["at"] < bucket["at"]
    if meter.mode == "concurrency" or gone or meter.name not in held["left"]:
        return
    before, free = bucket["used"], meter.capacity - _used(state, meter)
    then = held["left"][meter.name] - bucket["learned"]
    if min(then, free) > remaining:
        windows.take(bucket, meter, state["at"], min(then, free) - remaining)
    elif same and held["alone"] and len(state["leases"]) == 1:
        more = remaining - max(then, free) - amount
        windows.give(bucket, meter, max(0.0, more), state["at"])
    bucket["learned"] += bucket["used"] - before


def _wait(
    state: AccountState, meters: Sequence[LimitMeter], needs: Amounts, used: Sequence[float]
) -> tuple[float, int | None]:
    """Seconds until all limits have room for this, and the index of the last of them."""
    if _is_crowded(state, 0):
        return inf, None  # it is unknown when another request ends
    longest, slowest = max(0.0, state["closed"] - state["at"]), None
    for index, meter in enumerate(meters):
        missing = needs.get(meter.name, 0.0) + used[index] - meter.capacity
        if missing > 0 and (wait := _wait_for(state, meter, missing)) > longest:
            longest, slowest = wait, index
    return longest, slowest


def _wait_for(state: AccountState, meter: LimitMeter, missing: float) -> float:
    if meter.mode != "concurrency" or missing <= 0:
        return windows.wait_s(state["buckets"][meter.name], meter, state["at"], missing)
    return inf  # it is unknown when another request ends


def _wait_at(
    state: AccountState,
    meters: Sequence[LimitMeter],
    needs: Amounts,
    place: int,
    *,
    all_comes_back: bool,
) -> tuple[float, int | None]:
    """The wait at this place of the queue, and the index of the limit that has room last.

    With everything reserved given back, this is the shortest possible wait: the ends of other
    requests, which are unknown, do not count. Otherwise only time gives something back.
    """
    if not all_comes_back and _is_crowded(state, place):
        return inf, None
    longest, slowest = max(0.0, state["closed"] - state["at"]), None
    for index, meter in enumerate(meters):
        if meter.mode == "concurrency" and all_comes_back:
            continue
        missing = _sum(state["queue"][:place], meter.name) + needs[meter.name]
        missing += _used(state, meter) - meter.capacity
        if all_comes_back:
            missing -= _sum(state["leases"].values(), meter.name)
        wait = _wait_for(state, meter, missing)
        if wait > longest:
            longest, slowest = wait, index
    return longest, slowest


def _named(meters: Sequence[LimitMeter], amounts: Sequence[float]) -> Amounts:
    pairs = zip(meters, amounts, strict=True)
    return {meter.name: min(amount, MAX_AMOUNT) if amount > 0 else 0.0 for meter, amount in pairs}


def _sum(held: Iterable[Reserved] | Iterable[Ticket], name: str) -> float:
    return sum(one["amounts"].get(name, 0.0) for one in held)


def _place_of(queue: list[Ticket], ticket: str) -> int | None:
    for place, one in enumerate(queue):
        if one["id"] == ticket:
            return place
    return None


def _dequeue(state: AccountState, ticket: str) -> None:
    state["queue"] = [one for one in state["queue"] if one["id"] != ticket]
