"""`analyze`: reads all files and returns one `Report`, which is shown in several forms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from batchwrap.analyze.bounds import RULES, SCRIPT_RULES
from batchwrap.analyze.files import LogFile, Unreadable, sources
from batchwrap.analyze.log_formats import sessions_in
from batchwrap.analyze.pressure import Pressure
from batchwrap.analyze.record import LogReading
from batchwrap.analyze.report_words import asked_of_the_model, assumptions, ranked, to_declare
from batchwrap.analyze.session_totals import MOST_ITEMS, SCOPES, Totals

_MOST_PROBLEMS = 100
Watch = Callable[[str, int], object]


@dataclass(frozen=True, slots=True)
class Problem:
    """A file, or a part of one, that was skipped.

    Attributes:
        file: its path, or ``-`` for the standard input.
        reason: why it was skipped.
    """

    file: str
    reason: str


@dataclass(slots=True)
class Report:
    """The result of an analysis.

    Attributes:
        totals: the counts.
        pressure: how long the requests would wait for a plan's limits; None if no plan was
            named.
        formats: the number of files by format.
        problems: the first hundred problems.
        skipped: the number of files that were skipped.
    """

    totals: Totals
    pressure: Pressure | None = None
    formats: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    skipped: int = 0

    def add_problem(self, file: str, reason: str) -> None:
        """Record a file, or a part of one, that was skipped.

        Args:
            file: its path, or ``-`` for the standard input.
            reason: why it was skipped.
        """
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(Problem(file, reason))

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; counts are totals over all sessions."""
        totals = self.totals
        return {
            "sessions": totals.sessions,
            "requests": totals.requests,
            "requests_with_estimated_tokens": totals.estimated,
            "prompt_tokens": totals.prompt_tokens,
            "cached_tokens": totals.cached_tokens,
            "output_tokens": totals.output_tokens,
            "sources": dict(totals.sources),
            "saved": {
                scope: {rule: asdict(totals.saving(scope, rule)) for rule in RULES}
                for scope in SCOPES
            },
            "scripts_at_most": {
                scope: {rule: asdict(totals.script_savings[scope, rule]) for rule in SCRIPT_RULES}
                for scope in SCOPES
            },
            "tools": {name: asdict(tool) for name, tool in ranked(totals.tools, "calls")},
            "models": {name: asdict(model) for name, model in ranked(totals.models, "requests")},
            "lapses": totals.lapses,
            "worst_lapses": [asdict(lapse) for lapse in sorted(totals.worst, reverse=True)],
            "batch_sizes": dict(sorted(totals.batch_sizes.items())),
            "sessions_by_tenths_saved": {n: totals.shares[n] for n in range(10)},
            "pressure": _pressure(self.pressure),
            "to_declare": to_declare(totals),
            "what_it_takes": asked_of_the_model(totals),
            "assumptions": assumptions(totals, self.pressure),
            "formats": dict(self.formats),
            "skipped_files": self.skipped,
            "problems": [asdict(problem) for problem in self.problems],
        }


def analyze(
    paths: Sequence[str],
    *,
    plan: str | None = None,
    tokens_per_s: float = 1_000,
    most: int = MOST_ITEMS,
    watch: Watch = lambda file, read: None,
) -> Report:
    """Read recorded sessions, and count what batching would have saved in them.

    Args:
        paths: files and folders; ``-`` is the standard input.
        plan: the plan whose limits the requests are replayed against; None replays nothing.
        tokens_per_s: the speed of the model in that replay.
        most: the most items of a batch.
        watch: called while files are read, with the file's path and the number of bytes read
            since the last call.

    Returns:
        The report, which also names the files that could not be read.

    Raises:
        ConfigError: there is no such plan, or `tokens_per_s` is no number or below 1.
    """
    pressure = Pressure(plan, tokens_per_s, most) if plan is not None else None
    report, reading = Report(Totals(most), pressure), LogReading()
    for source in sources(paths):
        source.read = _told(watch, source.name)
        _read(source, report, reading)
    return report


def _told(watch: Watch, file: str) -> Callable[[int], object]:
    return lambda read: watch(file, read)


def _read(source: LogFile, report: Report, reading: LogReading) -> None:
    totals, before = report.totals, report.totals.sessions
    try:
        name, sessions = sessions_in(source, reading)
        for session in sessions:
            totals.add(session)
            if report.pressure is not None:
                report.pressure.add(session)
        report.formats[name] += 1
    except Unreadable as problem:
        report.skipped += totals.sessions == before
        report.add_problem(source.name, str(problem))
        return
    if source.problem:
        report.add_problem(source.name, source.problem)
    if totals.sessions == before:
        report.add_problem(source.name, "holds no answer of a model, or only copies")


def _pressure(pressure: Pressure | None) -> dict[str, Any] | None:
    if pressure is None:
        return None
    return {
        "plan": pressure.plan.name,
        "source": pressure.plan.source,
        "date": str(pressure.plan.date or ""),
        "tokens_per_s": pressure.tokens_per_s,
        **{what: asdict(play) for what, play in pressure.plays.items()},
    }
