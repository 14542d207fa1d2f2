"""Bodies are read and written as JSON is; what two of one conversation share, only once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.formats import bodies as module
from batchwrap.core.formats.bodies import Bodies
from batchwrap.core.parse import parsed_object, rendered

_TEXTS = st.text(alphabet='a"\\]}[{,:é\n ', max_size=6)
_LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | _TEXTS
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_ITEMS = st.lists(_VALUES, max_size=4)
_FRAMES = st.dictionaries(_TEXTS | st.just("tools"), _VALUES, max_size=3)


def _rendered(value: object, *, compact: bool = True) -> bytes:
    gaps = (",", ":") if compact else (", ", ": ")
    return json.dumps(value, separators=gaps, ensure_ascii=not compact).encode()


def _body(items: object, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {**before, "messages": items, **after}


@given(_ITEMS, st.lists(_ITEMS, max_size=4), _FRAMES, _FRAMES, st.booleans())
def test_any_conversation_reads_as_json_does(
    items: list[Any],
    more: list[list[Any]],
    before: dict[str, Any],
    after: dict[str, Any],
    compact: bool,
) -> None:
    """Whatever was read before, a body says what JSON says it says."""
    bodies = Bodies()
    for added in [[], *more]:
        items = [*items, *added]
        content = _rendered(_body(items, before, after), compact=compact)
        assert repr(bodies.read(content, "messages")) == repr(parsed_object(content))


@given(st.lists(st.binary(max_size=3) | _VALUES.map(_rendered), max_size=6), st.data())
def test_forged_bodies(pieces: list[bytes], data: st.DataObject) -> None:
    """Bytes put between the beginning and the end of a known body are read as JSON reads them."""
    bodies = Bodies()
    tails = [b"]}", b'],"n":1}', b'],"messages":[2]}']
    for _ in range(4):
        tail = data.draw(st.sampled_from(tails))
        middle = b",".join(data.draw(st.lists(st.sampled_from([b"1", *pieces]), max_size=5)))
        content = b'{"messages":[' + middle + tail
        assert repr(bodies.read(content, "messages")) == repr(parsed_object(content))


@given(st.lists(_VALUES, min_size=1, max_size=6), _FRAMES, _FRAMES, st.data())
def test_any_conversation_is_written_as_json_is(
    pool: list[Any], before: dict[str, Any], after: dict[str, Any], data: st.DataObject
) -> None:
    """Whatever was written before, wherever a conversation forks, a body's bytes are its own."""
    bodies = Bodies()
    items: list[Any] = data.draw(st.sampled_from([[], 20 * [0]]))
    for _ in range(6):
        kept = data.draw(st.integers(0, len(items)))
        items = [*items[:kept], *data.draw(st.lists(st.sampled_from(pool), max_size=20))]
        body = _body(items, before, after)
        assert bodies.write(body, "messages") == rendered(body)


def test_what_two_bodies_share_is_written_once() -> None:
    """The first items of a conversation are not written again, but for the last few of them."""
    bodies = Bodies()
    items: list[dict[str, Any]] = [{"n": n} for n in range(40)]
    first = bodies.write({"messages": items}, "messages")
    items[0]["n"] = "changed behind its back"
    second = bodies.write({"messages": [*items[:-1], {"n": 40}]}, "messages")
    assert second == first.replace(b'{"n":39}', b'{"n":40}')


def test_what_two_bodies_share_is_the_same_objects() -> None:
    """The items, tools and settings of the body before are not parsed again."""
    bodies = Bodies()
    first = bodies.read(b'{"model":"m","messages":[{"a":1}],"tools":[{"b":2}]}', "messages")
    content = b'{"model":"m","messages":[{"a":1},{"c":3}],"tools":[{"b":2}]}'
    second = bodies.read(content, "messages")
    assert first is not None and second is not None and second == json.loads(content)
    assert second["messages"][0] is first["messages"][0]
    assert second["tools"] is first["tools"]
    assert len(first["messages"]) == 1


def test_forks_and_others_between() -> None:
    """A conversation is continued though others came in between, and from an earlier place."""
    bodies = Bodies()
    start = bodies.read(b'{"messages":["a"],"n":1}', "messages")
    bodies.read(b'{"messages":["other"],"n":1}', "messages")
    one = bodies.read(b'{"messages":["a","b"],"n":1}', "messages")
    fork = bodies.read(b'{"messages":["a","c"],"n":1}', "messages")
    assert start is not None and one is not None and fork is not None
    assert (one["messages"], fork["messages"]) == (["a", "b"], ["a", "c"])


def test_the_field_of_another_api_is_another_conversation() -> None:
    """The same bytes at another endpoint are read by that one's own field."""
    bodies = Bodies()
    bodies.read(b'{"input":[1],"messages":[2]}', "messages")
    assert bodies.read(b'{"input":[1,3],"messages":[2]}', "input") == {
        "input": [1, 3],
        "messages": [2],
    }


def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is bounded in number and bytes; what is too large alone is kept by nobody."""
    monkeypatch.setattr(module, "_MOST_BYTES", 200)
    bodies = Bodies()
    for number in range(100):
        bodies.read(b'{"messages":[%d]}' % number, "messages")
    assert len(bodies._kept) <= 16
    large = b'{"messages":["%b"]}' % (b"a" * 300)
    assert bodies.read(large, "messages") == bodies.read(large, "messages")
    assert sum(len(one.head) for one in bodies._kept) <= 200
