"""Derived tool call ids: the id of an item's call holds everything that folding needs.

Nothing has to be remembered, so a conversation that was saved, compacted or moved to another
process still folds. If the model makes the call `call_81` of `multi_edit` with three items, the
agent gets three calls:

    bw  q7Z    A      e     JLA   5         call_81      item 1 of 3
    bw  q7Z    A      e     KLA   B         call_81      item 2 of 3
    bw  q7Z    A      e     LLA   H         call_81      item 3 of 3
    tag nonce  group  kind  item  checksum  the provider's id, escaped

- The nonce identifies the turn, since some providers use the same ids in each turn. The group is
  the number of the call in the turn, and the kind is the letter of the multi-tool (`tools/multi`).
- The three digits of the item hold its index, and the number of items if it is known: items are
  handed out while the model is still writing.
- The checksum distinguishes a derived id from a provider's own id that begins with `bw`.
- An id has at most 40 characters, which is OpenAI's limit, so the agent's own history is always a
  valid request. 29 are left for the provider's id, the length of OpenAI's. Of a longer id the
  beginning and a digest are kept.
- Anthropic's ids are one character too long. So their common prefix is written as a short escape,
  because the model has to see its own ids, in every process, if its thinking is signed.
- The first nine characters are letters and digits and differ between the calls of a turn, since
  some agents shorten ids to nine characters (Mistral accepts no more).
"""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from hashlib import blake2b

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_VALUE = {digit: value for value, digit in enumerate(_DIGITS)}
_BASE = len(_DIGITS)
_FORM = re.compile(r"bw([A-Za-z0-9]{4})([A-Za-z])([A-Za-z0-9]{3})([A-Za-z0-9])([\w-]*)", re.ASCII)
_UNSAFE = re.compile(rb"[^A-Za-z0-9_]")
_UNSAFE_TEXT = re.compile(r"\W+", re.ASCII)
_ESCAPE = re.compile(rb"-([0-9a-f]{2})")
# Marks an id that was shortened. No escape begins with two of these.
_CUT = "--"
# Common prefixes of ids and their escapes, which are not the code of a byte. The longest comes
# first: Anthropic's ids from Bedrock, from Vertex, and from its own API.
_BEGINNINGS = {"toolu_bdrk_": "-u", "toolu_vrtx_": "-v", "toolu_": "-t"}

NONCE_LENGTH = 3  # characters of a turn's nonce; the nonce of a group has one more
# The most items whose places three digits can hold, with and without the number of items.
MOST_ITEMS = 688
MOST_LENGTH = 40
_ROOM = 29
_KEPT = 19  # characters of a provider's id that is too long; eight digits of a digest follow


@dataclass(frozen=True, slots=True)
class DerivedId:
    """The parts of a derived id: which item of which of the model's calls a call was made from.

    Attributes:
        nonce: four characters that identify the group; the first three identify the turn.
        index: the position of the item in the multi-call, from 0.
        count: the number of items; 0 if it was not known yet.
        kind: the letter of the multi-tool (`tools/multi`).
        origin: the provider's id of the multi-call, as `short` returns it.
    """

    nonce: str
    index: int
    count: int
    kind: str
    origin: str

    @property
    def turn(self) -> str:
        """The nonce of the turn, which all derived ids of a turn have in common."""
        return self.nonce[:NONCE_LENGTH]

    @property
    def group(self) -> tuple[str, str, str]:
        """What all items of one multi-call have in common, as a key."""
        return self.nonce, self.kind, self.origin


def encode(derived: DerivedId) -> str:
    """The tool call id that the agent sees."""
    head = f"{derived.nonce}{derived.kind}{_item(derived.index, derived.count)}"
    tail = _tail(derived.origin)
    return f"bw{head}{_checksum(head + tail)}{tail}"


