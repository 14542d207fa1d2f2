"""Bytes for digests, of values that JSON cannot hold, too."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import batchwrap
from batchwrap.core.fingerprint import fingerprint
from tests.strategies import READ_FILE

# Half surrogates and integers of any size, which orjson refuses.
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters()) | st.just("\udc80"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=9,
)


@given(ODD, ODD)
def test_equal_values(one: Any, other: Any) -> None:
    """Equal values have the same bytes, and where JSON tells values apart, so do the bytes."""
    assert fingerprint(one) == fingerprint(copy.deepcopy(one))
    if _as_json(one) != _as_json(other):
        assert fingerprint(one) != fingerprint(other)


def _as_json(value: Any) -> object:
    try:
        return orjson.dumps(value)
    except TypeError:
        return None


def test_without_end() -> None:
    """What is nested without end has some bytes, too."""
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    assert fingerprint(nested) == b""


@pytest.mark.parametrize("odd", ["\udc80", 2**70], ids=["half a surrogate", "a large integer"])
@pytest.mark.parametrize("limits", ["auto", [batchwrap.Limit("tokens", 100_000)]])
def test_a_request_that_is_no_json(odd: Any, limits: Any) -> None:
    """A decorated function is called with whatever its arguments hold, where they hold it."""
    said = {"choices": [{"index": 0, "message": {"content": "ok"}, "finish_reason": "stop"}]}

    @batchwrap.batched(limits=limits)
    def complete(**kwargs: Any) -> Any:
        assert kwargs["model"] == odd
        assert [message["content"] for message in kwargs["messages"]] == [odd] * 3
        return said

    messages = [{"role": role, "content": odd} for role in ("user", "assistant", "user")]
    assert complete(model=odd, messages=messages, tools=[READ_FILE]) is said
