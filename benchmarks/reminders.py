"""When to remind: round trips and prompt tokens by the schedule, at equal conversations.

Recorded sessions are played over HTTP against scripted models whose habit of batching fades
after a reminder. How it fades is an assumption (`MODELS`): what is measured is which schedule
does best if models are like that, with every reminder paid for in each request that carries
it. The draws are the same for all schedules, so differences are the schedules' own.

Run it with ``make benchmark-reminders``; ``--plot FILE`` also draws it. ``--chains`` only counts,
in the recordings themselves and with no model, after how many single calls a program is worth a
reminder.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from batchwrap.options import Reminders
from benchmarks import sessions
from benchmarks.actors import Message, Play
from benchmarks.sessions import Session
from benchmarks.stage import BATCHING, Stage, play_bare

EVERY = (2, 3, 4, 6, 8, 12, 16)
_SAMPLE = 8  # sessions of each coding agent: about two minutes on two cores
_SOURCES = (*sessions.CODING_CLIS, "openhands-swebench", "swe-agent-repo")
_LEAST_TURNS = 10
_BATCH = re.compile(r"multi_\w+|batch")


@dataclass(frozen=True, slots=True)
class Fading:
    """How the habit of batching fades. These are assumptions, not measurements.

    Attributes:
        name: what it is called here.
        reminded: share of runs that are batched right after a reminder.
        left: share of runs that are batched when it is forgotten.
        half_life: turns after which half of the difference is gone.
        by_itself: whether a batch of its own reminds the model as well.
        wears_off: the share of its effect that a reminder loses to each one before it.
    """

    name: str
    reminded: float
    left: float
    half_life: float
    by_itself: bool = False
    wears_off: float = 0.0

    def rate(self, request: Message) -> float:
        """The share of runs that it batches, after this conversation."""
        turns = _turns_since(request["messages"], by_itself=self.by_itself)
        fresh = 0.0 if turns is None else 0.5 ** (turns / self.half_life)
        before = max(0, sum(map(_is_reminder, request["messages"])) - 1)
        fresh *= (1 - self.wears_off) ** before
        return self.left + (self.reminded - self.left) * fresh


MODELS = (
    Fading("attentive", reminded=0.9, left=0.2, half_life=8, by_itself=True),
    Fading("average", reminded=0.7, left=0.1, half_life=4, by_itself=True),
    Fading("forgetful", reminded=0.7, left=0.05, half_life=2),
    Fading("easily bored", reminded=0.7, left=0.05, half_life=4, wears_off=0.4),
    Fading("stubborn", reminded=0.2, left=0.05, half_life=2),
)
SCHEDULES: dict[str, Reminders | None] = {
    "none": None,
    "on a lapse": Reminders(every=None),
    **{f"every {n}": Reminders(every=n, on_lapse=False) for n in EVERY},
    **{f"every {n}, on a lapse": Reminders(every=n) for n in EVERY},
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a schedule came to, in sums over sessions.

    Attributes:
        round_trips: requests that reached the provider.
        prompt_tokens: of all of them.
        reminders: given.
        reminder_tokens: what they took up, a rough estimate.
    """

    round_trips: int = 0
    prompt_tokens: int = 0
    reminders: int = 0
    reminder_tokens: int = 0

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.round_trips + other.round_trips,
            self.prompt_tokens + other.prompt_tokens,
            self.reminders + other.reminders,
            self.reminder_tokens + other.reminder_tokens,
        )


# What a program can do one after the other without a model: look, and look at what was found.
_LOOKS = frozenset({"read", "search"})
_CHAINS = range(2, 7)

Outcomes = dict[tuple[str, str], Outcome]  # by model and schedule


def chosen(sample: int) -> list[Session]:
    """So many sessions of each coding agent, those with something to remind of."""
    long = [
        session
        for session in sessions.load()
        if session.source in _SOURCES and len(session.turns) >= _LEAST_TURNS
    ]
    return sessions.sample(long, sample)


