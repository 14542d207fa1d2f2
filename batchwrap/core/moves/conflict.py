"""Decides which calls may go out together, and puts the calls of a turn into waves.

Agents run the calls of one answer concurrently, so two edits of one file would race. Two calls
conflict if they touch the same path and one of them writes. Paths that may be the same file count
as the same, and a search conflicts with every write, since it may cover any path.

    edit a.py, edit a.py, edit b.py   ->   wave 0: edit a.py, edit b.py · wave 1: edit a.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from batchwrap.core.moves.touched import CHANGES, Touched
from batchwrap.core.parse import parsed
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.tidied import defaults_of


@dataclass(frozen=True, slots=True)
class Effect:
    """What a call may read or change.

    Attributes:
        kind: the kind of its tool; ``"barrier"`` for an unknown tool.
        path: the parts of the path that it touches, in lower case; None for any path.
        defaults: the defaults of its tool's parameters, which say the same as leaving them out.
    """

    kind: str
    path: tuple[str, ...] | None
    defaults: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.kind not in ("read", "read_only", "bookkeeping")


def effect_of(tool: SingleTool | None, arguments: str) -> Effect:
    """The effect of a call. A call of an unknown tool is a barrier."""
    if tool is None:
        return Effect("barrier", None)
    path = None
    if tool.path is not None and tool.kind != "read_only":
        given = _read(arguments)
        value = given.get(tool.path) if isinstance(given, dict) else None
        path = parts_of(value) if isinstance(value, str) else None
    return Effect(tool.kind, path, defaults_of(tool.parameters))


def _read(arguments: str) -> object:
    try:
        return parsed(arguments)
    except ValueError:  # the call may then touch any path
        return None


def conflict(one: Effect, other: Effect) -> bool:
    """Whether two calls must keep their order."""
    kinds = {one.kind, other.kind}
    if "bookkeeping" in kinds:  # a to-do list may go out with anything but an unknown tool
        return kinds != {"bookkeeping"} and not kinds.isdisjoint({"barrier"})
    if not kinds.isdisjoint({"sequential", "barrier"}):
        return True
    if kinds.isdisjoint(CHANGES):
        return False
    return one.path is None or other.path is None or _may_be_same(one.path, other.path)


class Waves:
    """Puts the calls of one turn into waves: a call goes after all that it conflicts with.

    Args:
        most: the largest number of calls in a wave.
        one_by_one: every call waits for the call before it.
        changes_one_by_one: every call that changes something waits for the previous such call.
        at_once: no call waits, so there is only one wave.
        own_wait: whether the model's own single calls wait as well if they conflict.
    """

    def __init__(
        self,
        most: int,
        *,
        one_by_one: bool = False,
        changes_one_by_one: bool = False,
        at_once: bool = False,
        own_wait: bool = True,
    ) -> None:
        self._most = most
        self._at_once = at_once
        self._one_by_one = one_by_one
        self._changes_one_by_one = changes_one_by_one
        self._own_wait = own_wait
        self._touched = Touched()
        # Effects of the calls that went out while their arguments were still being written.
        self._open: dict[int, Effect] = {}
        self._open_kinds: Counter[str] = Counter()
        self._passed_on = 0
        self._sizes: Counter[int] = Counter()
        self._free = 0  # all earlier waves are full
        self._least = 0  # calls after a script wait for its end
        self.waiting = False

    def may_wait(self, effect: Effect) -> bool:
        """Whether a single call of the model may have to wait, judged by what is known of it."""
        if self._at_once:
            return bool(self._least)
        return (
            self.waiting
            or bool(self._least)
            or (self._own_wait and bool(self._earliest(effect, own=True)))
        )

    def wait_no_more(self) -> bool:
        """Put all that comes into one wave; False for an agent that takes one call at a time."""
        self._at_once = not self._one_by_one
        return self._at_once

    def pass_on(self, effect: Effect) -> int:
        """Record a call that goes out in the first wave while it is being written.

        Returns:
            A number for `settle`.
        """
        number, self._passed_on = self._passed_on, self._passed_on + 1
        self._open[number] = effect
        self._open_kinds[effect.kind] += 1
        self._sizes[0] += 1
        return number

    def settle(self, number: int, effect: Effect) -> None:
        """Record the effect of a call that was passed on, once its arguments are complete."""
        before = self._open.pop(number)
        self._open_kinds[before.kind] -= 1
        self._touched.add(effect.kind, effect.path, 0)

    def place(self, effect: Effect) -> int:
        """The wave, counted from 0, of the next item of a multi-call."""
        if self._at_once:
            return self._least
        while self._sizes[self._free] >= self._most:
            self._free += 1
        wave = max(self._earliest(effect, own=False), self._free, self._least)
        while self._sizes[wave] >= self._most:
            wave += 1
        return self._take(effect, wave)

    def place_own(self, effect: Effect) -> int:
        """The wave, counted from 0, of the next single call of the model.

        The size of a wave does not limit these: without batchwrap all of them would go out at once.
        """
        wave = 0 if self._at_once else self._earliest(effect, own=True)
        return self._take(effect, max(wave, self._least))

    def hold_back(self, waves: int) -> Waves:
        """Let all calls to come wait behind a script, and put them into waves from there on.

        Args:
            waves: how many waves stand before them at most.

        Returns:
            The same as it stood before, for the calls of the script.
        """
        before = deepcopy(self)
        self._least += waves
        return before

    def _take(self, effect: Effect, wave: int) -> int:
        """Record a call in a wave; returns the wave."""
        self._touched.add(effect.kind, effect.path, wave)
        self._sizes[wave] += 1
        self.waiting = self.waiting or wave > 0
        return wave

    def _earliest(self, effect: Effect, *, own: bool) -> int:
        """The first wave after all calls that a call must wait for."""
        return max((wave + 1 for wave in self._before(effect, own=own)), default=0)

    def _before(self, effect: Effect, *, own: bool) -> Iterator[int]:
        """For each kind of call that a call must wait for, the last wave with such a call."""
        lets_pass = own and not self._one_by_one
        for kind, last in (*self._conflicting(effect), *self._in_line(effect)):
            if not (lets_pass and last == 0 and _is_unknown(effect.kind, kind)):
                yield last

    def _conflicting(self, effect: Effect) -> Iterator[tuple[str, int]]:
        """(kind, last wave) of the calls that a call conflicts with."""
        yield from self._touched.against(effect.kind, effect.path)
        unknown = Touched()  # calls whose paths are not known yet
        for kind in +self._open_kinds:
            unknown.add(kind, None, 0)
        yield from unknown.against(effect.kind, effect.path)

    def _in_line(self, effect: Effect) -> Iterator[tuple[str, int]]:
        """(kind, last wave) of the calls that a call waits for without a conflict.

        An agent may take its calls, or its changes, one by one.
        """
        if not (self._one_by_one or (self._changes_one_by_one and effect.changes)):
            return
        for kind, last in (*self._touched.kinds.items(), *((k, 0) for k in +self._open_kinds)):
            if self._one_by_one or Effect(kind, None).changes:
                yield kind, last


def _is_unknown(one: str, other: str) -> bool:
    """Whether two kinds of calls conflict only because a tool is unknown.

    If a model calls unknown tools together in one answer (subagents, for example), an agent without
    batchwrap would run them together. batchwrap does so, too, unless one of them changes a file.
    """
    kinds = {one, other}
    return "barrier" in kinds and kinds.isdisjoint({*CHANGES, "sequential"})


def parts_of(path: str) -> tuple[str, ...]:
    """The parts of a path in the form in which paths are compared."""
    parts = path.replace("\\", "/").casefold().split("/")
    return tuple(part for part in parts if part not in ("", "."))


def _may_be_same(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two paths may be the same file.

    One may be relative to another folder, so it is enough if one ends with the other. A path with
    ``..`` may lead anywhere.
    """
    shorter = min(len(one), len(other))
    return ".." in (*one, *other) or one[len(one) - shorter :] == other[len(other) - shorter :]
