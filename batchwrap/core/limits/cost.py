"""What a request costs, by the kind of each limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchwrap.core import chat

# Held back for the answer where the request names no maximum. Providers guess, too
# (Cerebras up to 16,384); settling gives back what was not used.
DEFAULT_OUTPUT_TOKENS = 1_024


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount of each kind of limit."""

    requests: float = 0.0
    tokens: float = 0.0

    def of(self, kind: str) -> float:
        """The amount of one kind."""
        return self.requests if kind == "requests" else self.tokens

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.requests + other.requests, self.tokens + other.tokens)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.requests - other.requests, self.tokens - other.tokens)


NOTHING = Cost()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def cost(self) -> Cost:
        """The cost of a request that used so much."""
        return Cost(1, self.prompt_tokens + self.completion_tokens)


def reserve(prompt_tokens: int, body: chat.Body) -> Cost:
    """What is taken at admission: the prompt and the most that the answer may have."""
    given = (body.get("max_completion_tokens"), body.get("max_tokens"))
    most = next((value for value in given if isinstance(value, int)), DEFAULT_OUTPUT_TOKENS)
    answers = body.get("n") if isinstance(body.get("n"), int) else 1
    return Cost(1, prompt_tokens + most * max(1, answers or 1))


def usage_of(body: Mapping[str, Any]) -> Usage | None:
    """The usage that a completion or a chunk reports, if it does."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    return Usage(prompt, completion)