def play_all(
    recorded: Sequence[Session], models: Sequence[Fading] = MODELS, *, workers: int = 1
) -> Outcomes:
    """Every session with every model and schedule, and ``("", "bare")`` without batchwrap."""
    tasks = [(session, tuple(models)) for session in recorded]
    if workers == 1:
        found = [_play_session(task) for task in tasks]
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(_play_session, tasks))
    total: Outcomes = {}
    for outcomes in found:
        for key, outcome in outcomes.items():
            total[key] = total.get(key, Outcome()) + outcome
    return total


def _play_session(task: tuple[Session, tuple[Fading, ...]]) -> Outcomes:
    session, models = task
    # The history stays as it is: rewriting it is another move, measured by `replay`.
    batching = replace(BATCHING, coalesce="never")
    with Stage() as stage:
        play = Play(session, "parallel", stage.tokens, named=True)
        bare = play_bare(play)
        outcomes = {("", "bare"): Outcome(bare.round_trips, bare.prompt_tokens)}
        for model in models:
            for name, reminders in SCHEDULES.items():
                played = stage.play(play, model.rate, batching=batching, reminders=reminders)
                if played.faults:
                    raise RuntimeError(f"{session.id}: {played.faults[0]}")
                outcomes[model.name, name] = Outcome(
                    played.round_trips,
                    played.prompt_tokens,
                    played.reminders,
                    played.reminder_tokens,
                )
        return outcomes


def chain_lengths(recorded: Sequence[Session]) -> list[int]:
    """The lengths of chains of single calls that only look, none of which failed."""
    lengths: list[int] = []
    for session in recorded:
        length = 0
        for turn in session.turns:
            calls = turn.calls
            if len(calls) == 1 and calls[0].kind in _LOOKS and not calls[0].failed:
                length += 1
                continue
            lengths.append(length)
            length = 0
        lengths.append(length)
    return [length for length in lengths if length]


def chain_lines(recorded: Sequence[Session]) -> Iterator[str]:
    """The table: what follows in a chain of single calls once it has a length."""
    lengths, turns = chain_lengths(recorded), sum(len(session.turns) for session in recorded)
    yield "After so many single calls that only look, one after the other:"
    yield f"{'calls':<8}{'times':>8}{'per 100 turns':>15}{'it goes on':>12}{'calls to come':>15}"
    for least in _CHAINS:
        reached = [length for length in lengths if length >= least]
        on = sum(length > least for length in reached) / max(1, len(reached))
        to_come = sum(length - least for length in reached) / max(1, len(reached))
        yield (
            f"{least:<8}{len(reached):>8,}{100 * len(reached) / turns:>15.1f}{on:>12.0%}"
            f"{to_come:>15.1f}"
        )


def _turns_since(messages: Sequence[Message], *, by_itself: bool) -> int | None:
    """Turns of the model since it was last reminded; None if it never was."""
    turns = 0
    for message in reversed(messages):
        if message["role"] != "assistant":
            if _is_reminder(message):
                return turns
            continue
        calls = message.get("tool_calls") or ()
        if by_itself and any(_BATCH.fullmatch(call["function"]["name"]) for call in calls):
            return turns
        turns += 1
    return None


def _is_reminder(message: Message) -> bool:
    return message["role"] != "assistant" and "[Reminder: " in str(message.get("content"))


def report(outcomes: Outcomes) -> Iterator[str]:
    """The table: each schedule against no reminders, for each model and for all of them."""
    bare = outcomes["", "bare"]
    sums = f"{bare.round_trips:,} round trips, {bare.prompt_tokens:,} prompt tokens"
    yield f"Without batchwrap: {sums}"
    for model in dict.fromkeys(model for model, _ in outcomes if model):
        none = outcomes[model, "none"]
        yield f"\n{model}{_about(model)}"
        yield f"{'schedule':<24}{'trips':>8}{'tokens':>9}{'given':>7}{'their tokens':>14}"
        for name in SCHEDULES:
            one = outcomes[model, name]
            yield (
                f"{name:<24}{_change(one.round_trips, none.round_trips):>8}"
                f"{_change(one.prompt_tokens, none.prompt_tokens):>9}{one.reminders:>7,}"
                f"{100 * one.reminder_tokens / one.prompt_tokens:>13.2f}%"
            )
    yield "\nAll of them, mean of the changes:"
    for name in SCHEDULES:
        trips, tokens = mean_changes(outcomes, name)
        yield f"{name:<24}{trips:>+7.1f}%{tokens:>+8.1f}%"


