"""The recorded sessions that are replayed: loaded, and drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from batchwrap.analyze.files import LogFile
from batchwrap.analyze.log_formats import skeleton
from batchwrap.analyze.recorded_session import Prompt, RecordedCall, RecordedTurn, Session

__all__ = [
    "CODING_CLIS",
    "DATA",
    "Prompt",
    "RecordedCall",
    "RecordedTurn",
    "Session",
    "load",
    "one_call_a_turn",
    "sample",
    "share_of",
]

DATA = Path(__file__).parent / "data"
CODING_CLIS = ("entire-claude-code", "entire-gemini-cli", "nimbus-opencode")


def load() -> list[Session]:
    """All sessions, in a fixed order."""
    return [
        session
        for path in sorted(DATA.glob("*.jsonl.gz"))
        for record in LogFile(path).records()
        for session in skeleton.sessions(record)
    ]


def sample(sessions: Sequence[Session], most: int) -> list[Session]:
    """So many sessions of each source, drawn by a hash of their ids: always the same ones."""
    drawn: list[Session] = []
    for source in dict.fromkeys(session.source for session in sessions):
        own = [session for session in sessions if session.source == source]
        drawn += sorted(own, key=lambda session: share_of(session.id))[:most]
    return drawn


def one_call_a_turn(session: Session) -> Session:
    """The same session where a turn has one call at most, as in an agent that takes one."""
    script: list[Prompt | RecordedTurn] = []
    index = 0
    for part in session.script:
        pieces = _pieces(part) if isinstance(part, RecordedTurn) else [part]
        for piece in pieces:
            if isinstance(piece, RecordedTurn):
                piece, index = replace(piece, index=index), index + 1
            script.append(piece)
    return replace(session, script=tuple(script))


def share_of(text: str) -> float:
    """A number in [0, 1) that follows from the text, and from nothing else."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) / 2**64


def _pieces(turn: RecordedTurn) -> list[RecordedTurn]:
    if len(turn.calls) < 2:
        return [turn]
    first, *rest = turn.calls
    return [replace(turn, calls=(first,)), *(RecordedTurn(0, 0, (call,)) for call in rest)]
