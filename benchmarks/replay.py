"""Replays recorded sessions through batchwrap: round trips and prompt tokens, with and without.

Each recorded session is played by an agent in each way to take calls, against a simulated
provider over HTTP, with scripted models from one that never batches to one that makes every
careful run in one multi-call (`bounds`). What is measured is the library, not a model: how
much of what a model batches arrives, in order and once, and what it costs where it does not.
Prompt tokens are net: schemas and reminders are counted. All of that is played in each of
the three APIs, whose requests and answers travel in their own form.

Run it with ``python -m benchmarks.replay``; ``--all`` takes every session, ``--format`` one API,
``--thinking`` Messages of a model whose thinking is signed for all that it was sent.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from batchwrap.lab.api_forms import API_FORMS
from benchmarks import bounds, sessions
from benchmarks.actors import STYLES, Play, Style
from benchmarks.sessions import Session
from benchmarks.stage import Played, Stage, play_bare

RATES = (0.0, 0.25, 0.5, 0.75, 1.0)
_SAMPLE = 10  # sessions of each source: about two minutes on two cores
_CHUNK = 6


@dataclass(frozen=True, slots=True)
class How:
    """What each session is played with.

    Attributes:
        styles: the kinds of agents.
        rates: the cooperation of the models.
        careful: whether the models keep to the careful rule.
        formats: the APIs that are spoken.
        thinks: whether the models think before each answer; in Messages that is signed.
    """

    styles: tuple[Style, ...] = STYLES
    rates: tuple[float, ...] = RATES
    careful: bool = True
    formats: tuple[str, ...] = tuple(API_FORMS)
    thinks: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """One session with one kind of agent, in one API.

    Attributes:
        format: the API.
        bare: what it cost without batchwrap.
        upper, careful, capped: round trips that the bounds would save; the last is the
            careful one with batches of eight calls at most.
        wrapped: what it cost with batchwrap, by the model's cooperation.
    """

    format: str
    source: str
    session_id: str
    style: Style
    bare: Played
    upper: int
    careful: int
    capped: int
    wrapped: dict[float, Played]


@dataclass(slots=True)
class Total:
    """Sums over sessions."""

    results: list[Result] = field(default_factory=list)

    @property
    def trips(self) -> int:
        """Round trips without batchwrap."""
        return sum(result.bare.round_trips for result in self.results)

    def share(self, saved: int) -> float:
        """Saved round trips in percent of all."""
        return 100 * saved / max(1, self.trips)

    def saved(self, rate: float) -> int:
        """Round trips that batchwrap saved."""
        return self.trips - sum(result.wrapped[rate].round_trips for result in self.results)

    def tokens(self, rate: float) -> float:
        """Prompt tokens with batchwrap, in percent of those without."""
        bare = sum(result.bare.prompt_tokens for result in self.results)
        return 100 * sum(result.wrapped[rate].prompt_tokens for result in self.results) / bare

    def reached(self, rate: float) -> str:
        """How much of the careful bound was reached."""
        careful = sum(result.careful for result in self.results)
        return f"{100 * self.saved(rate) / careful:.1f} %" if careful else "-"


def play_session(stage: Stage, session: Session, how: How) -> Iterator[Result]:
    """One session with each kind of agent, and models of each cooperation."""
    for style in how.styles:
        play = Play(session, style, stage.tokens, how.careful)
        yield Result(
            format=stage.format,
            source=session.source,
            session_id=session.id,
            style=style,
            bare=play_bare(play),
            upper=bounds.saved(play.session, careful=False),
            careful=bounds.saved(play.session, careful=True),
            capped=bounds.saved_capped(play.session, 8),
            wrapped={rate: stage.play(play, rate) for rate in how.rates},
        )


def replay(chosen: Sequence[Session], how: How, *, workers: int = 1) -> list[Result]:
    """Play all these sessions in each of the APIs, in so many processes."""
    # Long sessions first, and dealt out: so the processes end at about the same time.
    longest = sorted(chosen, key=lambda session: -len(session.script))
    piles = max(1, -(-len(longest) // _CHUNK))
    tasks = [
        (format_, longest[pile::piles], how) for format_ in how.formats for pile in range(piles)
    ]
    if workers == 1:
        return [result for task in tasks for result in _play_pile(task)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return [result for results in pool.map(_play_pile, tasks) for result in results]


def _play_pile(task: tuple[str, list[Session], How]) -> list[Result]:
    format_, pile, how = task
    with Stage(format_, thinks=how.thinks) as stage:
        return [result for session in pile for result in play_session(stage, session, how)]


def faults(results: Iterable[Result]) -> list[str]:
    """Every broken promise: a call not run exactly once and in order, or more round trips."""
    found = []
    for result in results:
        for rate, played in {-1.0: result.bare, **result.wrapped}.items():
            where = f"{result.format}: {result.source} {result.session_id} {result.style}"
            where += f" at {rate:g}"
            found += [f"{where}: {fault}" for fault in played.faults]
            if played.round_trips > result.bare.round_trips:
                found.append(f"{where}: {played.round_trips} > {result.bare.round_trips} trips")
    return found


def report(results: Sequence[Result], rates: Sequence[float]) -> Iterator[str]:
    """The tables, one for each API and kind of agent."""
    for format_, style in dict.fromkeys((result.format, result.style) for result in results):
        own = [result for result in results if (result.format, result.style) == (format_, style)]
        sources = sorted({result.source for result in own})
        yield f"\nAPI: {format_}, agent: {style}"
        yield (
            f"{'source':<19}{'trips':>7}{'upper':>8}{'careful':>8}{'max 8':>7} |"
            + "".join(f"{f'at {rate:g}':>8}" for rate in rates)
            + f"{'of careful':>12} | {'Mtokens':>8}"
            + "".join(f"{f'at {rate:g}':>8}" for rate in rates)
        )
        for source in sources:
            yield _row(source, Total([result for result in own if result.source == source]), rates)
        coding = Total([result for result in own if result.source in sessions.CODING_CLIS])
        yield _row("coding CLIs", coding, rates)
        yield _row("all", Total(own), rates)


def _row(name: str, total: Total, rates: Sequence[float]) -> str:
    tokens = sum(result.bare.prompt_tokens for result in total.results) / 1e6
    limits = [
        total.share(sum(getattr(result, bound) for result in total.results))
        for bound in ("upper", "careful", "capped")
    ]
    return (
        f"{name:<19}{total.trips:>7}{limits[0]:>7.1f}%{limits[1]:>7.1f}%{limits[2]:>6.1f}% |"
        + "".join(f"{0 - total.share(total.saved(rate)):>7.1f}%" for rate in rates)
        + f"{total.reached(max(rates)):>12} | {tokens:>8.2f}"
        + "".join(f"{total.tokens(rate) - 100:>+7.1f}%" for rate in rates)
    )


def validate(chosen: Sequence[Session], format_: str) -> Iterator[str]:
    """Whether the shortcuts hold: bare without HTTP, and filler in place of full texts."""
    with Stage(format_) as short, Stage(format_, full_text=True) as full:
        for session in chosen:
            for style in STYLES:
                play = Play(session, style, short.tokens)
                pairs = {
                    "bare": (play_bare(play), full.play(play, 0, wrapped=False)),
                    "wrapped": (short.play(play, 1), full.play(play, 1)),
                }
                for name, (mine, real) in pairs.items():
                    off = 100 * (mine.prompt_tokens / real.prompt_tokens - 1)
                    trips = "same" if mine.round_trips == real.round_trips else "OTHER"
                    yield (
                        f"{format_:<9} {session.source:<19} {style:<9} {name:<8} "
                        f"{trips} round trips ({real.round_trips}), tokens off by {off:+.2f} %"
                    )


def main() -> None:
    """Prints the bounds and the tables; exits with 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description="Replay recorded agent sessions.")
    parser.add_argument("--sample", type=int, default=_SAMPLE, help="sessions of each source")
    parser.add_argument("--all", action="store_true", help="every session")
    parser.add_argument("--format", nargs="+", choices=list(API_FORMS), default=list(API_FORMS))
    parser.add_argument("--thinking", action="store_true", help="signed, in messages only")
    parser.add_argument("--styles", nargs="+", choices=STYLES, default=STYLES)
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, help="cooperation")
    parser.add_argument("--reckless", action="store_true", help="batch against the careful rule")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--validate", action="store_true", help="check the shortcuts instead")
    given = parser.parse_args()
    recorded = sessions.load()
    if given.validate:
        for format_ in given.format:
            for line in validate(sessions.sample(recorded, 2), format_):
                print(line)
        return
    chosen = recorded if given.all else sessions.sample(recorded, given.sample)
    print("What batching could save, in percent of all requests of all recordings:\n")
    print(bounds.table(recorded, sessions.CODING_CLIS))
    started_s = time.monotonic()
    formats = ("messages",) if given.thinking else tuple(given.format)
    how = How(tuple(given.styles), tuple(given.rates), not given.reckless, formats, given.thinking)
    results = replay(chosen, how, workers=given.workers)
    print(f"\n{len(chosen)} sessions, {time.monotonic() - started_s:.0f} s. Round trips without")
    print("batchwrap, what the bounds would save, and the change by the model's cooperation:")
    for line in report(results, given.rates):
        print(line)
    broken = faults(results)
    print(f"\nBroken promises: {len(broken)}", *broken[:20], sep="\n  ")
    raise SystemExit(bool(broken))


if __name__ == "__main__":
    main()
