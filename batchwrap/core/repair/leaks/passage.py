"""Where a text has got to, as markdown sees it: in a code fence, in a quotation, in backticks."""

from __future__ import annotations

_INDENTED = ("    ", "\t")  # markdown shows such lines as they are
_INDENT = 4
_FENCES = ("```", "~~~")
_MARK = 3  # characters that begin a line, as many as a fence has


class Passage:
    """The end of a text that grows; holds a few characters of it, whatever its length."""

    __slots__ = ("_fence", "_has_quotation", "_indent", "_mark", "_ticks")

    def __init__(self) -> None:
        self._fence = ""  # the one that is open
        self._has_quotation = False  # whether a line of the paragraph begins one
        self._ticks = 0  # backticks of the paragraph
        self._indent = ""  # of the line that is still being written
        self._mark = ""  # what stands behind it

    @property
    def is_quoted(self) -> bool:
        """Whether what follows is quoted: markdown goes on until a blank line."""
        indented = not self._mark and self._indent.startswith(_INDENTED)
        quotation = self._has_quotation or self._mark.startswith(">")
        return bool(self._fence) or quotation or indented or self._ticks % 2 == 1

    @property
    def begins_line(self) -> bool:
        """Whether nothing stands on the line so far, as before a model's calls."""
        return not self._mark

    def take(self, text: str) -> None:
        """Take in what comes next."""
        if "\n" in text:
            *done, text = text.split("\n")
            for line in done:
                self._go_on(line)
                self._end_line()
        self._go_on(text)

    def _go_on(self, text: str) -> None:
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
