"""Tracks the position in markdown: whether it is in a code fence, a quotation or backticks."""

from __future__ import annotations

_INDENTED = ("    ", "\t")  # an indented line is a code block
_INDENT = 4
_FENCES = ("```", "~~~")
_MARK = 3  # characters at the beginning of a line, as many as a fence has


class Passage:
    """The end of a growing text. It keeps a few characters, however long the text is."""

    __slots__ = ("_fence", "_has_quotation", "_indent", "_mark", "_ticks")

    def __init__(self) -> None:
        self._fence = ""  # the open fence
        self._has_quotation = False  # whether a line of the paragraph begins with ">"
        self._ticks = 0  # backticks in the paragraph
        self._indent = ""  # of the current line
        self._mark = ""  # the first characters after it

    @property
    def is_quoted(self) -> bool:
        """Whether what follows is quoted: in markdown a quotation lasts until a blank line."""
        indented = not self._mark and self._indent.startswith(_INDENTED)
        quotation = self._has_quotation or self._mark.startswith(">")
        return bool(self._fence) or quotation or indented or self._ticks % 2 == 1

    @property
    def begins_line(self) -> bool:
        """Whether the current line is blank so far, as it is before a model's calls."""
        return not self._mark

    def take(self, text: str) -> None:
        """Add the text that follows."""
        if "\n" in text:
            *done, text = text.split("\n")
            for line in done:
                self._continue(line)
                self._end_line()
        self._continue(text)

    def _continue(self, text: str) -> None:
        if len(self._mark) == _MARK:  # almost always
            pass
        elif not self._mark:
            begun = text.lstrip()
            self._indent = (self._indent + text[: len(text) - len(begun)])[:_INDENT]
            self._mark = begun[:_MARK]
        else:
            self._mark = (self._mark + text)[:_MARK]
        self._ticks += text.count("`")

    def _end_line(self) -> None:
        mark, self._mark, self._indent = self._mark, "", ""
        is_fence = mark in _FENCES and self._fence in ("", mark)
        if is_fence:
            self._fence = "" if self._fence else mark
        if is_fence or not mark:  # the paragraph is over
            self._has_quotation, self._ticks = False, 0
        self._has_quotation = self._has_quotation or mark.startswith(">")
