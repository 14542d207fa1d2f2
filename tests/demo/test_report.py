"""What the demo says about its result."""

from __future__ import annotations

import json
import re
from io import StringIO

from rich.console import Console

from batchwrap.demo import demo_report
from batchwrap.demo.demo_report import DemoResult
from tests.demo.results import arm, real, result


def printed(it: DemoResult) -> dict[str, list[str]]:
    """The cells of the table by the label of their row."""
    out = StringIO()
    Console(file=out, width=100).print(demo_report.table(it))
    rows = (re.split(r"\s*[│┃]\s*", line) for line in out.getvalue().splitlines())
    return {row[1]: row[2:-1] for row in rows if len(row) > 4}


def test_the_table_compares() -> None:
    """Each number stands with both arms, and a ratio where there is something to divide by."""
    rows = printed(result())
    assert rows[""] == ["bare client", "wrapped", "wrapped/bare"]
    assert rows["round trips"] == ["40", "10", "0.25"]
    assert rows["prompt tokens"] == ["1,000,000", "1,000,000", "1.00"]
    assert rows["refused (429)"] == ["2", "0", "0.00"]
    assert rows["waiting, s"] == ["120.5", "55.2", "0.46"]
    assert rows["wall time, s"] == ["130.5", "65.2", "0.50"]
    assert rows["job done"] == ["yes", "yes", ""]


def test_the_table_with_scripts() -> None:
    """The arm with scripts has a column of its own, and its ratio to the bare arm."""
    it = result(scripts=arm("scripts", {"round_trips": 4, "prompt_tokens": 50_000}))
    rows = printed(it)
    assert rows[""] == ["bare client", "wrapped", "/bare", "scripts", "/bare"]
    assert rows["round trips"] == ["40", "10", "0.25", "4", "0.10"]
    assert rows["prompt tokens"] == ["1,000,000", "1,000,000", "1.00", "50,000", "0.05"]
    assert rows["job done"] == ["yes", "yes", "", "yes", ""]
    numbers = demo_report.as_dict(it)
    assert numbers["scripts"]["round_trips"] == 4
    assert numbers["scripts_ratio"]["round_trips"] == 0.1
    assert "one script for the whole job" in "\n".join(demo_report.notes(it))


def test_the_table_fits_a_terminal() -> None:
    """With all arms it is no wider than 80 characters, also where numbers are large."""
    it = result(bare=arm("bare", {"prompt_tokens": 1_218_951}), scripts=arm("scripts"))
    assert Console(width=1_000).measure(demo_report.table(it)).maximum <= 80


def test_without_scripts() -> None:
    """Without that arm its numbers are null, and the notes name the extra."""
    numbers = demo_report.as_dict(result())
    assert (numbers["scripts"], numbers["scripts_ratio"]) == (None, None)
    assert "batchwrap[scripts]" in "\n".join(demo_report.notes(result()))


def test_scripts_that_failed() -> None:
    """The arm with scripts counts for whether all is done."""
    it = result(scripts=arm("scripts", done=False, error="it broke"))
    assert not it.done
    assert demo_report.notes(it)[0] == "The scripts arm failed: it broke"


def test_the_table_of_a_failure() -> None:
    """What is missing or went wrong can be seen."""
    empty = {"round_trips": 0, "prompt_tokens": None}
    rows = printed(result(bare=arm("bare", empty, done=False, tests_pass=False)))
    assert rows["round trips"] == ["0", "10", "-"]
    assert rows["prompt tokens"] == ["not reported", "1,000,000", "-"]
    assert rows["project's tests pass"] == ["NO", "yes", ""]
    assert rows["job done"] == ["NO", "yes", ""]


def test_the_dict_is_json() -> None:
    """All numbers of the table are there by name, with the setting that they come from."""
    it = json.loads(json.dumps(demo_report.as_dict(result())))
    assert it["bare"]["refusals"] == 2
    assert it["wrapped"]["wall_s"] == 65.25
    assert it["ratio"]["round_trips"] == 0.25
    assert it["ratio"].keys() == it["bare"].keys() - {"tests_pass", "done", "error"}
    assert it["done"] is True
    assert it["setting"]["simulated"] is True
    assert it["setting"]["time_scale"] == 15
    assert [limit["amount"] for limit in it["setting"]["limits"]] == [300_000, 50]


def test_ratios_without_a_number() -> None:
    """A ratio that cannot be had is null, not an error."""
    it = demo_report.as_dict(result(bare=arm("bare", {"refusals": 0, "prompt_tokens": None})))
    assert it["ratio"]["refusals"] is None
    assert it["ratio"]["prompt_tokens"] is None


def test_the_notes_say_what_is_simulated() -> None:
    """Four to eight lines: what is simulated, by how much the clock, what is real, what next."""
    notes = demo_report.notes(result())
    assert 4 <= len(notes) <= 8
    text = "\n".join(notes)
    for part in ("the provider", "the model", "assumption", "15 s pass", "Real: HTTP"):
        assert part in text
    assert "--base-url" in notes[-1]


def test_the_notes_of_a_real_run() -> None:
    """They name the model and say how the bare arm was metered, and whose numbers these are."""
    text = "\n".join(demo_report.notes(real()))
    for part in ("swift at https://x.test/v1", "metered", "batchwrap's counters"):
        assert part in text
    assert "--stream" not in text
    silent = demo_report.notes(real(wrapped=arm("wrapped", {"prompt_tokens": None})))
    assert any("without --stream" in note for note in silent)


def test_failures_come_first() -> None:
    """Each arm that did not do the job is named with its reason, before all else."""
    bad = result(bare=arm("bare", done=False, error="it broke"), wrapped=arm("wrapped", done=False))
    notes = demo_report.notes(bad)
    assert notes[0] == "The bare arm failed: it broke"
    assert notes[1].startswith("The wrapped arm failed: it ended")
    assert not bad.done


def test_keys_are_not_reported() -> None:
    """The API key of a real run is in none of the outputs."""
    it = real()
    assert it.endpoint is not None
    assert "secret-key" not in json.dumps(demo_report.as_dict(it)) + "".join(demo_report.notes(it))
    assert "secret-key" not in repr(it.endpoint)
