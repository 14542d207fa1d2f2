"""What a request costs for each kind of limit, as its provider counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, TypeGuard

# A larger number in a request is no number of tokens. A float represents this one exactly.
MAX_TOKENS = 2**40
# The prompt or the answer of one request has fewer tokens: this is three times the largest context
# window of any model. A provider that reports more is wrong, and would stop its account for hours.
MAX_USED = 2**25


@dataclass(frozen=True, slots=True)
class Rule:
    """How a provider counts.

    Attributes:
        reserves_output: whether the longest answer that the request allows counts at admission.
        default_output: what is reserved for the output if the request names no maximum, in tokens.
            Providers guess, too; settling gives back what was not used.
        counts_cached: whether prompt tokens from its cache count as tokens and input tokens
            (they never count as uncached tokens).
        refunds: whether the provider corrects the reservation by the real usage.
    """

    reserves_output: bool = True
    default_output: int = 1_024
    counts_cached: bool = True
    refunds: bool = True


@dataclass(frozen=True, slots=True)
class Cost:
    """An amount of each kind of limit.

    Attributes:
        requests: 1 for each attempt that the provider accepted; a limit of concurrency counts it
            while it runs.
        tokens: prompt and output.
        uncached_tokens: prompt and output without what came from the provider's cache.
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
# How an amount is read, by kind. An admission reads about twelve amounts, so this is made once.
AMOUNT_OF = {field.name: attrgetter(field.name) for field in fields(Cost)}
AMOUNT_OF["concurrency"] = AMOUNT_OF["requests"]


def cost_of(prompt: float, output: float, cached: float, rule: Rule) -> Cost:
    """The cost of one request; cached tokens are part of the prompt's."""
    counted = prompt if rule.counts_cached else prompt - cached
    return Cost(1, counted + output, prompt - cached + output, counted, output)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them; cached tokens are part of the prompt's."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    def cost(self, rule: Rule) -> Cost:
        """The cost of a request with this usage."""
        return cost_of(self.prompt_tokens, self.completion_tokens, self.cached_tokens, rule)


def reserve(prompt_tokens: int, body: Mapping[str, Any], rule: Rule) -> Cost:
    """What is reserved at admission."""
    return cost_of(prompt_tokens, max_output(body, rule) if rule.reserves_output else 0, 0, rule)


def max_output(body: Mapping[str, Any], rule: Rule) -> int:
    """The maximum number of output tokens of a request, for all choices together."""
    given = (body.get("max_completion_tokens"), body.get("max_tokens"))
    most = next((value for value in given if is_count(value)), rule.default_output)
    answers = body.get("n")
    return most * (max(1, answers) if is_count(answers) else 1)


def is_count(value: object, most: int = MAX_TOKENS) -> TypeGuard[int]:
    """Whether a value can be a number of tokens, by default of those that a bucket can hold."""
    return type(value) is int and 0 <= value <= most
