"""What a parser written in C finds healthy is what the lenient one would leave as it is."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.parse import is_object
from batchwrap.core.repair.arguments import ArgumentStream, repair_arguments
from batchwrap.core.repair.healthy import is_healthy
from batchwrap.core.tools.lenient import MOST_CHARACTERS, rewrite
from tests.strategies import cuts

_INNER = {"$ref": "#/$defs/inner"}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "string"},
        "b": {"type": "array", "items": {"type": "integer"}},
        "c": _INNER,
        "d": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    },
    "$defs": {"inner": {"type": "object", "properties": {"c": _INNER, "d": {"type": "number"}}}},
}
_leaves = st.sampled_from([None, True, 1, 1.5, 2**70, "1", "[1]", "true", "x", '{"d": "1"}', "é"])
_values = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcde"), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(
    st.dictionaries(st.sampled_from("abcde"), _values),
    st.sampled_from([SCHEMA, {}, None]),
    st.sampled_from([None, 2]),
)
def test_both_parsers_agree(value: dict[str, Any], schema: Any, indent: int | None) -> None:
    """Healthy is exactly what comes back from the lenient parser to the byte."""
    text = json.dumps(value, indent=indent)
    assert is_healthy(text, schema) == (rewrite(text, schema) == text)


def test_a_key_twice() -> None:
    """One of two values would be dropped: that is not healthy."""
    made = repair_arguments('{"a": {"b": 1, "b": 2}}', {}, dangerous=True)
    assert made.refused == "duplicate_key"


def test_the_lenient_parser_is_bounded() -> None:
    """What is broken and long is handed on as it came; what is long and healthy is read."""
    filler = "x" * MOST_CHARACTERS
    assert not repair_arguments(f'{{"a": "{filler}"}}', {}, dangerous=True).refused
    assert repair_arguments(f'{{"a": "{filler}",}}', {}, dangerous=True).refused == "too_long"
    assert repair_arguments(f'{{"a": "{filler}', {}, dangerous=True).refused == "truncated"


_marks = st.text('{}[],:"\\n 1a', max_size=20)


@given(st.one_of(_marks, _marks.map('{"a": '.__add__), _marks.map('{"a": "}"}'.__add__)), st.data())
def test_complete_or_not(text: str, data: st.DataObject) -> None:
    """Whether arguments are one object is known at each fragment without reading them again."""
    stream, said = ArgumentStream(frozenset({"n"})), ""
    for piece in data.draw(cuts(text)):
        stream.feed(piece)
        said += piece
        assert stream.is_complete == is_object(said)


def test_refused_texts_are_still_refused() -> None:
    """The quick look takes nothing for healthy that has no meaning."""
    for text in ("", "{", "[]", '{"a": 1} {"a": 1}', "{'a': 1}", '{"a": NaN}'):
        assert not is_healthy(text, {})
