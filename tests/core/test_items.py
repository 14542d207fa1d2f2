"""Items are read out of a multi-call's arguments while they are being written."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.views.items import ItemScanner, as_arguments, read_items
from tests.strategies import cuts, multi_arguments
from tests.work import assert_linear


@given(multi_arguments(least=0), st.data())
def test_any_cut(made: tuple[str, list[dict[str, Any]]], data: st.DataObject) -> None:
    """However the arguments are cut, the items are the same, and slices of the text."""
    text, listed = made
    scanner = ItemScanner("files")
    found = [item for piece in data.draw(cuts(text)) for item in scanner.feed(piece)]
    assert [json.loads(item) for item in found] == listed
    assert all(item in text for item in found)
    assert scanner.closed and scanner.text == text


@given(multi_arguments(), st.data())
def test_truncated(made: tuple[str, list[dict[str, Any]]], data: st.DataObject) -> None:
    """Arguments that break off yield only items that are whole."""
    text, listed = made
    kept = data.draw(st.integers(0, len(text) - 1))
    found = [json.loads(item) for item in ItemScanner("files").feed(text[:kept])]
    assert found == listed[: len(found)]


def test_an_item_comes_as_soon_as_it_is_whole() -> None:
    """An item is handed out with the delimiter after it, not at the end."""
    scanner = ItemScanner("files")
    assert scanner.feed('{"files": [{"path": "a"}') == []
    assert scanner.feed(", ") == ['{"path": "a"}']
    assert not scanner.closed
    assert scanner.feed('{"path": "b"}]') == ['{"path": "b"}']
    assert scanner.closed


@pytest.mark.parametrize(
    "arguments",
    [
        '[{"path": "a"}, {"path": "b"}]',
        '{"files": "[{\\"path\\": \\"a\\"}, {\\"path\\": \\"b\\"}]"}',
        '"{\\"files\\": [{\\"path\\": \\"a\\"}, {\\"path\\": \\"b\\"}]}"',
        '{"files": {"files": [{"path": "a"}, {"path": "b"}]}}',
    ],
)
def test_other_shapes_with_one_meaning(arguments: str) -> None:
    """A list without its wrapper, wrapped twice, or sent as JSON text is understood."""
    assert ItemScanner("files").feed(arguments) == []
    assert [json.loads(item) for item in read_items(arguments, "files")] == [
        {"path": "a"},
        {"path": "b"},
    ]


@pytest.mark.parametrize("arguments", ['{"path": "a"}', '{"files": {"path": "a"}}'])
def test_one_object_in_place_of_a_list(arguments: str) -> None:
    """A single object is a list of one."""
    assert [json.loads(item) for item in read_items(arguments, "files")] == [{"path": "a"}]


@pytest.mark.parametrize("arguments", ["", "{", '{"files": [{"path": "a"', "5", "null", '"x"'])
def test_no_meaning(arguments: str) -> None:
    """Broken JSON and other values have no items."""
    assert read_items(arguments, "files") == []


@pytest.mark.parametrize(
    ("item", "arguments"),
    [
        ('{"path": "a", "offset":3}', '{"path": "a", "offset":3}'),
        ('"a.py"', '{"path":"a.py"}'),
        ('"{\\"path\\": \\"a\\"}"', '{"path": "a"}'),
        ('{"offset": 3}', None),
        ("5", None),
        ("[]", None),
        ("{", None),
    ],
)
def test_an_items_arguments(item: str, arguments: str | None) -> None:
    """An object that fits stays as it is; a bare path is wrapped; the rest does not fit."""
    assert as_arguments(item, ("path",)) == arguments


@pytest.mark.parametrize("filler", ["\\n", "x", "{},"])
def test_work_grows_with_the_text(filler: str) -> None:
    """Each character of an item is looked at and kept once, whatever it holds."""

    def steps(size: int) -> Iterator[object]:
        inner = filler * size
        text = '{"files": [{"path": "' + inner + '"}]}'
        scanner = ItemScanner("files")
        for at in range(0, len(text), 7):
            yield scanner.feed(text[at : at + 7])
        assert scanner.closed

    assert_linear(steps, 500)
