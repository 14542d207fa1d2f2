"""Items are read out of a multi-call's arguments while they are being written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.tools.items import ItemScanner
from tests.strategies import cuts, multi_arguments


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
        '[{"path": "a"}]',
        '{"paths": [{"path": "a"}]}',
        '{"files": {"files": [{"path": "a"}]}}',
        '{"files": "[{\\"path\\": \\"a\\"}]"}',
        '{"limit": 5, "files": [{"path": "a"}]}',
    ],
)
def test_other_forms(arguments: str) -> None:
    """Nothing is handed out of a form in which an item may mean more than it says."""
    scanner = ItemScanner("files")
    assert scanner.feed(arguments) == []
    assert not scanner.is_alone


def test_what_stands_behind() -> None:
    """A list with fields behind it is not alone."""
    scanner = ItemScanner("files")
    assert scanner.feed('{"files": [{"path": "a"}], "limit": 5}') == ['{"path": "a"}']
    assert scanner.closed and not scanner.is_alone
