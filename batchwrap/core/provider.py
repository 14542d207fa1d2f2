"""What is known of the provider that a request goes to, before it has said anything."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Facts about one provider; None where nobody knows.

    Attributes:
        caches_prompts: whether a repeated prompt is cheaper there.
        context_tokens: size of its models' context window.
    """

    caches_prompts: bool | None = None
    context_tokens: int | None = None


UNKNOWN = Provider()
