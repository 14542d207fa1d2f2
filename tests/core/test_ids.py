"""Derived ids carry what folding needs, in a form that every provider takes."""

import re

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.views import ids
from tests.strategies import provider_ids

derived_ids = st.builds(
    ids.DerivedId,
    st.from_regex(r"[A-Za-z0-9]{4}", fullmatch=True),
    st.integers(0, ids.MOST_ITEMS),
    st.integers(0, ids.MOST_ITEMS),
    st.sampled_from("rnRN"),
    provider_ids,
)


@given(derived_ids)
def test_round_trip(derived: ids.DerivedId) -> None:
    """Decoding gives back every part, whatever the provider's id looks like."""
    encoded = ids.encode(derived)
    assert ids.decode(encoded) == derived
    assert re.fullmatch(r"[A-Za-z0-9_-]+", encoded)


@given(derived_ids, st.from_regex(r"[A-Za-z0-9_]{0,28}", fullmatch=True))
def test_length(derived: ids.DerivedId, origin: str) -> None:
    """An id of 28 plain characters stays within the 40 that OpenAI allows."""
    parts = (derived.nonce, derived.index, derived.count, derived.kind)
    assert len(ids.encode(ids.DerivedId(*parts, origin))) <= 40


@given(st.one_of(provider_ids, st.none(), st.integers()))
def test_foreign_ids(call_id: object) -> None:
    """The ids that providers make are not taken for ours."""
    assert ids.decode(call_id) is None


@given(derived_ids, st.data())
def test_damage_is_noticed(derived: ids.DerivedId, data: st.DataObject) -> None:
    """An id that was cut short or got a digit more is either refused or not the same group."""
    encoded = ids.encode(derived)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    assert ids.decode(cut) != derived
    assert ids.decode(encoded + "x") != derived
