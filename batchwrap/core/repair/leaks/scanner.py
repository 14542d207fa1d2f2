"""Watching text for leaked calls while it streams.

What may be the beginning of a mark is held back, some 30 characters at most; once a mark is
there, the text is held for as long as it can still become a call that ends the answer.
Everything else goes out at once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from batchwrap.core.repair.arguments import repair_arguments
from batchwrap.core.repair.leaks.dialect import Dialect, Leak, past_space

# What servers leave behind the last call.
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
_INDENTED = ("    ", "\t")  # markdown shows such lines as they are
_FENCE = ("```", "~~~")
_VALUE = re.compile(r"parameter[ =]|arg_value>|minimax\[>\[<(?!tool_call|invoke)")  # begins here
_SURE = 200  # so much of a block is more than a head, which need not be looked at again


@dataclass(frozen=True, slots=True)
class Found:
    """Calls at the end of a text.

    Attributes:
        before: how many characters of the held text stand before them.
        blocks: the markup, block by block.
        calls: what it means.
    """

    before: int
    blocks: tuple[str, ...]
    calls: tuple[Leak, ...]


class LeakScanner:
    """Watches one text of one answer.

    Args:
        dialects: the markup to look for.
        residue: marks that may be left over at the end, beside proper calls.
    """

    def __init__(self, dialects: Sequence[Dialect], residue: Sequence[str] = ()) -> None:
        self.held = ""
        self._dialects = dialects
        self._residue = residue
        self._starts = _Starts(
            [marker for dialect in dialects for marker in dialect.markers] + [*residue]
        )
        self._said = False
        self._paragraph = ""
        self._fence = ""
        self._start: int | None = None
        self._looked = 0

    def passes(self, text: str) -> bool:
        """Whether nothing is held, and nothing can begin in a text, which then goes out."""
        if self.held or self._starts.may_begin(text):
            return False
        self._pass_on(text)
        return True

    def feed(self, text: str) -> bool:
        """Add text; returns whether all that is held can go out."""
        if self.passes(text):
            return True
        self.held += text
        if self._is_open(text):
            return False
        self.release()
        return True

    def release(self) -> None:
        """Take note that what is held goes out."""
        self._pass_on(self.held)
        self.held, self._start, self._looked = "", None, 0

    def finish(self) -> Found | None:
        """The calls that end the text, if it ends with nothing else."""
        if self._start is None:
            return None
        block = self.held[self._start :]
        for dialect in self._speakers(self._start):
            calls, ends = _calls(dialect, block)
            if calls and not _without_ends(block[ends[-1] :]):
                blocks = tuple(block[a:b] for a, b in pairwise([0, *ends]))
                return Found(self._start, blocks, tuple(calls))
        return None

    def residue(self) -> int | None:
        """How many held characters stand before marks that are all that is left over."""
        if self._start is None:
            return None
        left = self.held[self._start :]
        for mark in sorted(self._residue, key=len, reverse=True):
            left = left.replace(mark, "")
        return None if left.strip() else self._start

    @property
    def block(self) -> str:
        """The held text from the first mark on; empty if there is none."""
        return "" if self._start is None else self.held[self._start :]

    @property
    def is_cut(self) -> bool:
        """Whether a block has begun that is no whole call."""
        return self._start is not None and self.finish() is None and self.residue() is None

    @property
    def breaks_off(self) -> bool:
        """Whether a block is cut in the middle of a call, and not text that only looks like it."""
        if self._start is None or not self._begins_line(self._start):
            return False
        return any(_breaks_off(one, self.block) for one in self._speakers(self._start))

    def _begins_line(self, place: int) -> bool:
        """Whether nothing stands in front of a place on its line, as before a model's calls."""
        return not (self._paragraph + self.held[:place]).rpartition("\n")[2].strip()

    def _is_open(self, new: str) -> bool:
        """Whether what is held may still end as calls."""
        if self._start is not None and self._may_go_on(new):
            return True
        while (place := self._starts.find(self.held, self._looked)) is not None:
            self._start, self._looked = place, place + 1
            if not self._is_quoted(place) and self._may_go_on(""):
                return True
        self._start = None
        tail = self._starts.tail(self.held, self._looked)
        if tail is None or self._is_quoted(tail):
            return False
        self._looked = tail
        return True

    def _may_go_on(self, new: str) -> bool:
        assert self._start is not None
        block = self.held[self._start :]
        if new and len(block) - len(new) > _SURE and not _has_end(self._dialects, block, new):
            return True
        for dialect in self._speakers(self._start):
            calls, ends = _calls(dialect, block)
            rest = _without_ends(block[ends[-1] :] if ends else block)
            if (calls and not rest) or dialect.head.fullmatch(rest if calls else block):
                return True
            if calls and any(mark.startswith(rest) for mark in (*_ENDS, *dialect.closers)):
                return True
        return self._may_be_residue(block)

    def _may_be_residue(self, block: str) -> bool:
        at = 0
        while at < len(block):
            mark = next((mark for mark in self._residue if block.startswith(mark, at)), None)
            if mark is None:
                rest = block[at:]
                return any(mark.startswith(rest) for mark in self._residue)
            at = past_space(block, at + len(mark))
        return True

    def _speakers(self, start: int) -> list[Dialect]:
        """The dialects in which a block can begin at this place."""
        fresh = not self._said and not self.held[:start].strip()
        return [
            dialect
            for dialect in self._dialects
            if self.held.startswith(dialect.markers, start) and (fresh or not dialect.whole)
        ]

    def _is_quoted(self, place: int) -> bool:
        """Whether a place stands in a code fence, in a quotation or between backticks."""
        paragraph, fence = _context(self._paragraph, self._fence, self.held[:place])
        return bool(fence) or _is_quotation(paragraph)

    def _pass_on(self, text: str) -> None:
        self._said = self._said or bool(text.strip())
        if "\n" in text:
            self._paragraph, self._fence = _context(self._paragraph, self._fence, text)
        else:
            self._paragraph += text


