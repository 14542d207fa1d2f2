"""What is known of the provider that a request goes to, before it has said anything."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchwrap.core.limits.cost import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Facts about one provider; None where nobody knows.

    Attributes:
        name: as in the presets; empty for one that is not known.
        rule: how it counts.
        caches_prompts: whether a repeated prompt is cheaper there.
        context_tokens: size of its models' context window.
        usage_in_streams: whether streams report usage if ``stream_options`` ask for it.
    """

    name: str = ""
    rule: Rule = field(default_factory=Rule)
    caches_prompts: bool | None = None
    context_tokens: int | None = None
    usage_in_streams: bool | None = None


UNKNOWN = Provider()
