"""The comparison of schedules: equal conversations, habits that fade, every token paid for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from batchwrap.options import Reminders
from benchmarks import reminders
from benchmarks.reminders import MODELS, SCHEDULES, Fading
from benchmarks.sessions import RecordedCall, RecordedTurn, Session

MODEL = Fading("m", reminded=0.8, left=0.2, half_life=2)


def conversation(*turns_after: str) -> dict[str, Any]:
    """A request whose user messages have these texts, each followed by a turn."""
    messages: list[dict[str, Any]] = []
    for text in turns_after:
        messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]
    return {"messages": messages}


def test_the_habit_fades() -> None:
    """After one half-life half of the difference is left; without a reminder nothing is."""
    reminded = "[Reminder: batch.]"
    assert MODEL.rate(conversation("Go.")) == 0.2
    assert MODEL.rate({"messages": [{"role": "user", "content": reminded}]}) == 0.8
    assert MODEL.rate(conversation(reminded, "Go.")) == pytest.approx(0.5)
    assert MODEL.rate(conversation("Go.", reminded)) > MODEL.rate(conversation(reminded, "Go."))


def test_reminders_wear_off() -> None:
    """Each one before it takes its share of the effect."""
    bored = Fading("b", reminded=1.0, left=0.0, half_life=1e9, wears_off=0.5)
    one, three = (conversation(*["[Reminder: batch.]"] * count) for count in (1, 3))
    assert bored.rate(one) == pytest.approx(1.0)
    assert bored.rate(three) == pytest.approx(0.25)


def test_own_batches_remind() -> None:
    """A model that goes by its own habit is reminded by its own batches."""
    calls = [{"function": {"name": "multi_read"}}]
    request = {"messages": [{"role": "assistant", "content": None, "tool_calls": calls}]}
    by_itself = Fading("s", reminded=0.8, left=0.2, half_life=2, by_itself=True)
    assert (MODEL.rate(request), by_itself.rate(request)) == (0.2, 0.8)


@pytest.mark.thorough
def test_equal_conversations(tmp_path: Path) -> None:
    """All schedules do the same work; reminders save round trips where models heed them."""
    session = min(
        (one for one in reminders.chosen(3) if one.source == "entire-claude-code"),
        key=lambda one: len(one.script),
    )
    heeds = Fading("attentive", reminded=1.0, left=0.0, half_life=100)
    outcomes = reminders.play_all([session], [heeds])
    bare, none = outcomes["", "bare"], outcomes["attentive", "none"]
    often = outcomes["attentive", "every 2"]
    assert bare.round_trips == none.round_trips > often.round_trips
    assert none.reminders == none.reminder_tokens == 0
    assert often.reminders > 0
    lines = list(reminders.report(outcomes))
    assert sum(line.startswith("every 6, on a lapse") for line in lines) == 2
    reminders.save(outcomes, tmp_path / "plot.svg")
    assert "round trips against no reminders" in (tmp_path / "plot.svg").read_text()


def test_the_default_is_among_the_schedules() -> None:
    """What is compared includes what ships, and models that do not heed reminders."""
    default = Reminders()
    assert default in SCHEDULES.values()
    assert min(model.reminded for model in MODELS) < 0.5


def test_chains_of_single_calls() -> None:
    """They end at a turn with another call, with several, or with one that failed."""

    def turn(*kinds: str, failed: bool = False) -> RecordedTurn:
        return RecordedTurn(
            0, 0, tuple(RecordedCall(0, 0, kind, None, 0, 0, failed, None) for kind in kinds)
        )

    looks = [turn("search"), turn("read"), turn("read")]
    others = [turn("edit"), turn("read", "read"), turn(), turn("read", failed=True)]
    script = [*looks, *(part for other in others for part in (other, turn("read")))]
    session = Session("s", "a", tuple(script))
    assert reminders.chain_lengths([session]) == [3, 1, 1, 1, 1]
    lines = list(reminders.chain_lines([session]))
    assert lines[2].split() == ["2", "1", "9.1", "100%", "1.0"]
    assert lines[3].split() == ["3", "1", "9.1", "0%", "0.0"]
