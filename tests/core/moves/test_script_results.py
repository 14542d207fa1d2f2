"""What a script gets for one of its calls: a text, a failure that it may catch, or a denial."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchwrap.core.failures import ResultStatus
from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.formats.messages.format import MESSAGES_FORMAT
from batchwrap.core.moves.agent_notes import distinct_notes
from batchwrap.core.moves.script_run import ScriptResult
from batchwrap.core.moves.scripts import result_of

DATA = Path(__file__).parents[1] / "data"
FAILED: list[dict[str, str]] = json.loads((DATA / "failed_results.json").read_text("utf-8"))
HEALTHY: list[dict[str, str]] = json.loads((DATA / "healthy_results.json").read_text("utf-8"))
CALL = Call("call_1", "read_file", "{}")
LOG = "a line of a log\n" * 400
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}


def result(content: Any, failed: Any = None) -> ScriptResult:
    """What becomes of a call with that result."""
    [entry] = CHAT_FORMAT.read([{"role": "tool", "tool_call_id": "call_1", "content": content}])
    return result_of(CALL, [entry], failed)


@pytest.mark.parametrize("case", FAILED, ids=lambda case: case["text"][:40])
def test_what_agents_say_of_failures(case: dict[str, str]) -> None:
    """A short result that is nothing but an error, or a denial, counts as one."""
    assert result(case["text"]).status == case["status"]


@pytest.mark.parametrize("case", HEALTHY, ids=lambda case: case["text"][:40])
def test_texts_about_errors(case: dict[str, str]) -> None:
    """What only talks about errors is a text."""
    assert result(case["text"]).status is ResultStatus.SUCCEEDED
    assert result(case["text"]).text == case["text"]


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (f"Exit code: 1\nOutput:\n{LOG}", "failed"),
        (f"{LOG}[The command completed with exit code 2.]", "failed"),
        (f"Exit code: 0\nOutput:\nError: this and that\n{LOG}", "succeeded"),
        (json.dumps({"isError": True, "content": LOG}), "failed"),
        (json.dumps({"rows": LOG}), "succeeded"),
        (f"<tool_use_error>{LOG}</tool_use_error>", "failed"),
        (f"Error: the disk is full\n{LOG}", "succeeded"),
        (f"Error: {LOG[:1_000]}", "failed"),
        ("", "succeeded"),
        ("Error: no such file", "failed"),
        ("The user doesn't want to proceed with this tool use.", "denied"),
    ],
    ids=lambda value: value[:30],
)
def test_how_long_a_failure_may_be(text: str, status: str) -> None:
    """A flag or an exit code tells of a failure at any length, words only in a short result."""
    assert result(text).status == status


def test_a_flag_beside_the_text() -> None:
    """`is_error` counts, however long the result is, and whatever it says."""

    def flagged(text: str) -> ResultStatus:
        block = {"type": "tool_result", "tool_use_id": "call_1", "content": text, "is_error": True}
        [entry] = MESSAGES_FORMAT.read([{"role": "user", "content": [block]}])
        return result_of(CALL, [entry], lambda _: False).status

    assert flagged(LOG) is flagged(LOG * 10) is flagged("no") is ResultStatus.FAILED
    assert flagged("The user declined this edit.") is ResultStatus.DENIED


def test_what_the_user_calls_a_failure() -> None:
    """His own function decides where he has given one."""
    assert result("Error: x", lambda _: False).status is ResultStatus.SUCCEEDED
    assert result("fine", lambda _: True).status is ResultStatus.FAILED
    denied = "The user doesn't want to proceed with this tool use."
    assert result(denied, lambda _: True).status is ResultStatus.DENIED


def test_parts() -> None:
    """Texts are joined; what is no text is named, and does not hide a failure."""
    text = {"type": "text", "text": "Error: no such file"}
    assert result([text, IMAGE]).status is ResultStatus.FAILED
    assert result([IMAGE]).text == "[a part of this result is no text, and was left out]"
    assert result([{"type": "text", "text": "a"}, IMAGE]).text.startswith("a\n[a part")


NOTE = "<system-reminder>\n9 tokens left\n</system-reminder>"
IMAGED = "a\n[a part of this result is no text, and was left out]"
OTHER = "<system-reminder>\nsomebody changed a.py\n</system-reminder>"


@pytest.mark.parametrize(
    ("content", "text", "notes"),
    [
        (f"1\ta\n\n{NOTE}", "1\ta", (NOTE,)),
        (f"a\n\n{OTHER}\n\n{NOTE}", "a", (OTHER, NOTE)),
        (f"\n\n{NOTE}", "", (NOTE,)),
        (NOTE, "", (NOTE,)),
        ([{"type": "text", "text": "a"}, IMAGE, {"type": "text", "text": NOTE}], IMAGED, (NOTE,)),
        (f"a {NOTE}", f"a {NOTE}", ()),
        (f"a\n\n{NOTE}\n", f"a\n\n{NOTE}\n", ()),
        (f"a\n\n{NOTE}\nb", f"a\n\n{NOTE}\nb", ()),
        ("</system-reminder>", "</system-reminder>", ()),
    ],
)
def test_notes_of_the_agent(content: Any, text: str, notes: tuple[str, ...]) -> None:
    """What an agent appends for the model is kept from the program; other texts are not."""
    found = result(content)
    assert (found.text, found.notes) == (text, notes)
    assert found.status is ResultStatus.SUCCEEDED


def test_notes_that_repeat() -> None:
    """The model gets each note once, and of a count that changes the last one."""
    assert distinct_notes([NOTE, OTHER, NOTE.replace("9", "8"), OTHER]) == [
        NOTE.replace("9", "8"),
        OTHER,
    ]
