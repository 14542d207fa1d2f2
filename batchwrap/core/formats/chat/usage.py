"""Reads the usage of completions and chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchwrap.core.limits.cost import Usage, is_count


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """The usage that a completion or a chunk reports; None if it reports none.

    Moonshot reports it in the choice of a stream's last chunk, too, with the same values.
    """
    usage = body.get("usage")
    if not isinstance(usage, dict):
        choices = body.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        usage = first.get("usage") if isinstance(first, dict) else None
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not is_count(prompt) or not is_count(completion):
        return None
    return Usage(prompt, completion, min(_cached(usage), prompt))


def _cached(usage: Mapping[str, Any]) -> int:
    """The tokens from the prompt cache, by OpenAI's or by DeepSeek's name; 0 if not reported."""
    details = usage.get("prompt_tokens_details")
    given = details.get("cached_tokens") if isinstance(details, dict) else None
    found = usage.get("prompt_cache_hit_tokens") if given is None else given  # DeepSeek's name
    return found if is_count(found) else 0