def mean_changes(outcomes: Outcomes, schedule: str) -> tuple[float, float]:
    """Round trips and prompt tokens against no reminders, in percent, a mean over the models."""
    models = list(dict.fromkeys(model for model, _ in outcomes if model))
    pairs = [(outcomes[model, schedule], outcomes[model, "none"]) for model in models]
    trips = sum(100 * (one.round_trips / none.round_trips - 1) for one, none in pairs)
    tokens = sum(100 * (one.prompt_tokens / none.prompt_tokens - 1) for one, none in pairs)
    return trips / len(models), tokens / len(models)


def _about(name: str) -> str:
    [model] = [model for model in MODELS if model.name == name]
    more = ", its own batches remind it, too" if model.by_itself else ""
    if model.wears_off:
        more += f", each reminder takes {model.wears_off:.0%} off the effect of the next"
    return (
        f": batches {model.reminded:.0%} of the runs when reminded, {model.left:.0%} when not, "
        f"half-life {model.half_life:g} turns{more}"
    )


def _change(value: int, base: int) -> str:
    return f"{100 * (value / base - 1):+.1f}%"


def save(outcomes: Outcomes, path: Path) -> None:
    """Draw round trips and tokens over N, with and without lapses; needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes: Any = figure.subplots(1, 2)
    models = list(dict.fromkeys(model for model, _ in outcomes if model))
    for color, model in enumerate(models):
        none, lapse = outcomes[model, "none"], outcomes[model, "on a lapse"]
        for axis, field in zip(axes, ("round_trips", "prompt_tokens"), strict=True):
            base = getattr(none, field)
            for ending, style in ((", on a lapse", "-"), ("", "--")):
                values = [getattr(outcomes[model, f"every {n}{ending}"], field) for n in EVERY]
                changes = [100 * (value / base - 1) for value in values]
                label = f"{model}{' (and on a lapse)' if ending else ''}"
                axis.plot(EVERY, changes, style, color=f"C{color}", label=label, marker=".")
            only = 100 * (getattr(lapse, field) / base - 1)
            axis.axhline(only, color=f"C{color}", linewidth=0.8, linestyle=":")
    for axis, what in zip(axes, ("round trips", "prompt tokens"), strict=True):
        axis.set_xlabel("N turns without a batch (dotted: on a lapse only)")
        axis.set_ylabel(f"{what} against no reminders, in %")
        axis.axvline(Reminders().every or 0, color="0.7", linewidth=0.8)
        axis.grid(alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(
        "Reminders, with scripted models whose habit fades (an assumption)", fontsize=11
    )
    figure.savefig(path)


def main() -> None:
    """Prints the tables, and draws them if asked to."""
    parser = argparse.ArgumentParser(description="Compare schedules of reminders.")
    parser.add_argument("--sample", type=int, default=_SAMPLE, help="sessions of each agent")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--plot", type=Path, help="write a plot to this file (.svg, .png)")
    parser.add_argument("--chains", action="store_true", help="count chains of single calls only")
    given = parser.parse_args()
    if given.chains:
        recorded = sessions.load()
        print(f"{len(recorded)} recorded sessions.")
        print("\n".join(chain_lines(recorded)))
        return
    recorded = chosen(given.sample)
    print(f"{len(recorded)} sessions. These models are assumptions, see benchmarks/reminders.py.")
    outcomes = play_all(recorded, workers=given.workers)
    for line in report(outcomes):
        print(line)
    if given.plot:
        save(outcomes, given.plot)


if __name__ == "__main__":
    main()
