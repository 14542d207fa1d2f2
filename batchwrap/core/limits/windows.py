"""The arithmetic of one bucket in each mode: usage, refill, time until there is room.

All modes count what is *used*, so a limit whose amount changes keeps what was spent. A
bucket is plain JSON. Times are seconds of the account's own clock, which never goes back
(see `account`); only `now` is the store's clock, on which fixed periods are aligned.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import NamedTuple, NotRequired, TypedDict

from batchwrap.options import Limit

# At values around 2e9 seconds, floats have steps of a quarter of a microsecond.
TICK_S = 1e-6
# The relative error of sums of fractions. A request must not wait a period because of it.
DUST = 1e-9
# A rolling window covers this many slices and the current one.
SLICES = 60
# Headers round the end of a period to whole seconds.
ROUNDING_S = 1.0


class LimitMeter(NamedTuple):
    """What the arithmetic needs of one limit.

    Attributes:
        name: identifies the bucket in its account. It does not contain the amount.
        mode: ``"continuous"``, ``"fixed"``, ``"rolling"`` or ``"concurrency"``.
        capacity: the size of the bucket.
        per_s: the period in seconds.
        rate: what a continuous bucket refills in one second.
        offset_s: fixed periods begin at `offset_s` and at every multiple of `per_s` from it.
    """

    name: str
    mode: str
    capacity: float
    per_s: float
    rate: float
    offset_s: float = 0.0


class Bucket(TypedDict):
    """The state of one limit.

    Attributes:
        used: what is taken and has not been refilled.
        learned: everything that answers of the provider have added to `used`.
        at: continuous: refilled up to this time. Fixed: when the period began for us.
        until: fixed: when the period ends.
        phase: fixed: the provider's own `offset_s`, once known.
        slices: rolling: pairs of slice number and amount, oldest first.
    """

    used: float
    learned: float
    at: float
    until: NotRequired[float]
    phase: NotRequired[float]
    slices: NotRequired[list[list[float]]]


def meters(limits: Sequence[Limit], offsets_s: Sequence[float] = ()) -> tuple[LimitMeter, ...]:
    """The meters of these limits, in their order.

    Args:
        limits: the limits of one account.
        offsets_s: when fixed periods begin, for each limit; 0 for all unless given.
    """
    made: list[LimitMeter] = []
    for index, limit in enumerate(limits):
        mode = "concurrency" if limit.kind == "concurrency" else limit.mode
        name = f"{mode} {limit.kind} {limit.per_s:g}"
        same = sum(meter.name.partition("#")[0] == name for meter in made)
        name = f"{name}#{same + 1}" if same else name
        offset_s = offsets_s[index] if offsets_s else 0.0
        made.append(LimitMeter(name, mode, limit.capacity, limit.per_s, limit.rate, offset_s))
    return tuple(made)


def fresh(meter: LimitMeter, t: float) -> Bucket:
    """A bucket without any usage."""
    bucket: Bucket = {"used": 0.0, "learned": 0.0, "at": t}
    if meter.mode == "fixed":
        bucket["until"] = -meter.per_s
    elif meter.mode == "rolling":
        bucket["slices"] = []
    return bucket


def refill(bucket: Bucket, meter: LimitMeter, t: float, now: float) -> None:
    """Refill the bucket up to the time `t`."""
    if meter.mode == "continuous":
        if t > bucket["at"]:
            bucket["used"] = max(0.0, bucket["used"] - (t - bucket["at"]) * meter.rate)
            bucket["at"] = t
    elif meter.mode == "fixed" and bucket["until"] - t <= TICK_S:
        _next_period(bucket, meter, t, now)
    elif meter.mode == "rolling":
        slices = bucket["slices"]
        while slices and _outside_at(meter, slices[0][0]) - t <= TICK_S:
            del slices[0]
        bucket["used"] = sum(amount for _, amount in slices)


def _next_period(bucket: Bucket, meter: LimitMeter, t: float, now: float) -> None:
    rest = meter.per_s - (now - bucket.get("phase", meter.offset_s)) % meter.per_s
    until = t + rest
    # If the period would be much shorter than usual, summer time has moved the offset, or the
    # time is a rounding error before the next period.
    if rest <= TICK_S or until - bucket["until"] < meter.per_s / 2:
        until += meter.per_s
    bucket["used"], bucket["at"], bucket["until"] = 0.0, t, until


def _slice_of(meter: LimitMeter, t: float) -> int:
    return floor(t / meter.per_s * SLICES)


def _outside_at(meter: LimitMeter, number: float) -> float:
    """When a slice is completely outside the window."""
    return (number + 1) * meter.per_s / SLICES + meter.per_s


def take(bucket: Bucket, meter: LimitMeter, t: float, amount: float) -> None:
    """Take an amount now, even without room for it."""
    bucket["used"] += amount
    if meter.mode == "rolling":
        slices, number = bucket["slices"], _slice_of(meter, t)
        if slices and slices[-1][0] == number:
            slices[-1][1] += amount
        else:
            slices.append([number, amount])


def give(bucket: Bucket, meter: LimitMeter, amount: float, taken_at: float) -> None:
    """Give back an amount to the period in which it was taken."""
    if meter.mode == "fixed" and taken_at < bucket["at"]:
        return
    if meter.mode == "rolling":
        number = _slice_of(meter, taken_at)
        amount = min(amount, sum(held for place, held in bucket["slices"] if place == number))
        for entry in bucket["slices"]:
            if entry[0] == number:
                entry[1] -= amount
    bucket["used"] = max(0.0, bucket["used"] - amount)


def wait_s(bucket: Bucket, meter: LimitMeter, t: float, missing: float) -> float:
    """Seconds until this much more is free, if no other request is made.

    An amount above the capacity is allowed: it is the least time in which so much can pass.
    """
    if missing <= meter.capacity * DUST:
        return 0.0
    if meter.mode == "continuous":
        return missing / meter.rate
    whole = ceil(missing / meter.capacity) - 1
    if meter.mode == "fixed":
        return bucket["until"] - t + whole * meter.per_s
    return whole * meter.per_s + _slices_wait(bucket, meter, t, missing - whole * meter.capacity)


def _slices_wait(bucket: Bucket, meter: LimitMeter, t: float, missing: float) -> float:
    for number, amount in bucket["slices"]:
        missing -= amount
        if missing <= 0:
            return _outside_at(meter, number) - t
    return meter.per_s


def align(bucket: Bucket, meter: LimitMeter, t: float, now: float, ends_s: float) -> None:
    """Adopt the end of the provider's fixed period."""
    if meter.mode != "fixed" or not 0 < ends_s <= meter.per_s + ROUNDING_S:
        return
    until = t + ends_s
    # Too late by a rounding error is safe, too early is not.
    if abs(until - bucket["until"]) <= ROUNDING_S:
        until = max(until, bucket["until"])
    bucket["until"] = until
    bucket["phase"] = (now + until - t) % meter.per_s
