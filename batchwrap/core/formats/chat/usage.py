"""Reads the usage of completions and chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchwrap.core.limits.cost import MAX_USED, Usage, is_count

_COUNTS = ("prompt_tokens", "completion_tokens")


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """The usage that a completion or a chunk reports; None for none, and for an impossible one.

    Moonshot reports it in the choice of a stream's last chunk, too, with the same values.
    """
    usage = reported(body)
    return None if usage is None else counted(usage)


def counted(usage: Mapping[str, Any]) -> Usage | None:
    """The counts of a reported usage; None if they are none, or impossible."""
    prompt, completion = (usage.get(name) for name in _COUNTS)
    if not is_count(prompt, MAX_USED) or not is_count(completion, MAX_USED):
        return None
    return Usage(prompt, completion, min(_cached(usage), prompt))


def is_impossible(usage: Mapping[str, Any]) -> bool:
    """Whether a reported usage has more tokens than any request has."""
    counts = (usage.get(name) for name in _COUNTS)
    return any(isinstance(count, (int, float)) and count > MAX_USED for count in counts)


def reported(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a completion or a chunk reports as its usage; None if it reports none."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        choices = body.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        usage = first.get("usage") if isinstance(first, dict) else None
    return usage if isinstance(usage, dict) else None


def _cached(usage: Mapping[str, Any]) -> int:
    """The tokens from the prompt cache, by OpenAI's or by DeepSeek's name; 0 if not reported."""
    details = usage.get("prompt_tokens_details")
    given = details.get("cached_tokens") if isinstance(details, dict) else None
    found = usage.get("prompt_cache_hit_tokens") if given is None else given  # DeepSeek's name
    return found if is_count(found) else 0
