"""Runs an agent and turns the endpoint's errors into one line of text."""

from __future__ import annotations

from collections.abc import Callable

from batchwrap.demo import sdk
from batchwrap.demo.agent import AgentResult


def attempt(work: Callable[[], AgentResult]) -> tuple[AgentResult | None, str | None]:
    """Run an agent.

    Args:
        work: runs the agent to its end.

    Returns:
        The result, None if the endpoint failed; and in one line why the agent did not reach its
        end, None if it did.

    Raises:
        MissingExtraError: openai is not installed.
    """
    try:
        result = work()
    except sdk.failures() as error:
        return None, in_one_line(error)
    except (AttributeError, IndexError, TypeError) as error:
        # The SDK returns whatever a server sends, and the agent looks for choices in it.
        return None, f"the answer is no chat completion ({in_one_line(error)})"
    if result.finished:
        return result, None
    return result, f"the agent had not ended after {result.turns} turns"


def in_one_line(error: Exception) -> str:
    """The error, and its cause: of a failed connection the SDK says nothing else."""
    cause = error.__cause__
    said = f"{type(error).__name__}: {error}" + (f" ({cause})" if cause and str(cause) else "")
    return " ".join(said.split())
