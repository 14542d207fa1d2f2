"""Recorded sessions go through batchwrap whole, in order, and in fewer round trips."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batchwrap.lab.api_forms import API_FORMS
from benchmarks import bounds, replay, sessions
from benchmarks.actors import STYLES, Play, Style
from benchmarks.sessions import Session
from benchmarks.stage import Stage, play_bare

RECORDED = sessions.load()
SOURCES = sorted({session.source for session in RECORDED})


def small(source: str, most: int = 3) -> list[Session]:
    """A few short sessions of a source, those in which batching would save most."""
    short = [s for s in RECORDED if s.source == source and len(s.script) <= 30]
    gain = sorted(short, key=lambda s: (-bounds.saved(s, careful=True), s.id))
    return gain[:most]


@pytest.fixture(
    scope="module",
    params=[
        "chat",
        *(pytest.param(one, marks=pytest.mark.thorough) for one in API_FORMS if one != "chat"),
        pytest.param("messages, thinking", marks=pytest.mark.thorough),
    ],
)
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """A provider and a client that speak one of the APIs."""
    format_, _, thinks = request.param.partition(", ")
    with Stage(format_, thinks=bool(thinks)) as running:
        yield running


def test_bounds() -> None:
    """The bounds are those that were published with the recordings."""
    rows = bounds.table(RECORDED, sessions.CODING_CLIS).splitlines()[1:]
    numbers = [[word for word in row.split() if word[0].isdigit()] for row in rows]
    assert numbers == [
        ["10.8", "10.4", "4.3", "4.1"],
        ["22.5", "21.6", "8.8", "8.4"],
        ["24.0", "23.1", "25.6", "25.1"],
        ["36.5", "35.2", "35.7", "35.1"],
    ]


@pytest.mark.parametrize(
    "style",
    [pytest.param(one, marks=() if one == "parallel" else pytest.mark.thorough) for one in STYLES],
)
@pytest.mark.parametrize("source", SOURCES)
def test_replay(stage: Stage, source: str, style: Style) -> None:
    """Each call runs once and in order; never more round trips; nearly the careful bound."""
    how = replay.How((style,), (0.0, 1.0))
    results = [r for session in small(source) for r in replay.play_session(stage, session, how)]
    assert not replay.faults(results)
    total = replay.Total(results)
    # An agent that keeps the first call of an answer gets the others without a round trip, too.
    assert total.saved(0.0) >= 0 if style == "first" else total.saved(0.0) == 0
    assert total.saved(1.0) >= 0.9 * sum(result.careful for result in results)


@pytest.mark.thorough
@pytest.mark.parametrize("style", STYLES)
def test_reckless(stage: Stage, style: Style) -> None:
    """A model that batches across failures has what was cancelled run later, once."""
    how = replay.How((style,), (1.0,), careful=False)
    failing = [s for s in RECORDED if _has_failing_run(s) and len(s.script) <= 60]
    results = [r for session in failing[:4] for r in replay.play_session(stage, session, how)]
    assert results
    assert not replay.faults(results)


@pytest.mark.parametrize("wrapped", [False, True])
def test_shortcuts(stage: Stage, wrapped: bool) -> None:
    """Bare sessions without HTTP and filler for full texts give the figures of real ones."""
    [session] = small("openhands-swebench", 1)
    play = Play(session, "parallel", stage.tokens)
    mine = stage.play(play, 1) if wrapped else play_bare(play)
    with Stage(stage.format, full_text=True) as full:
        real = full.play(play, 1 if wrapped else 0, wrapped=wrapped)
    assert mine.round_trips == real.round_trips
    assert mine.prompt_tokens == pytest.approx(real.prompt_tokens, rel=0.005)


def _has_failing_run(session: Session) -> bool:
    """Whether an edit fails in a run, with more behind it."""
    return any(
        call.failed and call.kind in bounds.EDITS
        for run in bounds.runs(session, careful=False)
        for turn in run[:-1]
        for call in turn.calls
    )
