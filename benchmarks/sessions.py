"""Recorded agent sessions: their shape, without a word of what was said.

A line of `data/*.skeleton.jsonl.gz` is one conversation: turns of the user (tokens) and of
the assistant (tokens of text, and its calls with kind, path label and sizes). They were
made by agents and models of other people; `data/README.md` names them.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

DATA = Path(__file__).parent / "data"
CODING_CLIS = ("entire-claude-code", "entire-gemini-cli", "nimbus-opencode")
_ROLES = {"u": "user", "s": "system", "d": "developer"}


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded tool call.

    Attributes:
        number: its place among all calls of the session, from 0.
        group: index of the recorded turn that made it.
        kind: what it did: ``"read"``, ``"shell_search"``, …
        path: a label; the same one is the same file. None where none was named.
        argument_tokens: size of its arguments.
        result_tokens: size of its result.
        failed: its result reads like an error.
        known: the path's name stood in the conversation before its turn.
    """

    number: int
    group: int
    kind: str
    path: str | None
    argument_tokens: int
    result_tokens: int
    failed: bool
    known: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """One recorded answer of the model: a round trip.

    Attributes:
        index: its place among the turns of its session, from 0.
        text_tokens: size of what it said.
        calls: what it called.
    """

    index: int
    text_tokens: int
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A message that is not the model's and no result.

    Attributes:
        role: ``"user"``, ``"system"`` or ``"developer"``.
        tokens: its size.
    """

    role: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Session:
    """One recorded conversation."""

    id: str
    source: str
    script: tuple[Prompt | Turn, ...]

    @property
    def turns(self) -> list[Turn]:
        """The model's turns, by their index."""
        return [part for part in self.script if isinstance(part, Turn)]

    @property
    def calls(self) -> list[Call]:
        """All calls, by their number."""
        return [call for turn in self.turns for call in turn.calls]

    def one_call_a_turn(self) -> Session:
        """The same session where a turn has one call at most, as in an agent that takes one."""
        script: list[Prompt | Turn] = []
        index = 0
        for part in self.script:
            pieces = _pieces(part) if isinstance(part, Turn) else [part]
            for piece in pieces:
                if isinstance(piece, Turn):
                    piece, index = replace(piece, index=index), index + 1
                script.append(piece)
        return replace(self, script=tuple(script))


def load() -> list[Session]:
    """All sessions, in a fixed order."""
    return [session for path in sorted(DATA.glob("*.jsonl.gz")) for session in _read(path)]


def sample(sessions: Sequence[Session], most: int) -> list[Session]:
    """So many sessions of each source, drawn by a hash of their ids: always the same ones."""
    drawn: list[Session] = []
    for source in dict.fromkeys(session.source for session in sessions):
        own = [session for session in sessions if session.source == source]
        drawn += sorted(own, key=lambda session: share_of(session.id))[:most]
    return drawn


def share_of(text: str) -> float:
    """A number in [0, 1) that follows from the text, and from nothing else."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) / 2**64


def _read(path: Path) -> Iterator[Session]:
    with gzip.open(path) as lines:
        for line in lines:
            record = orjson.loads(line)
            yield Session(record["id"], record["source"], tuple(_script(record["turns"])))


def _script(turns: list[Any]) -> Iterator[Prompt | Turn]:
    index = number = 0
    if turns[0][0] == "a":
        yield Prompt("user", 1)  # a session whose beginning was not recorded
    for kind, tokens, *rest in turns:
        if kind != "a":
            yield Prompt(_ROLES[kind], tokens)
            continue
        calls = [_call(call, number + place, index) for place, call in enumerate(rest[0])]
        yield Turn(index, tokens, tuple(calls))
        index, number = index + 1, number + len(calls)


def _call(record: dict[str, Any], number: int, group: int) -> Call:
    return Call(
        number=number,
        group=group,
        kind=record["k"],
        path=record["p"],
        argument_tokens=record["t"],
        result_tokens=record["out"],
        failed=record["err"],
        known=record["known"],
    )


def _pieces(turn: Turn) -> list[Turn]:
    if len(turn.calls) < 2:
        return [turn]
    first, *rest = turn.calls
    return [replace(turn, calls=(first,)), *(Turn(0, 0, (call,)) for call in rest)]
