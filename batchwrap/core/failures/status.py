"""The possible outcomes of a tool call."""

from __future__ import annotations

from enum import StrEnum


class ResultStatus(StrEnum):
    """How a call ended, according to its result.

    Attributes:
        SUCCEEDED: nothing in the result says otherwise.
        FAILED: it was run and failed, or could not be run.
        DENIED: a person refused it, or a rule that a person made.
    """

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DENIED = "denied"
