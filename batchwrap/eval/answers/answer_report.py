"""The report on answers: a table for the terminal, a page of Markdown, a dict for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from batchwrap.eval.answers.answer_summary import AnswerShares
from batchwrap.eval.eval_report import pipes
from batchwrap.eval.intervals import Estimate

_KINDS = {"first": "first", "second": "after {} reads", "edits": "after a plan"}
_HEADINGS = ("answer", "arm", "all at once", "several", "files")
NOTE = (
    "Each row: answers that call the tool at once for all files that are known to be needed, with"
    " the 95 % interval (Wilson, over such situations); answers that call it for several, of those"
    " that call it at all; files called for, of those needed. Whether a task would be done is not"
    " measured."
)


def answer_table(title: str, shares: Sequence[AnswerShares]) -> Table:
    """The table for the terminal."""
    table = Table(title=title)
    for at, heading in enumerate(_HEADINGS):
        table.add_column(heading, justify="right" if at > 1 else "left", no_wrap=True)
    for row in _rows(shares):
        table.add_row(*row)
    return table


def answer_markdown(title: str, shares: Sequence[AnswerShares]) -> str:
    """The report as a page of Markdown."""
    notes = "\n".join(f"- {note}" for note in answer_notes(shares))
    return f"# {title}\n\n{answer_pipes(shares)}\n\n{notes}\n"


def answer_pipes(shares: Sequence[AnswerShares]) -> str:
    """The table as Markdown."""
    return pipes(_HEADINGS, list(_rows(shares)), texts=2)


def answer_notes(shares: Sequence[AnswerShares]) -> list[str]:
    """How it was measured, and what went wrong."""
    notes = [NOTE]
    if malformed := sum(it.malformed for it in shares):
        notes.append(f"{malformed} multi-calls were malformed.")
    if refused := sum(it.refused for it in shares):
        notes.append(f"{refused} requests were refused; --retry-errors sends them again.")
    return notes


def answers_as_dict(
    setting: Mapping[str, Any], shares: Sequence[AnswerShares], missing: int
) -> dict[str, Any]:
    """All numbers as a dict for JSON."""
    rows = [
        {
            **asdict(it),
            "complete_share": asdict(it.complete_share),
            "batch_share": asdict(it.batch_share) if it.batch_share else None,
        }
        for it in shares
    ]
    return {"setting": dict(setting), "missing": missing, "interval": 0.95, "shares": rows}


def _rows(shares: Sequence[AnswerShares]) -> Iterator[list[str]]:
    for it in shares:
        yield [
            _KINDS[it.kind].format(it.lapses),
            it.arm,
            _share(it.complete, it.answers, it.complete_share),
            _share(it.batches, it.eligible, it.batch_share),
            f"{it.called}/{it.wanted}",
        ]


def _share(hits: int, count: int, it: Estimate | None) -> str:
    if it is None or it.low is None or it.high is None:
        return f"{hits}/{count}"
    return f"{hits}/{count} ({100 * it.low:.0f}-{100 * it.high:.0f} %)"
