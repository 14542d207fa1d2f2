"""Only the account itself, and only under the same name, can open what was sealed."""

from __future__ import annotations

from base64 import b64decode, b64encode

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.memory_stores.sealing import sealing_of

keys = st.text(max_size=40)
names = st.text("abcdef:0123456789", min_size=1, max_size=40)


@given(keys, names, st.binary(max_size=200))
def test_there_and_back(key: str, name: str, content: bytes) -> None:
    """What was sealed opens again, in every process with this key."""
    sealing_of.cache_clear()
    sealed = sealing_of(key).seal(name, content)
    sealing_of.cache_clear()
    assert sealing_of(key).open(name, sealed) == content


@given(keys, keys, names)
def test_another_account(key: str, other: str, name: str) -> None:
    """Another account has other names, and cannot open anything."""
    if key == other:
        return
    one, two = sealing_of(key), sealing_of(other)
    assert one.account != two.account
    assert one.name(name) != two.name(name)
    assert two.open(name, one.seal(name, b"content")) is None


@given(names, names, st.data())
def test_moved_or_changed(name: str, other: str, data: st.DataObject) -> None:
    """A content under another name, or with another bit, opens nothing."""
    sealing = sealing_of("key")
    sealed = sealing.seal(name, b"content")
    assert name == other or sealing.open(other, sealed) is None
    whole = bytearray(b64decode(sealed))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    assert sealing.open(name, b64encode(whole).decode()) is None


@given(st.text(max_size=60))
def test_rubbish(text: str) -> None:
    """Whatever stands in a store, opening it raises nothing."""
    assert sealing_of("key").open("name", text) is None


def test_says_nothing() -> None:
    """Neither the key nor a name stands in what is kept, and no two seals are alike."""
    sealing = sealing_of("sk-secret")
    assert "sk-secret" not in sealing.account + sealing.name("at:00")
    assert sealing.name("at:00") != sealing.name("at:01")
    assert sealing.seal("name", b"content") != sealing.seal("name", b"content")
