"""JSON is read with the values that stand there, integers of any length included."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.parse import parsed_exactly

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