def decode(call_id: object) -> DerivedId | None:
    """The parts of a derived id; None for any other id.

    A capital letter and ``s`` mean that the model's call went out as a single call, so such an id
    always has one item.
    """
    is_possible = isinstance(call_id, str) and len(call_id) <= MOST_LENGTH
    return _decode(call_id) if is_possible else None


@functools.lru_cache(maxsize=65_536)  # each request repeats all ids of the conversation
def _decode(call_id: str) -> DerivedId | None:
    match = _FORM.fullmatch(call_id)
    if match is None:
        return None
    nonce, kind, item, checksum, tail = match.groups()
    if checksum != _checksum(f"{nonce}{kind}{item}{tail}"):
        return None
    origin, place = _origin(tail), _place(item)
    if origin is None or place is None or (_is_whole(kind) and place != (0, 1)):
        return None
    return DerivedId(nonce, *place, kind, origin)


def group_nonce(turn: str, number: int) -> str:
    """The nonce of the call with this number in a turn. It repeats after 62 calls."""
    return turn + _DIGITS[number % _BASE]


@functools.lru_cache(maxsize=4_096)
def short(origin: str) -> str:
    """A provider's id as a derived id holds it: unchanged, unless it is too long."""
    return _origin(_tail(origin)) or ""


def origin_of(call_id: str) -> tuple[str, bool]:
    """The provider's id as derived ids hold it, and whether this id is a derived one."""
    derived = decode(call_id)
    return (short(call_id), False) if derived is None else (derived.origin, True)


def _is_whole(kind: str) -> bool:
    return kind.isupper() or kind == "s"


def _tail(origin: str) -> str:
    """The provider's id as the end of a derived id: escaped, and shortened if it is too long."""
    raw = origin.encode(errors="surrogatepass")
    start = next((known for known in _BEGINNINGS if origin.startswith(known)), "")
    rest = _UNSAFE.sub(lambda byte: b"-%02x" % byte[0][0], raw[len(start) :]).decode()
    tail = _BEGINNINGS.get(start, "") + rest
    if len(tail) <= _ROOM and (raw.isascii() or _is_utf8(raw)):
        return tail
    return f"{_CUT}{_UNSAFE_TEXT.sub('', origin)[:_KEPT]}{blake2b(raw, digest_size=4).hexdigest()}"


def _origin(tail: str) -> str | None:
    """The provider's id in the end of a derived id; None if `_tail` never makes such an end."""
    if tail.startswith(_CUT):
        return tail.removeprefix(_CUT)
    start = next((known for known, code in _BEGINNINGS.items() if tail.startswith(code)), "")
    rest = tail[len(_BEGINNINGS.get(start, "")) :].encode()
    try:
        return start + _ESCAPE.sub(lambda code: bytes.fromhex(code[1].decode()), rest).decode()
    except UnicodeDecodeError:
        return None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:  # a lone surrogate
        return False
    return True


def _item(index: int, count: int) -> str:
    """Three digits for an item's index and the number of items; 0 is an unknown number."""
    # Without a number the code is the index. With one, all (index, number) pairs follow, ordered by
    # the number: the pairs with smaller numbers are number * (number - 1) / 2.
    code = index if not count else MOST_ITEMS + count * (count - 1) // 2 + index
    return "".join(_DIGITS[code // _BASE**place % _BASE] for place in range(3))


def _place(item: str) -> tuple[int, int] | None:
    """The index and the number of items in three digits; None if `_item` never makes them."""
    code = sum(_VALUE[digit] * _BASE**place for place, digit in enumerate(item))
    if code < MOST_ITEMS:
        return code, 0
    code -= MOST_ITEMS
    count = (1 + math.isqrt(1 + 8 * code)) // 2
    return (code - count * (count - 1) // 2, count) if count <= MOST_ITEMS else None


def _checksum(text: str) -> str:
    """One digit that depends on each character and its position, so swaps change it as well."""
    total = 0
    for place, character in enumerate(text, start=1):
        total += place * ord(character)
    return _DIGITS[total % _BASE]
