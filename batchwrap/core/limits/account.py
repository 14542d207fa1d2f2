"""The arithmetic of limits: one account, which several threads, processes or hosts share.

Every operation changes a plain JSON state in place and knows no clock. A store holds the
state, names the time, and makes each operation atomic; a store that cannot run Python
repeats this module and `windows`. A request goes through these operations:

    reserve (again and again, until admitted) ─► arrived ─► learn ─► settle
        └─► leave (gave up)

A request is known by its ticket: an id that first waits in the queue and then has something
reserved. The state calls what is reserved "leases", a name that stays, since files and servers
hold it. Only the head of the queue may take, and takes from all limits or from none, so small
requests never starve a large one.

Each ticket has an owner: a process, which says every now and then that it lives, and which
tickets it has (`renew`). A ticket that it does not name is dropped, so a settlement that was lost
in whatever way is made up for. An owner that is silent for `TTL_S` is taken for dead. Its tickets
leave the queue, and its reservations free their places among the running requests; their tokens
stay spent, since the requests may have used them. Of the time between two operations only
`STEP_S` counts as silence: an owner is not taken for dead because the store was away, the machine
slept, or a clock was set, since it could not have been heard then.

Time: an account has a clock of its own, which follows the store's but never goes back. If
the store's clock goes back a little, as between hosts, time stands still until it has caught
up. If it goes back by more, it was set, and time goes on from where it was: nothing is
refilled by that, and nothing waits for a time that was never right.
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

# A step back of the clock by more than this means that the clock was set.
BACK_S = 1.0
# A request that is out for so long has reached the provider; what takes longer is the model.
ARRIVAL_S = 0.5
# An owner that was not heard of for so long is taken for dead. It says that it lives at each beat
# of its settlement worker, every half a second.
TTL_S = 2.0
# So much of the time between two operations counts as silence.
STEP_S = 0.5
# After a refusal for concurrency so many requests have to end well before one more may run. The
# number doubles, up to the largest, each time that one more was too many.
PATIENCE, MAX_PATIENCE = 16, 256
# The shortest wait before a ticket asks again: rounding errors must not make it ask in a loop.
MIN_WAIT_S = 0.005
# Larger amounts and times are cut to this: the state is JSON, which has no infinity.
MAX_AMOUNT = 1e15
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
    """Reserve an amount of each limit. A ticket that waits asks again, and keeps its place.

    Args:
        state: the account.
        meters: its limits.
        amounts: what is needed of each.
        ticket: an id that the caller has made. For one that was admitted the answer is the same
            again.
        now: the store's clock.
        priority: lower ones go first; first come, first served within one.
        owner: the process that asks, which lives, as this shows; empty in the memory of one
            process.
        max_wait_s: the ticket does not enter the queue if it would wait longer than this, even
            if all that is reserved came back.

    Returns:
        Whether it is admitted, or how long it waits.
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
        wait = min(wait, TTL_S)  # the owners before it may be dead by then
    limit = limit if own_limit is None else own_limit
    return Admission("waiting", max(wait, MIN_WAIT_S), limit, expected_s)


def arrived(state: AccountState, meters: Sequence[LimitMeter], ticket: str, *, now: float) -> None:
    """The provider has received the ticket's request by now.

    The provider's continuous buckets begin to refill when the request arrives. If ours did when
    the amount was reserved, one network delay earlier, they would run ahead of the provider's by
    that delay, and the first tight request would be refused. So amounts on their way do not refill.
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

    The first settlement counts. An amount that comes back is given to the period in which it was
    taken; an amount beyond the reservation is taken now.
    """
    _advance(state, meters, now)
    held = state["leases"].pop(ticket, None)
    if held is None:
        return
    _relax(state)
    real = _named(meters, spent)
    for meter in meters:
        taken = held["amounts"].get(meter.name, 0.0) if meter.name in held["low"] else 0.0
        more = real[meter.name] - taken
        if more < 0:
            _give_back(state, meter, held, -more)
        elif meter.mode != "concurrency":
            windows.take(state["buckets"][meter.name], meter, state["at"], more)


def leave(state: AccountState, meters: Sequence[LimitMeter], ticket: str, *, now: float) -> None:
    """Give up: out of the queue. If the ticket was admitted meanwhile, it has spent nothing."""
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
    """An owner lives, and has these tickets; all others that it had are dropped."""
    _advance(state, meters, now, heard_of=owner)
    known = set(holders)
    _drop(state, meters, lambda one, name: one["owner"] == owner and name not in known)


def close_for(state: AccountState, seconds: float, *, now: float) -> None:
    """Admit nothing for so long, as the provider has asked; the longest request counts."""
    state["closed"] = max(state["closed"], _tick(state, now) + min(seconds, MAX_AMOUNT))


