"""The JSON scanner finds the same marks wherever a text is cut, and never looks back."""

import json
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.json_scanner import JsonScanner, closers
from tests.strategies import cuts

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)
_odd = st.text(st.sampled_from('{}[],:"\\ \n\t1aun\u2028é'), max_size=40)


def state(scanner: JsonScanner) -> list[Any]:
    """All that a scanner tells."""
    return [list(scanner.open), *(getattr(scanner, n) for n in JsonScanner.__slots__[1:-1])]


def read_by_hand(text: str) -> list[tuple[int, bool]]:
    """Each mark's place, and whether a string is open behind it, character by character."""
    marks, in_string, is_escaped = [], False, False
    for at, character in enumerate(text):
        if in_string and is_escaped:
            is_escaped = False
        elif in_string and character == "\\":
            is_escaped = True
        elif character == '"':
            in_string = not in_string
            marks.append((at, in_string))
        elif not in_string and character in "{}[],:":
            marks.append((at, False))
    return marks


@given(_odd)
def test_marks(text: str) -> None:
    """Of any text, broken or not, the marks are those that one finds by hand."""
    scanner = JsonScanner()
    found = [(at, scanner.in_string) for at in scanner.marks(text)]
    assert found == read_by_hand(text)


@given(st.data(), _values.map(json.dumps) | _odd)
def test_passes(data: st.DataObject, text: str) -> None:
    """A piece that passes has no mark in it, and leaves everything as it is."""
    quick, slow = JsonScanner(), JsonScanner()
    for piece in data.draw(cuts(text)):
        before = state(quick)
        passes, marks = quick.passes(piece), list(slow.marks(piece))
        if passes:
            assert (marks, state(quick)) == ([], before)
        else:
            assert list(quick.marks(piece)) == marks
        assert state(quick) == state(slow)


@given(st.data(), _values.map(json.dumps) | _odd)
def test_any_cut(data: st.DataObject, text: str) -> None:
    """However a text is cut into pieces, places and state are those of the whole text."""
    whole, cut = JsonScanner(), JsonScanner()
    places = list(whole.marks(text))
    pieces = data.draw(cuts(text))
    starts = accumulate(map(len, pieces), initial=0)
    found = [
        start + at for start, piece in zip(starts, pieces, strict=False) for at in cut.marks(piece)
    ]
    assert found == places
    assert state(cut) == state(whole)


@given(_values, st.booleans(), st.none() | st.just(2))
def test_healthy_json(value: Any, ascii_only: bool, indent: int | None) -> None:
    """JSON is sound and matched, and a list, an object or a string is closed at its end only."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    scanner = JsonScanner()
    scanner.feed(text[:-1])
    assert not scanner.is_closed
    scanner.feed(text[-1:])
    assert scanner.is_sound
    assert scanner.is_matched
    assert scanner.is_closed == isinstance(value, list | dict | str)


@given(st.lists(st.sampled_from("{["), max_size=20))
def test_closers(opened: list[str]) -> None:
    """What is open is closed by its closers, and they match."""
    scanner = JsonScanner()
    scanner.feed("".join(opened))
    assert scanner.open == opened
    scanner.feed(closers(opened))
    assert not scanner.open
    assert scanner.is_matched


@pytest.mark.parametrize(
    ("text", "is_sound", "is_matched"),
    [
        ('"a\nb"', False, True),
        (r'"\d"', False, True),
        (r'"\u00e9\"\\"', True, True),
        ('["a"}', True, False),
        ("]", True, False),
        ('"]"', True, True),
    ],
)
def test_defects(text: str, is_sound: bool, is_matched: bool) -> None:
    """Raw control characters, unknown escapes and wrong closers are found, and nothing else."""
    for pieces in ([text], list(text)):
        scanner = JsonScanner()
        for piece in pieces:
            scanner.feed(piece)
        assert (scanner.is_sound, scanner.is_matched) == (is_sound, is_matched)


def test_large() -> None:
    """A hundred thousand brackets and a string of a million escapes are nothing special."""
    scanner = JsonScanner()
    scanner.feed("[" * 100_000 + '"' + r"\n\"" * 250_000)
    assert scanner.in_string
    assert len(scanner.open) == 100_000
    for _ in range(10_000):
        scanner.feed("\\")
        scanner.feed('"')
    scanner.feed('"' + "]" * 100_000)
    assert scanner.is_closed
