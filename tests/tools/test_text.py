"""Encodings and line ends, without files."""

from __future__ import annotations

import codecs
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.tools import _text

# Without a lone "\r", which makes a line end of the "\n" that an edit puts behind it.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0\ufeff")
LINES = st.lists(st.text(CHARACTERS, max_size=6), min_size=1, max_size=8)
SPELLINGS = st.sampled_from(
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ]
)


@given(st.binary())
def test_any_bytes_come_back_unchanged_or_are_refused(data: bytes) -> None:
    """Whatever can be read at all is written back to the byte."""
    try:
        text = _text.decode(data)
    except ValueError:
        return
    assert _text.encode(text) == data


@given(LINES, st.data(), SPELLINGS)
def test_mixed_line_ends_come_back_unchanged(
    lines: list[str], data: st.DataObject, spelling: tuple[bytes, str]
) -> None:
    """A file may end each line in its own way; the text shows one way only."""
    ends = [data.draw(st.sampled_from(["\n", "\r\n"])) for _ in lines[1:]]
    raw = "".join(line + end for line, end in zip(lines, [*ends, ""], strict=True))
    mark, encoding = spelling
    file = mark + raw.encode(encoding)
    text = _text.decode(file)
    assert text.content == "\n".join(lines)
    assert _text.encode(text) == file


@given(LINES, LINES, LINES, LINES, st.data())
def test_an_edit_leaves_all_other_line_ends_alone(
    head: list[str], old: list[str], new: list[str], tail: list[str], data: st.DataObject
) -> None:
    """Before and after the replaced text, a file with mixed line ends stays the same."""
    content = ["\n".join(part) for part in (head, ["<", *old, ">"], tail)]
    draw_ends = st.lists(st.sampled_from(["\n", "\r\n"]), min_size=60, max_size=60)
    supply = iter(data.draw(draw_ends))
    ends = [[next(supply) for _ in range(part.count("\n"))] for part in content]
    text = _text.Text("".join(content), tuple(itertools.chain(*ends)))
    replaced = "\n".join(["<<", *new])
    edited = _text.substitute(text, content[1], replaced)
    if text.content.count(content[1]) != 1:
        return
    assert edited.content == content[0] + replaced + content[2]
    assert list(edited.ends[: len(ends[0])]) == ends[0]
    assert list(edited.ends[len(edited.ends) - len(ends[2]) :]) == ends[2]
    assert len(edited.ends) == edited.content.count("\n")


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0",
        b"caf\xe9",
        b"a\0b",
        codecs.BOM_UTF16_LE + b"a",
        "hi".encode("utf-32"),
    ],
)
def test_what_is_not_text_is_refused(data: bytes) -> None:
    """Images, Latin-1, NUL characters, half a UTF-16 unit and UTF-32 are not edited."""
    with pytest.raises(ValueError):
        _text.decode(data)


def test_new_content_brings_its_own_line_ends() -> None:
    r"""A rewrite with ``\r\n`` of its own is taken to the letter, mixed as it is."""
    old = _text.decode(b"a\nb\n")
    assert _text.encode(_text.rewrite("x\r\ny\n", old)) == b"x\r\ny\n"


def test_a_byte_order_mark_is_not_doubled() -> None:
    """New content that begins with the mark itself does not get a second one."""
    old = _text.decode(codecs.BOM_UTF8 + b"a")
    assert _text.encode(_text.rewrite("\ufeffb", old)) == codecs.BOM_UTF8 + b"b"
