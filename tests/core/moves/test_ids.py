"""Derived ids carry what folding needs, in a form that every provider takes."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.moves import ids
from tests.strategies import provider_ids

# OpenAI's have 29 characters, vLLM's 46, Gemini's are UUIDs; some are anything.
origins = provider_ids | st.text(max_size=80)
places = st.integers(0, ids.MOST_ITEMS).flatmap(
    lambda count: st.tuples(st.integers(0, max(count, 1) - 1), st.just(count))
)
derived_ids = st.one_of(
    st.builds(
        lambda nonce, place, kind, origin: ids.DerivedId(nonce, place[0], place[1], kind, origin),
        st.from_regex(r"[A-Za-z0-9]{4}", fullmatch=True),
        places | st.tuples(st.integers(0, ids.MOST_ITEMS - 1), st.just(0)),
        st.sampled_from("rnebpa"),
        origins,
    ),
    st.builds(
        lambda nonce, kind, origin: ids.DerivedId(nonce, 0, 1, kind, origin),
        st.from_regex(r"[A-Za-z0-9]{4}", fullmatch=True),
        st.sampled_from("RNs"),
        origins,
    ),
)


@given(derived_ids)
def test_round_trip(derived: ids.DerivedId) -> None:
    """Decoding gives back every part, whatever the provider's id looks like.

    Of an id that is too long it gives another one that stands for it.
    """
    encoded = ids.encode(derived)
    assert ids.decode(encoded) == replace(derived, origin=ids.short(derived.origin))
    assert re.fullmatch(r"[A-Za-z0-9_-]{11,40}", encoded)
    again = replace(derived, origin=ids.short(derived.origin))
    assert ids.short(again.origin) == again.origin


@given(st.from_regex(r"[A-Za-z0-9_]{0,29}", fullmatch=True))
def test_ids_that_fit(origin: str) -> None:
    """An id as long as OpenAI's comes back to the character."""
    assert ids.short(origin) == origin


@given(origins, origins)
def test_long_ids_stay_apart(one: str, other: str) -> None:
    """Two calls of one turn are never taken for one."""
    assert (ids.short(one) == ids.short(other)) is (one == other)
    long = "call_" + 40 * "x"
    assert ids.short(long + one) != ids.short(long + other) or one == other


@given(st.integers(1, 70), st.data())
def test_the_beginning_tells_calls_apart(count: int, data: st.DataObject) -> None:
    """Agents that keep nine letters and digits of an id keep the calls of a turn apart."""
    known = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    made = [
        ids.encode(ids.DerivedId("aB3d", index, count if knows else 0, "r", "call_1"))
        for index, knows in enumerate(known)
    ]
    assert len({re.sub("[^A-Za-z0-9]", "", one)[:9] for one in made}) == count


@given(st.one_of(provider_ids, st.none(), st.integers(), st.text()))
def test_foreign_ids(call_id: object) -> None:
    """The ids that providers make are not taken for ours."""
    assert ids.decode(call_id) is None


@given(derived_ids, st.data())
def test_damage_is_noticed(derived: ids.DerivedId, data: st.DataObject) -> None:
    """An id that was cut short or got a digit more is either refused or not the same group."""
    encoded = ids.encode(derived)
    whole = ids.decode(encoded)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    assert ids.decode(cut) != whole
    assert ids.decode(encoded + "x") != whole


@pytest.mark.parametrize("kind", ["R", "E", "s"])
def test_a_whole_call_has_one_item(kind: str) -> None:
    """Forged: a second item of a call that went out in one piece is no id of ours."""
    first = ids.DerivedId("aB3d", 0, 1, kind, "c")
    assert ids.decode(ids.encode(first)) == first
    for place in ((0, 0), (1, 0), (0, 2), (1, 2)):
        assert ids.decode(ids.encode(ids.DerivedId("aB3d", *place, kind, "c"))) is None


@given(st.from_regex(r"bw[A-Za-z0-9]{9}[A-Za-z0-9_-]{0,29}", fullmatch=True))
def test_forged(call_id: str) -> None:
    """Whatever an id says, it says no more than the limits allow."""
    derived = ids.decode(call_id)
    if derived is not None:
        assert derived.index < ids.MOST_ITEMS
        assert derived.count <= ids.MOST_ITEMS
        assert not derived.count or derived.index < derived.count


@pytest.mark.parametrize("start", ["toolu_", "toolu_bdrk_", "toolu_vrtx_"])
def test_ids_of_anthropic(start: str) -> None:
    """They come back to the character, also in another process: what is signed holds them."""
    derived = ids.DerivedId("abcd", 1, 3, "r", f"{start}01{'x' * 22}")
    assert len(ids.encode(derived)) <= ids.MOST_LENGTH
    assert ids.decode(ids.encode(derived)) == derived
