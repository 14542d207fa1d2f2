"""The words of the reminders. Each names tools that the request really has."""

from __future__ import annotations

from collections.abc import Sequence

from batchwrap.core.views.multi import MultiTool
from batchwrap.core.views.offer import example


def general(multis: Sequence[MultiTool], most: int | None = None) -> str:
    """The batching habit, with the cost as its reason and the exception for dependent calls.

    `most` is the number of items that a batch should have at most, where it is less than the
    schema says.
    """
    pairs = [
        f"{multi.name} for calls of different tools"
        if multi.is_mixed
        else f"{multi.name} instead of repeated {multi.single.name}"
        for multi in multis
    ]
    return (
        f"[Reminder: every tool call sends this whole conversation again. When you need several "
        f"calls and none of them depends on what another one says, make all of them in one: "
        f"{', '.join(pairs)}.{_at_most(most)}]"
    )


def lapse(multi: MultiTool, paths: Sequence[str], most: int | None = None) -> str:
    """The batch that two single calls should have been, spelled out."""
    return (
        f"[Reminder: your last two {multi.single.name} calls could have been one: {multi.name}"
        f"({example(multi, paths)}). Every call sends this whole conversation again: ask for all "
        f"that you know you need in one {multi.name} call.{_at_most(most)}]"
    )


def _at_most(most: int | None) -> str:
    return "" if most is None else f" At most {most} at a time."
