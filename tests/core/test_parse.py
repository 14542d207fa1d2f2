"""JSON is read with the values that stand there, integers of any length included."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.parse import parsed, parsed_exactly, rendered

_numbers = st.integers() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False)
_values = st.recursive(
    st.none() | st.booleans() | _numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(_values, st.sampled_from([0, 5_000]), st.booleans())
def test_exact(value: Any, padding: int, as_bytes: bool) -> None:
    """Whatever a text says, and however long it is, its values are those of Python's parser."""
    text = json.dumps([value, "x" * padding])
    read = parsed_exactly(text.encode() if as_bytes else text)
    assert read == json.loads(text)
    assert json.dumps(read) == text


@given(_values)
def test_whatever_is_read_can_be_written(value: Any) -> None:
    """However deep a value is, and however little is left of Python's stack."""
    nested = value
    for _ in range(1_000):
        nested = [nested]
    assert rendered(nested).decode() == "[" * 1_000 + json.dumps(value) + "]" * 1_000


@pytest.mark.parametrize("depth", [0, 300, 1_000])
@pytest.mark.parametrize("around", [("[", "]"), ('{"a": ', "}"), ("[1, ", ', {"b": []}]')])
def test_deep_texts(around: tuple[str, str], depth: int) -> None:
    """What is read of a text is written again, as deep as anybody reads."""
    begin, end = around
    text = begin * depth + "0" + end * depth
    assert rendered(parsed(text)).decode().replace(" ", "") == text.replace(" ", "")
