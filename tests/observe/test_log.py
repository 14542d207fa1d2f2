"""Events in the log: at the levels that the documentation says, as names and numbers."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, get_args

import pytest

import batchwrap
from batchwrap.lab import Raw, Reply
from batchwrap.observe.log import log
from batchwrap.options import Event, EventName
from tests.adapters.callers import Caller

PAGE = Path(__file__).parents[2] / "docs/observability.md"
ROWS = re.findall(r"^\| `(\w+)` \| .+ \| (\w+) \|$", PAGE.read_text(encoding="utf-8"), re.M)
REFUSED = Raw(429, {"retry-after": "0.01", "content-type": "application/json"}, (b"{}",))


def test_all_events_have_a_level() -> None:
    """The table is complete."""
    assert {name for name, _ in ROWS} == set(get_args(EventName))


@pytest.mark.parametrize(("name", "level"), ROWS)
def test_levels(name: Any, level: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each event is logged at its level, and not above."""
    caplog.set_level(logging.DEBUG, logger="batchwrap")
    log(Event(name=name, data={"seconds_s": 1.5, "kind": "bucket"}))
    [record] = caplog.records
    assert (record.levelname.lower(), record.name) == (level, "batchwrap")
    assert record.getMessage() == f"{name} seconds_s=1.5 kind=bucket"


def test_a_request(caller: Caller, serve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """At the level "info" there is what cost time, and no line for what went well."""
    caplog.set_level(logging.INFO, logger="batchwrap")
    caller.ask(batchwrap.wrap(caller.open(serve(REFUSED, Reply("hush")))))
    said = [record.getMessage() for record in caplog.records if record.name == "batchwrap"]
    assert {line.split()[0] for line in said} == {"refused", "waited"}
    [refused] = [line for line in said if line.startswith("refused")]
    assert refused.startswith("refused status=429 kind=bucket")
