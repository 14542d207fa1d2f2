"""Placements that a model does not support: the reminder is appended, and one warning says so."""

import logging
from typing import Any

import pytest

import batchwrap
from batchwrap import Reminders
from batchwrap.lab import Reply
from batchwrap.options import Placement
from tests.adapters.callers import Caller
from tests.adapters.conversation import TOOLS, USER


@pytest.mark.parametrize(
    ("model", "placement", "reason"),
    [
        ("gpt-oss-120b", "system", "leaves such messages out"),
        ("deepseek-v3.1", "system", "rewrites what stands before them"),
        ("ministral-3-14b", "user", "are refused"),
        ("qwen3-32b", "user", "drops the reasoning before them"),
        ("gpt-oss-120b", "user", None),
        ("gpt-4o", "system", None),
        ("deepseek-v3.1", "append", None),
    ],
)
def test_one_warning(
    caller: Caller, serve: Any, caplog: Any, model: str, placement: Placement, reason: str | None
) -> None:
    """It names the model and the reason, however many requests and models follow."""
    lab = serve(lambda request: Reply("Done."))
    reminders = Reminders(placement=placement, prefetch_when_thinking=True)
    client = batchwrap.wrap(caller.open(lab), reminders=reminders)
    with caplog.at_level(logging.WARNING, "batchwrap"), batchwrap.mode("plan"):
        for name in (model, model, "mistral-large"):
            caller.ask(client, model=name, tools=TOOLS, messages=[USER])
    said = [record.getMessage() for record in caplog.records]
    if placement == "append":
        assert said == []
    elif reason is None:
        assert [name for name in said if model in name] == []
    else:
        [only] = said
        assert model in only and reason in only and f"{placement} messages" in only


def test_no_reminder_no_warning(caller: Caller, serve: Any, caplog: Any) -> None:
    """A conversation without a reminder has nothing to warn of."""
    lab = serve(lambda request: Reply("Done."))
    client = batchwrap.wrap(caller.open(lab), reminders=Reminders(placement="system"))
    with caplog.at_level(logging.WARNING, "batchwrap"):
        caller.ask(client, model="gpt-oss-120b", tools=TOOLS, messages=[USER])
    assert not caplog.records
