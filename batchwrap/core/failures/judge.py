"""Judges a result: first by fields, tags and exit codes, then by its words."""

from __future__ import annotations

from collections.abc import Sequence

from batchwrap.core.failures import codes, failure_prose
from batchwrap.core.failures.result_fields import Fields, fields_of
from batchwrap.core.failures.status import ResultStatus

# Characters of a result that are read. Refusals with a person's feedback, and errors that quote the
# text that was not found, are shorter; a longer text is not a message.
_HEAD = 4_096
_TAIL = 1_024


def looks_failed(result: str) -> bool:
    """Whether a tool's result reads as failed or denied."""
    return status_of(result) is not ResultStatus.SUCCEEDED


def status_of(result: str, *, is_error: bool = False, longest_message: int = _HEAD) -> ResultStatus:
    """The status of a call according to its result.

    Args:
        result: its text; the texts of several parts are joined by line breaks.
        is_error: whether a flag beside the text marks it as an error (Anthropic's `is_error`, MCP's
            `isError`); the text then only decides whether the call was denied.
        longest_message: characters of the longest text that its words alone can make a failure.

    Example:
        >>> status_of("Error: User rejected the edit").value
        'denied'
        >>> status_of("class Error(Exception): ...").value
        'succeeded'
    """
    is_whole = len(result) <= _HEAD
    head = failure_prose.cleaned(result[:_HEAD])
    starts = list(failure_prose.starts(head))
    said = _fields(starts) if is_whole else fields_of(result)
    said = said or _codes(starts, result)
    status = ResultStatus.FAILED if is_error else said.status
    if status is ResultStatus.FAILED and any(map(failure_prose.tells_refusal, said.texts)):
        return ResultStatus.DENIED
    if status is not None:
        return status
    longest = min(longest_message, _HEAD)
    told = (failure_prose.status_of(text) for text in said.texts if len(text) <= longest)
    return next((one for one in told if one is not ResultStatus.SUCCEEDED), ResultStatus.SUCCEEDED)


def _fields(starts: Sequence[str]) -> Fields | None:
    """The status in a JSON value, also after a header that an agent has put before it."""
    found = (fields_of(start.rstrip("` \n")) for start in starts)
    return next((one for one in found if one is not None), None)


def _codes(starts: Sequence[str], result: str) -> Fields:
    """The status in tags and exit codes, before or after the output."""
    head = starts[0]
    is_whole = len(result) <= _HEAD
    tail = head if is_whole else failure_prose.cleaned(result[-_TAIL:])
    is_headed = head.startswith("[")
    found = (
        codes.status_of(start, tail)
        for start in starts
        if start is head or is_headed or start.startswith("<")
    )
    status = next((one for one in found if one is not None), None)
    return Fields(status, (head,) if is_whole else ())
