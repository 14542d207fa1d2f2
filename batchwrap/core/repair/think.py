"""Moves reasoning that stands in the text of an answer into `reasoning_content`.

It is recognised only at the first character of the text. For models whose template opens the
block itself, it is everything before the closing tag. The channels of gpt-oss are split, too.
"""

from __future__ import annotations

import re
from typing import Literal, Protocol

from batchwrap.core.growing import Growing

_TAGS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))
_GLUED = re.compile(r"\s*analysis(.*)assistantfinal(.*)", re.DOTALL)
_CHANNEL = re.compile(
    r"\s*(?:<\|start\|>assistant)?<\|channel\|>analysis<\|message\|>(.*?)(?:<\|end\|>|$)", re.DOTALL
)
_FINAL = re.compile(
    r"\s*(?:<\|start\|>assistant)?<\|channel\|>final(?: <\|constrain\|>\w+)?<\|message\|>"
)
_ENDS = ("<|return|>", "<|end|>")
_CHANNEL_STARTS = ("analysis", "<|channel|>", "<|start|>assistant")
_LONGEST_START = max(map(len, (*_CHANNEL_STARTS, *(start for start, _ in _TAGS))))
# No reasoning is longer. Without a limit, a text whose end mark never comes would be held until the
# end of the answer.
MOST_HELD = 1_000_000


_State = Literal["start", "inside", "after"]


class ReasoningSplitter(Protocol):
    """Splits the text of an answer into text and reasoning while it streams."""

    @property
    def is_done(self) -> bool:
        """Whether everything from now on is text, and nothing is held."""

    def feed(self, text: str) -> tuple[str, str]:
        """(text, reasoning) to hand on for a text that arrived."""

    def finish(self) -> tuple[str, str]:
        """(text, reasoning) that were held, at the end of the answer."""


class _Beginning:
    """The text that is held until its beginning is recognised.

    Attributes:
        start: the first characters after white space, as many as the longest mark has.
        tail: the last characters.
    """

    def __init__(self) -> None:
        self.start = ""
        self.tail = ""
        self._held = Growing()

    def add(self, text: str) -> None:
        """Add a text."""
        self._held.add(text)
        self.start = (self.start + text if self.start else text.lstrip())[:_LONGEST_START]
        self.tail = (self.tail + text)[-len(text) - _LONGEST_START :]

    @property
    def is_full(self) -> bool:
        """Whether it is longer than the limit."""
        return len(self._held) > MOST_HELD

    def release(self) -> str:
        """Return all that is held, and clear it."""
        text = self._held.text
        self.start, self.tail, self._held = "", "", Growing()
        return text


class ThinkTags:
    """Splits at tags such as ``<think>``.

    Args:
        prefilled: the model's template opens the block, so only its end is in the answer. The
            text is then held until the end of the block, or of the answer.
    """

    def __init__(self, *, prefilled: bool) -> None:
        self._state: _State = "start"
        self._prefilled = prefilled
        self._beginning = _Beginning()
        self._held = ""
        self._end = ""

    @property
    def is_done(self) -> bool:
        """Whether the block is closed, or there is none."""
        return self._state == "after"

    def feed(self, text: str) -> tuple[str, str]:
        """(text, reasoning) to hand on for a text that arrived."""
        if self._state == "after":
            return text, ""
        if self._state == "inside":
            return self._inside(text)
        self._beginning.add(text)
        self._state = self._open()
        if self._state == "start":
            return "", ""
        begun = self._beginning.release()
        if self._state == "after":
            return begun, ""
        start = next((start for start, _ in _TAGS if begun.lstrip().startswith(start)), "")
        return self._inside(begun.lstrip()[len(start) :] if start else begun)

    def finish(self) -> tuple[str, str]:
        """(text, reasoning) that were held; a block that is not closed is reasoning."""
        held, self._held = self._held, ""
        return ("", held) if self._state == "inside" else (self._beginning.release(), "")

    def _open(self) -> _State:
        """The state that follows from the beginning of the text."""
        begun = self._beginning.start
        for start, end in _TAGS:
            if begun.startswith(start):
                self._end = end
                return "inside"
        if any(start.startswith(begun) for start, _ in _TAGS):
            return "after" if self._beginning.is_full else "start"
        if not self._prefilled:
            return "after"
        self._end = "</think>"
        if self._end in self._beginning.tail:
            return "inside"
        return "after" if self._beginning.is_full else "start"

    def _inside(self, text: str) -> tuple[str, str]:
        thoughts, found, rest = (self._held + text).partition(self._end)
        if found:
            self._state, self._held = "after", ""
            return rest, thoughts
        cut = next(
            size
            for size in range(min(len(self._end) - 1, len(thoughts)), -1, -1)
            if self._end.startswith(thoughts[len(thoughts) - size :])
        )
        self._held = thoughts[len(thoughts) - cut :] if cut else ""
        return "", thoughts[: len(thoughts) - cut]


class Channels:
    """Splits the channels of gpt-oss, where the server left them in the text.

    https://github.com/raullenchai/Rapid-MLX/issues/480
    """

    def __init__(self) -> None:
        self._beginning = _Beginning()
        self._is_open = True

    @property
    def is_done(self) -> bool:
        """Whether the text does not begin with a channel, or has ended."""
        return not self._is_open

    def feed(self, text: str) -> tuple[str, str]:
        """(text, reasoning) to hand on; text that begins with a channel is held to the end."""
        if not self._is_open:
            return text, ""
        self._beginning.add(text)
        begun = self._beginning.start
        is_channel = any(s.startswith(begun) or begun.startswith(s) for s in _CHANNEL_STARTS)
        if is_channel and not self._beginning.is_full:
            return "", ""
        self._is_open = False
        return self._beginning.release(), ""

    def finish(self) -> tuple[str, str]:
        """(text, reasoning) that were held."""
        held, self._is_open = self._beginning.release(), False
        glued = _GLUED.fullmatch(held) if held.count("assistantfinal") == 1 else None
        if glued is not None:
            return glued[2], glued[1]
        thought = _CHANNEL.match(held)
        rest = held[thought.end() :] if thought else held
        final = _FINAL.match(rest)
        if final is not None:
            rest = rest[final.end() :].rstrip()
            rest = next((rest.removesuffix(end) for end in _ENDS if rest.endswith(end)), rest)
        return rest, thought[1] if thought else ""
