"""Measures how many of the added reads were wanted, by the turns that followed them.

A read is wanted if the model names its file within the next turns, since it then works with what it
was shown. The next part of a file that the model is reading is wanted if the model continues to
read there, or edits the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry
from batchwrap.core.moves import ids
from batchwrap.core.moves.read_ahead.past import arguments_in, is_added, may_be_same
from batchwrap.core.moves.read_ahead.paths import FilePath, parse
from batchwrap.core.moves.read_ahead.ranges import is_part, window_of
from batchwrap.core.tools.find import path_in, role_of

# With fewer judged reads the rate is too uncertain to be used.
_ENOUGH = 4
# A read counts as unwanted if the model does not use it within this many of its turns.
_PATIENCE = 3
# Names that occur in many folders: they identify a file only together with the folder.
_COMMON = frozenset({"__init__", "index", "main", "mod", "lib", "readme", "makefile", "package"})
_CHANGES = frozenset({"old", "new", "content", "edits", "patch"})


@dataclass(frozen=True, slots=True)
class _Added:
    """An added read.

    Attributes:
        turn: the number of its turn.
        path: its file.
        start: its first line, if it is the next part of a file; otherwise None.
    """

    turn: int
    path: FilePath
    start: int | None

    def is_wanted(self, entry: Entry, calls: Sequence[Call]) -> bool:
        """Whether a later entry of the model, or one of its calls, uses the read."""
        if self.start is not None:
            return any(self._continues(arguments_in(call)) for call in calls)
        name = self.path.name
        is_common = name.casefold().partition(".")[0] in _COMMON
        needle = "/".join(self.path.parts[-2:]) if is_common else name
        said = (*entry.texts(), *(call.arguments for call in calls))
        return any(_names(text, needle) for text in said)

    def _continues(self, given: dict[str, Any]) -> bool:
        """Whether a call with these arguments edits the file, or reads on from this part."""
        path = path_in(given)
        if path is None or not may_be_same(parse(path), self.path):
            return False
        changes = any(role_of(name) in _CHANGES for name in given)
        return changes or (is_part(given) and window_of(given).start >= (self.start or 0))


def hit_rate(entries: Sequence[Entry]) -> float | None:
    """The share of added reads that were wanted, from 0 to 1.

    Args:
        entries: the agent view of a conversation.

    Returns:
        None while fewer than 4 reads are judged. A read is judged when the model uses it, and at
        the latest three turns after it.
    """
    waiting: list[_Added] = []
    wanted = unwanted = turn = 0
    seen: set[str] = set()
    for entry in entries:
        if entry.role != "model":
            continue
        calls = entry.calls
        if not _is_wave(calls, seen):
            turn += 1
            # Added reads do not count as uses: only what the model itself does shows its interest.
            own = [call for call in calls if not is_added(call)] if waiting else []
            hits = [added for added in waiting if added.is_wanted(entry, own)]
            left = [added for added in waiting if added not in hits]
            waiting = [added for added in left if turn - added.turn < _PATIENCE]
            wanted, unwanted = wanted + len(hits), unwanted + len(left) - len(waiting)
        waiting += [made for call in calls if (made := _added(call, turn))]
    judged = wanted + unwanted
    return wanted / judged if judged >= _ENOUGH else None


def _is_wave(calls: Sequence[Call], seen: set[str]) -> bool:
    """Whether these calls are a later wave of a turn, or reads that were added to it."""
    derived = [ids.decode(call.call_id) for call in calls]
    nonces = {one.turn for one in derived if one is not None}
    is_rest = nonces <= seen or all(map(is_added, calls))
    seen |= nonces
    return bool(calls) and None not in derived and is_rest


def _added(call: Call, turn: int) -> _Added | None:
    """The added read in a call; None if read-ahead did not make the call."""
    if not is_added(call):
        return None
    given = arguments_in(call)
    # A tool that the user has declared may have any name for its path parameter.
    named = path_in(given) or next((v for v in given.values() if isinstance(v, str)), "")
    path = parse(named)
    # An added read has a range only if it is the next part of a file.
    start = window_of(given).start if is_part(given) else None
    return _Added(turn, path, start) if path else None


def _names(text: str, needle: str) -> bool:
    """Whether a text contains a name, and not only as a part of a longer one."""
    at = text.find(needle)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(needle) :][:1]
        if not (before.isalnum() or before in ("_", "-", ".")) and not after.isalnum():
            return True
        at = text.find(needle, at + 1)
    return False
