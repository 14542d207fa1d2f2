"""Agents that append notes for the model to the results of tools, as Claude Code does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.core.apis import Api, each_api
from tests.core.script_play import Agent, Play, Provider, says, script, told
from tests.core.script_programs import World

COUNT = "<system-reminder>\n{} tokens left\n</system-reminder>"
SAID = "The user sent a new message while you were working:\nStop."
TYPED = f"<system-reminder>\n{SAID}\n</system-reminder>"
PROGRAM = """
for path in ("a.py", "b.py"):
    print(repr(await read_file(path=path)))
"""


@dataclass(frozen=True)
class Noting(World):
    """Tools whose results are the paths that they were asked for, with a note behind each.

    Attributes:
        notes: by path.
    """

    notes: tuple[tuple[str, str], ...] = ()

    def result(self, tool: str, arguments: Any) -> tuple[str, Any]:
        """The path, and its note."""
        path = arguments["path"]
        return "succeeded", f"text of {path}\n\n{dict(self.notes)[path]}"


def played(api: Api, *notes: tuple[str, str]) -> Play:
    """A conversation with one script, played to its end."""
    provider = Provider(api, [says(script("call_1", PROGRAM))])
    return Play(provider, Agent(), Noting(0, notes=notes)).run()


@each_api
def test_a_program_gets_no_notes(api: Api) -> None:
    """It gets what the tool returned; the model gets the notes, behind the script's account."""
    play = played(api, ("a.py", COUNT.format(9)), ("b.py", COUNT.format(8)))
    assert len(play.requests) == 2
    assert told(play)["call_1"] == "\n".join(
        [
            "'text of a.py'",
            "'text of b.py'",
            "[2 calls ran: read_file 2]",
            COUNT.format(8),
        ]
    )


@each_api
def test_a_person_types(api: Api) -> None:
    """A message that is typed while a tool runs stops the script, and the model reads it."""
    play = played(api, ("a.py", TYPED), ("b.py", COUNT.format(8)))
    assert [one[1] for one in play.ran] == ["read_file"]
    assert len(play.requests) == 2
    text = told(play)["call_1"]
    assert text.startswith("'text of a.py'\n[The script was stopped before its end.")
    assert text.endswith(f"[1 call ran: read_file 1]\n{TYPED}")
