"""Which calls may go out together. Two calls conflict if they touch one path and one writes.

Agents run parallel calls concurrently: two edits of one file would race. So whatever may be
the same file counts as the same, and a search conflicts with every write.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import orjson

from batchwrap.core.views.find import SingleTool

_CHANGES = ("edit", "write")


@dataclass(frozen=True, slots=True)
class Effect:
    """What a call touches.

    Attributes:
        kind: the kind of its tool; ``"barrier"`` for one that nobody knows.
        path: the parts of the path that it touches, folded to lower case; None for any path.
    """

    kind: str
    path: tuple[str, ...] | None

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.kind not in ("read", "read_only", "bookkeeping")


def effect_of(tool: SingleTool | None, arguments: str) -> Effect:
    """The effect of a call; of an unknown tool, a barrier."""
    if tool is None:
        return Effect("barrier", None)
    path = None
    if tool.path is not None and tool.kind != "read_only":
        given = orjson.loads(arguments)
        value = given.get(tool.path) if isinstance(given, dict) else None
        path = parts_of(value) if isinstance(value, str) else None
    return Effect(tool.kind, path)


def conflict(one: Effect, other: Effect) -> bool:
    """Whether two calls must keep their order."""
    kinds = {one.kind, other.kind}
    if "bookkeeping" in kinds:
        return kinds != {"bookkeeping"} and not kinds.isdisjoint({"barrier"})
    if not kinds.isdisjoint({"sequential", "barrier"}):
        return True
    if kinds.isdisjoint(_CHANGES):
        return False
    return one.path is None or other.path is None or _may_be_same(one.path, other.path)


class Waves:
    """Puts the calls of one turn into waves: what conflicts goes into a later one.

    Args:
        most: most calls in one wave.
        one_by_one: every call waits for the one before it.
        changes_one_by_one: every call that changes something waits for the one before it.
        at_once: nothing waits at all; there is one wave.
    """

    def __init__(
        self,
        most: int,
        *,
        one_by_one: bool = False,
        changes_one_by_one: bool = False,
        at_once: bool = False,
    ) -> None:
        self._most = most
        self._at_once = at_once
        self._one_by_one = one_by_one
        self._changes_one_by_one = changes_one_by_one
        self._placed: list[tuple[Effect, int]] = []
        self._sizes: Counter[int] = Counter()

    @property
    def waiting(self) -> bool:
        """Whether any call is in a later wave than the first."""
        return any(self._sizes[wave] for wave in self._sizes if wave)

    def pass_on(self, effect: Effect) -> None:
        """Take note of a call that goes out with the first wave, whatever it conflicts with."""
        self._placed.append((effect, 0))
        self._sizes[0] += 1

    def place(self, effect: Effect) -> int:
        """The wave, from 0, of the next call of the turn."""
        if self._at_once:
            return 0
        earliest = [wave + 1 for placed, wave in self._placed if self._waits(effect, placed)]
        wave = max(earliest, default=0)
        while self._sizes[wave] >= self._most:
            wave += 1
        self._placed.append((effect, wave))
        self._sizes[wave] += 1
        return wave

    def _waits(self, effect: Effect, placed: Effect) -> bool:
        both_change = effect.changes and placed.changes
        return (
            self._one_by_one
            or (self._changes_one_by_one and both_change)
            or conflict(placed, effect)
        )


def parts_of(path: str) -> tuple[str, ...]:
    """The parts of a path by which paths are compared."""
    parts = path.replace("\\", "/").casefold().split("/")
    return tuple(part for part in parts if part not in ("", "."))


def _may_be_same(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one path may be the other, seen from another folder; ``..`` may lead anywhere."""
    shorter = min(len(one), len(other))
    return ".." in (*one, *other) or one[len(one) - shorter :] == other[len(other) - shorter :]
