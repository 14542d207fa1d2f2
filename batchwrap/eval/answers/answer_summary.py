"""Adds up the answers of an evaluation: shares with their 95 % intervals, by situation and arm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batchwrap.eval.answers.answer_file import ModelAnswer, latest
from batchwrap.eval.answers.situations import KINDS, Kind
from batchwrap.eval.intervals import Estimate, share


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerShares:
    """The answers of one arm in the situations of one kind, after one number of lapses.

    Attributes:
        kind: the kind of situation.
        lapses: the turns with one call each before the answer.
        arm: the arm's name.
        answers: the number of answers.
        complete: the answers that called the tool for all wanted files at once.
        batches: the answers that called it for several of them.
        eligible: the answers that called it at all.
        called: the wanted files for which it was called, in all answers together.
        wanted: the wanted files of all answers together.
        reminded: the answers whose request had a reminder.
        malformed: the malformed multi-calls.
        refused: the requests that the provider refused.
    """

    kind: Kind
    lapses: int
    arm: str
    answers: int
    complete: int
    batches: int
    eligible: int
    called: int
    wanted: int
    reminded: int
    malformed: int
    refused: int

    @property
    def complete_share(self) -> Estimate:
        """The share of answers that are complete, with Wilson's interval."""
        return share(self.complete, self.answers)

    @property
    def batch_share(self) -> Estimate | None:
        """The share of eligible answers that are batches; None if no answer is eligible."""
        return share(self.batches, self.eligible) if self.eligible else None


def shares(answers: Sequence[ModelAnswer]) -> list[AnswerShares]:
    """The sums, by kind of situation, number of lapses, and arm in the order of the answers."""
    counted = list(latest(answers).values())
    arms = list(dict.fromkeys(answer.arm for answer in answers))
    return [
        _sum(kind, lapses, arm, its)
        for kind in KINDS
        for lapses in sorted({answer.lapses for answer in counted if answer.kind == kind})
        for arm in arms
        if (its := list(_of(counted, kind, lapses, arm)))
    ]


def _of(answers: Sequence[ModelAnswer], kind: Kind, lapses: int, arm: str) -> Iterator[ModelAnswer]:
    return (it for it in answers if (it.kind, it.lapses, it.arm) == (kind, lapses, arm))


def _sum(kind: Kind, lapses: int, arm: str, answers: Sequence[ModelAnswer]) -> AnswerShares:
    return AnswerShares(
        kind=kind,
        lapses=lapses,
        arm=arm,
        answers=len(answers),
        complete=sum(it.is_complete for it in answers),
        batches=sum(it.is_batch for it in answers),
        eligible=sum(it.is_eligible for it in answers),
        called=sum(it.called for it in answers),
        wanted=sum(it.wanted for it in answers),
        reminded=sum(it.reminders > 0 for it in answers),
        malformed=sum(it.malformed for it in answers),
        refused=sum(it.error is not None for it in answers),
    )
