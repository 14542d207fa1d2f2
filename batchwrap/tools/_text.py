"""Converts text files from bytes and back; encoding, byte order mark and every line end are kept.

Agents see and send lines that end with ``\\n``. The real ends of a file are remembered line by
line, so that a file with mixed ends keeps them wherever nothing was edited.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

_LINE_END = re.compile(r"(\r?\n)")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Text:
    r"""A text and how its file spells it.

    Attributes:
        content: the text, every line end as ``\n``.
        ends: the file's own end for each ``\n`` of the content, in order.
        encoding: the codec, without a byte order mark.
        mark: the byte order mark, or nothing.
    """

    content: str = ""
    ends: tuple[str, ...] = ()
    encoding: str = "utf-8"
    mark: bytes = b""

    @property
    def usual_end(self) -> str:
        r"""The end that most lines have; ``\n`` for a text of one line."""
        common = Counter(self.ends).most_common(1)
        return common[0][0] if common else "\n"


def decode(data: bytes) -> Text:
    """Read a file's bytes: UTF-8, or UTF-16 with its mark.

    Raises:
        ValueError: they are something else, or hold NUL characters.
    """
    mark, encoding = _encoding(data)
    raw = data[len(mark) :].decode(encoding)
    if "\0" in raw:
        raise ValueError("NUL characters")
    return spell(raw, Text(encoding=encoding, mark=mark))


def part(data: Iterable[bytes], first: int, limit: int | None) -> str | int:
    """Some lines of a file. No more is read than necessary, and only these lines are kept.

    Args:
        data: the file's bytes, chunk by chunk.
        first: the first line, counted from 1.
        limit: how many lines at most; None for all.

    Returns:
        The lines with their ends; or how many lines there are, if that is fewer than `first`.

    Raises:
        ValueError: what was read is no text.
    """
    before, left, seen, is_open = first - 1, limit, 0, False
    kept: list[str] = []
    for text in _decoded(data):
        ends = text.count("\n")
        seen, is_open = seen + ends, not text.endswith("\n")
        skipped = min(before, ends)
        before -= skipped
        if before:
            continue
        *_, rest = text.split("\n", skipped)
        ends -= skipped
        if left is not None and ends >= left:
            kept += [f"{line}\n" for line in rest.split("\n", left)[:left]]
            return "".join(kept)
        left = None if left is None else left - ends
        kept.append(rest)
    found = "".join(kept)
    return found if found or first == 1 else seen + is_open


def _decoded(data: Iterable[bytes]) -> Iterator[str]:
    r"""Chunks of a file as text, every line end as ``\n``."""
    decoder: codecs.IncrementalDecoder | None = None
    held = ""  # a return at the end of a chunk may be the half of a line end
    for chunk in chain(data, [b""]):
        if decoder is None:
            mark, encoding = _encoding(chunk)
            decoder, chunk = codecs.getincrementaldecoder(encoding)(), chunk[len(mark) :]
        text = held + decoder.decode(chunk, final=not chunk)
        held = "\r" if chunk and text.endswith("\r") else ""
        text = plain(text[: len(text) - len(held)])
        if "\0" in text:
            raise ValueError("NUL characters")
        if text:
            yield text


def _encoding(data: bytes) -> tuple[bytes, str]:
    """The byte order mark at the beginning of a file, and the codec that it tells."""
    return next((m for m in _MARKS if data.startswith(m[0])), (b"", "utf-8"))


def encode(text: Text) -> bytes:
    """The bytes of a text, as its file spells it.

    Raises:
        ValueError: a character cannot be encoded, or is NUL.
    """
    if "\0" in text.content:
        raise ValueError("NUL characters")
    lines = text.content.split("\n")
    # The last line has no end; zip needs as many ends as there are lines.
    raw = "".join(line + end for line, end in zip(lines, (*text.ends, ""), strict=True))
    return text.mark + raw.encode(text.encoding)


def plain(raw: str) -> str:
    r"""A text with every ``\r\n`` as ``\n``."""
    return raw.replace("\r\n", "\n")


def spell(raw: str, like: Text) -> Text:
    r"""Take a text as it stands, ``\r\n`` included, in another text's encoding."""
    pieces = _LINE_END.split(raw)
    return replace(like, content="\n".join(pieces[::2]), ends=tuple(pieces[1::2]))


def rewrite(content: str, like: Text) -> Text:
    r"""Put a new content in the place of a text.

    Content that brings no ``\r\n`` of its own takes the line ends of the old text.
    """
    content = content.removeprefix("\ufeff") if like.mark else content
    if "\r\n" in content:
        return spell(content, like)
    return replace(like, content=content, ends=(like.usual_end,) * content.count("\n"))


def substitute(text: Text, old: str, new: str) -> Text:
    r"""Replace every occurrence of `old` in a text; all in ``\n`` form.

    Lines that stay in number keep their ends; added ones take the usual end of the text.
    """
    before, after = old.count("\n"), new.count("\n")
    added = (text.usual_end,) * max(after - before, 0)
    *heads, tail = text.content.split(old)
    ends: list[str] = []
    at = 0
    for head in heads:
        kept = at + head.count("\n")
        ends += (*text.ends[at:kept], *text.ends[kept : kept + before][:after], *added)
        at = kept + before
    return replace(text, content=new.join([*heads, tail]), ends=(*ends, *text.ends[at:]))