def crowded(
    state: AccountState, meters: Sequence[LimitMeter], ticket: str, seconds: float, *, now: float
) -> None:
    """The provider has refused the ticket's request since too many run at the same time.

    The requests that run besides it are the most that the provider takes, as far as is known, so
    no more than these are admitted from now on. When a burst is refused request by request, just
    the requests remain that were taken. If no other request runs, none can end and make room, so
    nothing is admitted for some seconds.

    The number grows again, by one, when many requests have ended while so many ran; if that was
    one too many, it takes twice as long the next time.
    """
    _advance(state, meters, now)
    others = len(state["leases"]) - (ticket in state["leases"])
    if others == 0:
        state["closed"] = max(state["closed"], state["at"] + min(seconds, MAX_AMOUNT))
    crowd = state.get("crowd", Crowd(most=others, ended=0, patience=PATIENCE, grew=0))
    patience = crowd["patience"] * 2 if crowd["grew"] else crowd["patience"]
    state["crowd"] = {
        "most": max(1, min(others, crowd["most"])),
        "ended": -1,  # the refused request ends, too, and does not count
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

    A header is as old as the answer. The amount that it says is left is compared with the amount
    that the ledger had left when the request was admitted: then refills, requests and settlements
    since count the same on both sides, and the difference is what other clients have used. Some
    providers write the number at the end instead, when it contains requests that were sent since;
    so it counts only as far as it is below what the ledger has left now, too.

    A larger amount than the ledger had is believed only if it is about the same limit (ours may
    be a share of it), beyond what could be this request itself, and if no other request was
    under way, since its tokens would come back twice.
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
    """In how many seconds the account is as good as new, as far as these limits say."""
    seconds = state["closed"] - state["at"]
    if state["leases"] or state["queue"]:
        seconds = max(seconds, TTL_S)
    for meter in meters:
        if meter.mode != "concurrency":
            seconds = max(seconds, _wait_for(state, meter, _used(state, meter)))
    return max(0.0, seconds)


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
    """Bring the account up to this time, at which this owner lives."""
    t = _tick(state, now)
    if heard_of:
        state["owners"][heard_of] = state["heard"] + TTL_S
    for meter in meters:
        if meter.name not in state["buckets"]:
            state["buckets"][meter.name] = windows.fresh(meter, t)
    if state["leases"]:
        _age(state, meters, t)
    if state["owners"]:
        _bury(state, meters)
    for meter in meters:
        windows.turn(state["buckets"][meter.name], meter, t, now)
        if state["leases"]:
            _ebb(state, meter)


def _relax(state: AccountState) -> None:
    """A request has ended; if as many ran as are allowed, that counts towards one more."""
    crowd = state.get("crowd")
    if crowd is None or len(state["leases"]) + 1 < crowd["most"]:
        return
    crowd["ended"] += 1
    if crowd["ended"] >= crowd["patience"]:
        crowd["most"], crowd["ended"], crowd["grew"] = crowd["most"] + 1, 0, 1


def _is_crowded(state: AccountState, ahead: int) -> bool:
    """Whether as many run as are allowed, counting so many that go before."""
    crowd = state.get("crowd")
    return crowd is not None and len(state["leases"]) + ahead >= crowd["most"]


def _age(state: AccountState, meters: Sequence[LimitMeter], t: float) -> None:
    """Requests that are under way for long have arrived."""
    due = t - ARRIVAL_S
    for held in state["leases"].values():  # in the order of their admission
        if held["at"] <= due:
            _arrive(state, meters, held, held["at"] + ARRIVAL_S)


def _bury(state: AccountState, meters: Sequence[LimitMeter]) -> None:
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
    """Take tickets out of the account. Tokens that they had reserved stay spent."""
    for name, held in list(state["leases"].items()):
        if is_gone(held, name):
            _arrive(state, meters, held, state["at"])
            del state["leases"][name]
    state["queue"] = [one for one in state["queue"] if not is_gone(one, one["id"])]


def _arrive(state: AccountState, meters: Sequence[LimitMeter], held: Reserved, when: float) -> None:
    """An amount that was on its way comes into its continuous buckets."""
    for meter in meters:
        if meter.mode == "continuous" and meter.name not in held["low"]:
            bucket = state["buckets"][meter.name]
            windows.turn(bucket, meter, when, when)
            _ebb(state, meter)
            windows.take(bucket, meter, when, held["amounts"].get(meter.name, 0.0))
            held["low"][meter.name] = bucket["used"]


def _ebb(state: AccountState, meter: LimitMeter) -> None:
    used = state["buckets"][meter.name]["used"]
    for held in state["leases"].values():
        if meter.name in held["low"]:
            held["low"][meter.name] = min(held["low"][meter.name], used)


def _all_used(state: AccountState, meters: Sequence[LimitMeter]) -> list[float]:
    """What is used of each limit: the common case, that nothing is under way, is one pass."""
    if state["leases"]:
        return [_used(state, meter) for meter in meters]
    return [state["buckets"][meter.name]["used"] for meter in meters]


def _used(state: AccountState, meter: LimitMeter) -> float:
    """What is in the bucket, and on its way to it (for concurrency: how many run)."""
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
    """Give back what is still taken: where the bucket was empty since, refills were lost."""
    if meter.mode == "continuous":
        low = held["low"][meter.name]
        amount = min(amount, low)
        for other in state["leases"].values():
            # There is less in the bucket for the time since this reservation, not before it.
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
    """Seconds until all limits have room for this, and which one has it last."""
    if _is_crowded(state, 0):
        return inf, None  # when another request ends cannot be known
    longest, slowest = max(0.0, state["closed"] - state["at"]), None
    for index, meter in enumerate(meters):
        missing = needs.get(meter.name, 0.0) + used[index] - meter.capacity
        if missing > 0 and (wait := _wait_for(state, meter, missing)) > longest:
            longest, slowest = wait, index
    return longest, slowest


def _wait_for(state: AccountState, meter: LimitMeter, missing: float) -> float:
    if meter.mode != "concurrency" or missing <= 0:
        return windows.wait_s(state["buckets"][meter.name], meter, state["at"], missing)
    return inf  # when another request ends cannot be known


def _wait_at(
    state: AccountState,
    meters: Sequence[LimitMeter],
    needs: Amounts,
    place: int,
    *,
    all_comes_back: bool,
) -> tuple[float, int | None]:
    """The wait at this place of the queue, and which limit has room last.

    If all that is reserved comes back, it is the shortest possible wait: the end of other
    requests, which cannot be known, does not count. Else only time gives something back.
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
