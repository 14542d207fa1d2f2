"""Thoughts that stand in the text go where they belong: into `reasoning_content`.

Only a block that begins at the very first character; or, for models whose template opens
the block itself, everything before its end. And the channels of gpt-oss, left in the text.
"""

from __future__ import annotations

import re
from typing import Literal, Protocol

_TAGS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("[THINK]", "[/THINK]"))
_GLUED = re.compile(r"\s*analysis(.*)assistantfinal(.*)", re.DOTALL)
_CHANNEL = re.compile(
    r"\s*(?:<\|start\|>assistant)?<\|channel\|>analysis<\|message\|>(.*?)(?:<\|end\|>|$)", re.DOTALL
)
_FINAL = re.compile(
    r"\s*(?:<\|start\|>assistant)?<\|channel\|>final(?: <\|constrain\|>\w+)?<\|message\|>(.*?)"
    r"(?:<\|return\|>|<\|end\|>)?\s*",
    re.DOTALL,
)
_CHANNEL_STARTS = ("analysis", "<|channel|>", "<|start|>assistant")


_State = Literal["start", "inside", "after"]


class Splitter(Protocol):
    """Takes the text of an answer apart while it streams."""

    def feed(self, text: str) -> tuple[str, str]:
        """(text, thoughts) to hand on for text that came."""

    def finish(self) -> tuple[str, str]:
        """(text, thoughts) that were held, when the answer is complete."""


class ThinkTags:
    """Splits at tags.

    Args:
        prefilled: the model's template opens the block, so that only its end comes. The
            text is then held until the end of the block, or of the answer.
    """

    def __init__(self, *, prefilled: bool) -> None:
        self._state: _State = "start"
        self._prefilled = prefilled
        self._held = ""
        self._end = ""

    def feed(self, text: str) -> tuple[str, str]:
        """(text, thoughts) to hand on for text that came."""
        if self._state == "after":
            return text, ""
        self._held += text
        state = self._open() if self._state == "start" else self._state
        self._state = state
        if state == "inside":
            return self._inside()
        if state == "start":
            return "", ""
        held, self._held = self._held, ""
        return held, ""

    def finish(self) -> tuple[str, str]:
        """(text, thoughts) that were held; a block that is not closed is thoughts."""
        held, self._held = self._held, ""
        return ("", held) if self._state == "inside" else (held, "")

    def _open(self) -> _State:
        """What the text turns out to begin with."""
        begun = self._held.lstrip()
        for start, end in _TAGS:
            if begun.startswith(start):
                self._end, self._held = end, begun[len(start) :]
                return "inside"
        may_open = any(start.startswith(begun) for start, _ in _TAGS)
        if may_open:
            return "start"
        if not self._prefilled:
            return "after"
        self._end = "</think>"
        return "inside" if self._end in self._held else "start"

    def _inside(self) -> tuple[str, str]:
        thoughts, found, rest = self._held.partition(self._end)
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
    """Splits what gpt-oss wrote into channels, where the server left them in the text."""

    def __init__(self) -> None:
        self._held: str | None = ""

    def feed(self, text: str) -> tuple[str, str]:
        """(text, thoughts) to hand on; text that begins with a channel is held to the end."""
        if self._held is None:
            return text, ""
        self._held += text
        begun = self._held.lstrip()
        if any(s.startswith(begun) or begun.startswith(s) for s in _CHANNEL_STARTS):
            return "", ""
        held, self._held = self._held, None
        return held, ""

    def finish(self) -> tuple[str, str]:
        """(text, thoughts) that were held."""
        held, self._held = self._held or "", None
        glued = _GLUED.fullmatch(held) if held.count("assistantfinal") == 1 else None
        if glued is not None:
            return glued[2], glued[1]
        thought = _CHANNEL.match(held)
        rest = held[thought.end() :] if thought else held
        final = _FINAL.fullmatch(rest)
        if final is not None:
            return final[1], thought[1] if thought else ""
        return rest, thought[1] if thought else ""
