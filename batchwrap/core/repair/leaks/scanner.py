"""Scans streamed text for leaked calls.

A possible beginning of a mark is held back, about 30 characters at most. After a mark, text is held
for as long as it can still become a call that ends the answer. Everything else goes out at once:
clients have hung where servers buffered answers by the model's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from batchwrap.core.growing import Growing
from batchwrap.core.repair.arguments import repair_arguments
from batchwrap.core.repair.leaks.dialect import Leak, MarkupDialect, skip_space
from batchwrap.core.repair.leaks.passage import Passage

# Special tokens that servers leave after the last call.
_ENDS = (
    "<|im_end|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<｜end▁of▁sentence｜>",
    "<｜｜end▁of▁sentence｜｜>",
    "</s>",
    "</think>",
)
_VALUE = re.compile(r"parameter[ =]|arg_value>|minimax\[>\[<(?!tool_call|invoke)")  # a value begins
_SURE = 200  # characters of a block; the head is shorter, so it is not checked again after them
# An incomplete call is read again only when it has grown by this factor: each byte is then read a
# bounded number of times (`benchmarks/growth.py`).
_AGAIN = 1.25
_LONGEST_RESIDUE = 500
# No call is longer. Without a limit, an answer that begins like a call would be held to its end.
MOST_HELD = 1_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """Calls at the end of a text.

    Attributes:
        before: how many characters of the held text stand before the calls.
        blocks: the markup, block by block.
        calls: the calls that the markup represents.
    """

    before: int
    blocks: tuple[str, ...]
    calls: tuple[Leak, ...]


class LeakScanner:
    """Scans one text of an answer. What is held is stored once and read a bounded number of times.

    Attributes:
        size: how many characters are held.

    Args:
        dialects: the markup to search for.
        residue: marks that servers may leave at the end, beside structured calls.
    """

    def __init__(self, dialects: Sequence[MarkupDialect], residue: Sequence[str] = ()) -> None:
        self._dialects = dialects
        self._residue = residue
        markers = [marker for dialect in dialects for marker in dialect.markers]
        self._starts = _starts_of((*markers, *residue))
        self._said = False
        self._passage = Passage()
        self.size = 0
        self._held = Growing()
        self._before = 0  # held characters before the block, which cannot belong to a call
        self._quoted_to = 0  # how much of `_held` was added to the passage
        self._is_block = False  # whether the held text begins with a block
        self._looked = 0
        self._readings: list[_Reading] = []

    def passes(self, text: str) -> bool:
        """Whether nothing is held and no mark can begin in a text; the text then goes out."""
        if self.size or self._starts.may_begin(text):
            return False
        self._pass_on(text)
        return True

    def feed(self, text: str) -> bool:
        """Add text; returns whether everything that is held can go out."""
        if self.passes(text):
            return True
        self._held.add(text)
        self.size += len(text)
        if self.size <= MOST_HELD and self._is_open(text):
            return False
        self.release()
        return True

    def release(self) -> None:
        """Record that the held text goes out."""
        text = self._held.text
        self._said = self._said or bool(text.strip())
        self._passage.take(text[self._quoted_to :])
        self._held, self.size, self._before, self._quoted_to = Growing(), 0, 0, 0
        self._is_block, self._looked, self._readings = False, 0, []

    def finish(self) -> Found | None:
        """The calls at the end of the text, if nothing else follows them."""
        if not self._is_block:
            return None
        block = self.block
        for reading in self._readings:
            calls, ends = _calls(reading.dialect, block)
            if calls and not _without_ends(block[ends[-1] :]):
                blocks = tuple(block[a:b] for a, b in pairwise([0, *ends]))
                return Found(self._before, blocks, tuple(calls))
        return None

    def residue(self) -> int | None:
        """How many held characters stand before marks that are residue; None if there is more."""
        if not self._is_block:
            return None
        left = self.block
        for mark in sorted(self._residue, key=len, reverse=True):
            left = left.replace(mark, "")
        return None if left.strip() else self._before

    @property
    def block(self) -> str:
        """The held text from the first mark on; empty if there is no mark."""
        return self._held.text if self._is_block else ""

    @property
    def is_cut(self) -> bool:
        """Whether a block has begun that is not a complete call."""
        return self._is_block and self.finish() is None and self.residue() is None

    @property
    def breaks_off(self) -> bool:
        """Whether a block ends in the middle of a call, and is not text that resembles one."""
        if not self._is_block or not self._passage.begins_line:
            return False
        return any(_breaks_off(reading.dialect, self.block) for reading in self._readings)

    def _is_open(self, new: str) -> bool:
        """Whether the held text may still end as calls."""
        if self._is_block:
            if self._continues(new):
                return True
            self._give_up()
        while (place := self._starts.find(self._held.text, self._looked)) is not None:
            self._looked = place + 1
            if not self._may_begin(place) or self._is_quoted(place):
                continue
            self._begin(place)
            if self._continues(""):
                return True
            self._give_up()
        tail = self._starts.tail(self._held.text, self._looked)
        if tail is None or self._is_quoted(tail):
            return False
        self._looked = tail
        return True

    def _may_begin(self, place: int) -> bool:
        """Whether a block may begin at a position."""
        text = self._held.text
        if any(text.startswith(mark, place) for mark in self._residue):
            return True
        return any(
            dialect.head.fullmatch(text, place) or dialect.read(text, place)
            for dialect in self._dialects
            if text.startswith(dialect.markers, place)
        )

    def _begin(self, place: int) -> None:
        """Begin a block here. The text before it is only counted from now on."""
        self._said = self._said or skip_space(self._held.text, 0) < place
        block = self._held.text[place:]
        self._held, self._before, self._quoted_to = Growing(block), self._before + place, 0
        self._is_block = True
        self._readings = [
            _Reading(dialect, block)
            for dialect in self._dialects
            if block.startswith(dialect.markers) and not (self._said and dialect.whole)
        ]

    def _give_up(self) -> None:
        """The block does not end the text. No other block begins inside a call that was read."""
        self._looked = max([1, *(reading.end for reading in self._readings)])
        self._is_block, self._readings = False, []

    def _continues(self, new: str) -> bool:
        """Whether a block may still become calls, or is residue."""
        # Every reading needs the new text, so this is a list and not a generator for `any`.
        going = [reading.continues(new) for reading in self._readings]
        return any(going) or self._may_be_residue()

    def _may_be_residue(self) -> bool:
        if len(self._held) > _LONGEST_RESIDUE:
            return False
        block, at = self.block, 0
        while at < len(block):
            mark = next((mark for mark in self._residue if block.startswith(mark, at)), None)
            if mark is None:
                rest = block[at:]
                return any(mark.startswith(rest) for mark in self._residue)
            at = skip_space(block, at + len(mark))
        return True

    def _is_quoted(self, place: int) -> bool:
        """Whether a position is in a code fence, in a quotation or between backticks."""
        self._passage.take(self._held.text[self._quoted_to : place])
        self._quoted_to = place
        return self._passage.is_quoted

    def _pass_on(self, text: str) -> None:
        self._said = self._said or bool(text.strip())
        self._passage.take(text)


class _Reading:
    """One dialect's reading of a growing block. Each complete call is read once.

    Attributes:
        dialect: the dialect.
        end: where the last complete call of the block ends.

    Args:
        dialect: the dialect.
        block: the part of the block that has arrived.
    """

    def __init__(self, dialect: MarkupDialect, block: str) -> None:
        self.dialect = dialect
        self.end = 0
        self._rest = Growing(block)  # what follows the complete calls
        self._length = len(block)
        self._tail = ""
        self._longest = max(map(len, dialect.closers), default=1)
        self._has_end = True
        self._again_at = 0

    def __len__(self) -> int:
        return self._length

    def continues(self, new: str) -> bool:
        """Whether the block, with the new text, may still become calls that end the text."""
        self._rest.add(new)
        self._length += len(new)
        tail = self._tail + new
        self._has_end = self._has_end or any(end in tail for end in self.dialect.closers)
        self._tail = tail[-self._longest :]
        size = len(self._rest)
        if size - len(new) > _SURE and not (self._has_end and size >= self._again_at):
            return True
        return self._read()

    def _read(self) -> bool:
        rest, dialect = self._rest.text, self.dialect
        if self.end:  # the closing mark of a block may arrive after the call
            rest = _without_ends(rest, dialect.closers)
        _, ends = _calls(dialect, rest)
        if ends:
            self.end = len(self) - len(rest) + ends[-1]
            rest = _without_ends(rest[ends[-1] :], dialect.closers)
        if self.end:
            self._rest = Growing(rest)
        self._has_end, self._again_at = False, int(_AGAIN * len(rest))
        if (self.end and not rest) or dialect.head.fullmatch(rest):
            return True
        return bool(self.end) and any(mark.startswith(rest) for mark in (*_ENDS, *dialect.closers))


def _calls(dialect: MarkupDialect, text: str) -> tuple[list[Leak], list[int]]:
    """All complete calls at the beginning of a text, and where the block of each ends."""
    calls: list[Leak] = []
    ends: list[int] = []
    at = 0
    while (found := dialect.read(text, skip_space(text, at))) is not None and found[0]:
        calls += found[0]
        at = found[1]
        ends.append(at)
        if dialect.whole:
            break
    return calls, ends


def _without_ends(text: str, closers: Sequence[str] = ()) -> str:
    """The text without the white space and end marks that it begins with."""
    marks, at = (*_ENDS, *closers), skip_space(text, 0)
    while (mark := next((end for end in marks if text.startswith(end, at)), None)) is not None:
        at = skip_space(text, at + len(mark))
    return text[at:]


def _breaks_off(dialect: MarkupDialect, block: str) -> bool:
    """Whether a block ends with an incomplete value, judged by its structure."""
    if dialect.whole or dialect.head.fullmatch(block) is None:
        return False
    if dialect.holds_json:
        _, brace, rest = block.partition("{")
        arguments = repair_arguments(brace + rest, None, dangerous=True)
        return bool(brace) and arguments.refused == "truncated"
    closed = any(mark in block for mark in dialect.closers)
    return not closed and _VALUE.search(block) is not None


@lru_cache(maxsize=64)  # the marks of a family are the same in each answer
def _starts_of(markers: tuple[str, ...]) -> _Starts:
    return _Starts(markers)


class _Starts:
    """Finds the positions where one of these marks begins."""

    def __init__(self, markers: Sequence[str]) -> None:
        self._markers = tuple(dict.fromkeys(markers))
        self._longest = max(map(len, self._markers), default=0)
        ordered = sorted(map(re.escape, self._markers), key=len, reverse=True)
        self._any = re.compile("|".join(ordered)) if ordered else None
        first = "".join(sorted({marker[0] for marker in self._markers}))
        self._first = re.compile(f"[{re.escape(first)}]") if first else None

    def may_begin(self, text: str) -> bool:
        """A quick check whether a mark may begin in a text."""
        return self._first is not None and self._first.search(text) is not None

    def find(self, text: str, at: int) -> int | None:
        """The position of the first complete mark, from a position on."""
        found = self._any.search(text, at) if self._any else None
        return found.start() if found else None

    def tail(self, text: str, at: int) -> int | None:
        """The position of a mark that the end of the text cuts off."""
        for place in range(max(at, len(text) - self._longest + 1), len(text)):
            rest = text[place:]
            if any(marker.startswith(rest) for marker in self._markers):
                return place
        return None
