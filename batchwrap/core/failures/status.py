"""What a result can say of its call."""

from __future__ import annotations

from enum import StrEnum


class ResultStatus(StrEnum):
    """How a call ended.

    Attributes:
        SUCCEEDED: nothing says otherwise.
        FAILED: it was tried, or could not be.
        DENIED: somebody said no: a person, or a rule that a person made.
    """

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DENIED = "denied"
