"""An agent's run, whatever the endpoint does: its result, or in one line why it has none."""

from __future__ import annotations

from collections.abc import Callable

from batchwrap.demo import sdk
from batchwrap.demo.agent import AgentResult


def attempt(work: Callable[[], AgentResult]) -> tuple[AgentResult | None, str | None]:
    """Let an agent work.

    Args:
        work: runs the agent to its end.

    Returns:
        What came out of it, None where the endpoint failed; and why the agent did not come to
        its end, in one line, None where it did.

    Raises:
        MissingExtraError: openai is not installed.
    """
    try:
        result = work()
    except sdk.failures() as error:
        return None, _in_one_line(error)
    except (AttributeError, IndexError, TypeError) as error:
        # The SDK passes on what any server says, and the agent looks for choices in it.
        return None, f"the answer is no chat completion ({_in_one_line(error)})"
    if result.finished:
        return result, None
    return result, f"the agent had not ended after {result.turns} turns"


def _in_one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
