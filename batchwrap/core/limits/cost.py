"""What a request costs, by the kind of each limit, as its provider counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, TypeGuard

# A larger number in a request is no number of tokens. Floats hold this one exactly.
_MAX_TOKENS = 2**40


@dataclass(frozen=True, slots=True)
class Rule:
    """How a provider counts.

    Attributes:
        reserves_output: whether the longest answer that the request allows counts at admission.
        default_output: what is held back for it where the request names no maximum, in
            tokens. Providers guess, too; settling gives back what was not used.
        counts_cached: whether prompt tokens out of its cache count as tokens and input tokens
            (they never count as uncached ones).
        refunds: whether the provider corrects the reservation by what was really used.
    """

    reserves_output: bool = True
    default_output: int = 1_024
    counts_cached: bool = True
    refunds: bool = True


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount of each kind of limit.

    Attributes:
        requests: 1 for each attempt that the provider accepted; also what a limit of
            concurrency counts while it runs.
        tokens: prompt and output.
        uncached_tokens: the same without what came from the provider's cache.
        input_tokens: the prompt.
        output_tokens: the output.
    """

    requests: float = 0.0
    tokens: float = 0.0
    uncached_tokens: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0

    def of(self, kind: str) -> float:
        """The amount of one kind."""
        amount: float = AMOUNT_OF[kind](self)
        return amount

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(self.amounts, other.amounts, strict=True)))

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*(a - b for a, b in zip(self.amounts, other.amounts, strict=True)))

    @property
    def amounts(self) -> tuple[float, ...]:
        """The amounts, in the order of the fields."""
        return (
            self.requests,
            self.tokens,
            self.uncached_tokens,
            self.input_tokens,
            self.output_tokens,
        )


NOTHING = Cost()
# How an amount is read, by kind: an admission reads some twelve of them.
AMOUNT_OF = {field.name: attrgetter(field.name) for field in fields(Cost)}
AMOUNT_OF["concurrency"] = AMOUNT_OF["requests"]


def cost_of(prompt: float, output: float, cached: float, rule: Rule) -> Cost:
    """One request with so many prompt tokens, output tokens, and cached ones among the prompt."""
    counted = prompt if rule.counts_cached else prompt - cached
    return Cost(1, counted + output, prompt - cached + output, counted, output)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them; the cached ones are among the prompt's."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    def cost(self, rule: Rule) -> Cost:
        """The cost of a request that used so much."""
        return cost_of(self.prompt_tokens, self.completion_tokens, self.cached_tokens, rule)


def reserve(prompt_tokens: int, body: Mapping[str, Any], rule: Rule) -> Cost:
    """What is taken at admission."""
    return cost_of(prompt_tokens, max_output(body, rule) if rule.reserves_output else 0, 0, rule)


def max_output(body: Mapping[str, Any], rule: Rule) -> int:
    """The most tokens that the answer to a request may have, all its choices together."""
    given = (body.get("max_completion_tokens"), body.get("max_tokens"))
    most = next((value for value in given if is_count(value)), rule.default_output)
    answers = body.get("n")
    return most * (max(1, answers) if is_count(answers) else 1)


def is_count(value: object) -> TypeGuard[int]:
    """Whether a value can be a number of tokens; no bucket could hold more."""
    return type(value) is int and 0 <= value <= _MAX_TOKENS