def _context(paragraph: str, fence: str, text: str) -> tuple[str, str]:
    """The paragraph that a text leaves off in, and the fence that is open there."""
    *done, line = (paragraph + text).split("\n")
    kept: list[str] = []
    for whole in done:
        mark = whole.lstrip()[:3]
        if mark in _FENCE and (not fence or mark == fence):
            fence = "" if fence else mark
            kept = []
        else:
            kept = [*kept, whole] if whole.strip() else []
    return "\n".join([*kept, line]), fence


def _is_quotation(paragraph: str) -> bool:
    """Whether what follows in a paragraph is quoted: markdown goes on until a blank line."""
    lines = paragraph.split("\n")
    quoted = any(line.lstrip().startswith(">") for line in lines)
    indented = lines[-1].isspace() and lines[-1].startswith(_INDENTED)
    return quoted or indented or paragraph.count("`") % 2 == 1


def _calls(dialect: Dialect, text: str) -> tuple[list[Leak], list[int]]:
    """All whole calls at the beginning of a text, and where each block of them ends."""
    calls: list[Leak] = []
    ends: list[int] = []
    at = 0
    while (found := dialect.read(text, past_space(text, at))) is not None and found[0]:
        calls += found[0]
        at = found[1]
        ends.append(at)
        if dialect.whole:
            break
    return calls, ends


def _without_ends(text: str) -> str:
    """The text without white space and end marks before anything else."""
    text = text.lstrip()
    while (mark := next((end for end in _ENDS if text.startswith(end)), None)) is not None:
        text = text[len(mark) :].lstrip()
    return text


def _breaks_off(dialect: Dialect, block: str) -> bool:
    """Whether a block has an open value at its end, as its structure shows."""
    if dialect.whole or dialect.head.fullmatch(block) is None:
        return False
    if dialect.holds_json:
        _, brace, rest = block.partition("{")
        arguments = repair_arguments(brace + rest, None, dangerous=True)
        return bool(brace) and arguments.refused == "truncated"
    closed = any(mark in block for mark in dialect.closers)
    return not closed and _VALUE.search(block) is not None


def _has_end(dialects: Sequence[Dialect], block: str, new: str) -> bool:
    longest = max((len(end) for dialect in dialects for end in dialect.closers), default=1)
    tail = block[-(len(new) + longest) :]
    return any(end in tail for dialect in dialects for end in dialect.closers)


class _Starts:
    """Finds where any of these marks begins."""

    def __init__(self, markers: Sequence[str]) -> None:
        self._markers = tuple(dict.fromkeys(markers))
        self._longest = max(map(len, self._markers), default=0)
        ordered = sorted(map(re.escape, self._markers), key=len, reverse=True)
        self._any = re.compile("|".join(ordered)) if ordered else None
        first = "".join(sorted({marker[0] for marker in self._markers}))
        self._first = re.compile(f"[{re.escape(first)}]") if first else None

    def may_begin(self, text: str) -> bool:
        """Whether one may begin in a text, for a quick look."""
        return self._first is not None and self._first.search(text) is not None

    def find(self, text: str, at: int) -> int | None:
        """Where the first whole one begins, from a place on."""
        found = self._any.search(text, at) if self._any else None
        return found.start() if found else None

    def tail(self, text: str, at: int) -> int | None:
        """Where one begins that the end of the text cuts off."""
        for place in range(max(at, len(text) - self._longest + 1), len(text)):
            rest = text[place:]
            if any(marker.startswith(rest) for marker in self._markers):
                return place
        return None
