"""Reading a refusal: what the provider said, and how long it asked us to wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

REFUSED = 429


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused attempt.

    Attributes:
        status: the HTTP status.
        retry_after_s: seconds that the provider asked for; None if it said nothing.
    """

    status: int
    retry_after_s: float | None


def read_refusal(status: int, headers: Mapping[str, str], now_unix_s: float) -> Refusal | None:
    """The refusal that an answer is, or None for any other answer.

    Args:
        status: the HTTP status.
        headers: with lower-case names.
        now_unix_s: the time of day, for a `Retry-After` that is a date.
    """
    if status != REFUSED:
        return None
    return Refusal(status, _retry_after_s(headers, now_unix_s))


def _retry_after_s(headers: Mapping[str, str], now_unix_s: float) -> float | None:
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    try:
        moment = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - now_unix_s)
