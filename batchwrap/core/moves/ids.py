"""Derived tool call ids: all that folding needs travels in the id itself.

A saved, compacted or moved conversation still folds, since nothing has to be remembered.
Layout (11 characters, then the provider's own id, escaped):

    bw  NNN  g     k    iii    s  <provider id>
    tag nonce group kind item checksum

An id has at most 40 characters (OpenAI's limit), so that the agent's own history is always a
valid request. 29 are left for the provider's id, which is as long as OpenAI's are; of a longer
one the beginning and a digest are kept. The three digits of the item hold its index, and the
number of items where that is known: items are handed out while the model is still writing.
The nonce names the turn, since some providers repeat their ids each turn; the group is one call
of the model's in it. Anthropic's ids are one character too long, so what all of them begin with
is written as one escape: in a history whose thinking is signed the model has to see its own ids,
in every process.

The first nine characters are letters and digits, and differ between the calls of a turn:
some agents keep no more of an id (Mistral takes nine).
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
# An escape never begins with two of them.
_CUT = "--"
# What the ids of many calls begin with, and the escape for it, which no byte has; the longest
# first: Anthropic's by way of Bedrock and Vertex, and as they are.
_BEGINNINGS = {"toolu_bdrk_": "-u", "toolu_vrtx_": "-v", "toolu_": "-t"}

NONCE_LENGTH = 3  # of a turn; with the digit of the group it has one more
# As many as three digits tell apart, with and without the number of items.
MOST_ITEMS = 688
MOST_LENGTH = 40
_ROOM = 29
_KEPT = 19  # of a provider's id that is too long, beside eight digits of a digest


@dataclass(frozen=True, slots=True)
class DerivedId:
    """Where one single call of the agent view comes from.

    Attributes:
        nonce: four characters that name the group, the first three of them its turn.
        index: position of the item in the multi-call, from 0.
        count: number of items; 0 where it was not known yet.
        kind: one letter: which multi-tool (see `multi_tool`).
        origin: the provider's own id of the multi-call, as `short` gives it.
    """

    nonce: str
    index: int
    count: int
    kind: str
    origin: str

    @property
    def turn(self) -> str:
        """What all calls of one turn have in common."""
        return self.nonce[:NONCE_LENGTH]

    @property
    def group(self) -> tuple[str, str, str]:
        """What all items of one multi-call have in common."""
        return self.nonce, self.kind, self.origin


def encode(derived: DerivedId) -> str:
    """The tool call id that the agent sees."""
    head = f"{derived.nonce}{derived.kind}{_item(derived.index, derived.count)}"
    tail = _tail(derived.origin)
    return f"bw{head}{_checksum(head + tail)}{tail}"


def decode(call_id: object) -> DerivedId | None:
    """The parts of a derived id, or None for an id that is not ours.

    A capital letter and an ``s`` stand for a whole call: such an id has one item.
    """
    is_possible = isinstance(call_id, str) and len(call_id) <= MOST_LENGTH
    return _decode(call_id) if is_possible else None


@functools.lru_cache(maxsize=65_536)  # each request brings the whole conversation's ids again
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
    """The nonce of one call of a turn; so many calls of the model's have one of their own."""
    return turn + _DIGITS[number % _BASE]


@functools.lru_cache(maxsize=4_096)
def short(origin: str) -> str:
    """A provider's id as it comes back out of a derived id: the same, unless it is too long."""
    return _origin(_tail(origin)) or ""


def origin_of(call_id: str) -> tuple[str, bool]:
    """What derived ids keep of the provider's own id, and whether this one is derived."""
    derived = decode(call_id)
    return (short(call_id), False) if derived is None else (derived.origin, True)


def _is_whole(kind: str) -> bool:
    return kind.isupper() or kind == "s"


def _tail(origin: str) -> str:
    raw = origin.encode(errors="surrogatepass")
    start = next((known for known in _BEGINNINGS if origin.startswith(known)), "")
    rest = _UNSAFE.sub(lambda byte: b"-%02x" % byte[0][0], raw[len(start) :]).decode()
    tail = _BEGINNINGS.get(start, "") + rest
    if len(tail) <= _ROOM and (raw.isascii() or _is_utf8(raw)):
        return tail
    return f"{_CUT}{_UNSAFE_TEXT.sub('', origin)[:_KEPT]}{blake2b(raw, digest_size=4).hexdigest()}"


def _origin(tail: str) -> str | None:
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
    except UnicodeDecodeError:  # half a surrogate
        return False
    return True


def _item(index: int, count: int) -> str:
    """Three digits for the place of an item among so many; 0 for a number that is not known."""
    code = index if not count else MOST_ITEMS + count * (count - 1) // 2 + index
    return "".join(_DIGITS[code // _BASE**place % _BASE] for place in range(3))


def _place(item: str) -> tuple[int, int] | None:
    """Index and count that three digits stand for; None for digits that nobody makes."""
    code = sum(_VALUE[digit] * _BASE**place for place, digit in enumerate(item))
    if code < MOST_ITEMS:
        return code, 0
    code -= MOST_ITEMS
    count = (1 + math.isqrt(1 + 8 * code)) // 2
    return (code - count * (count - 1) // 2, count) if count <= MOST_ITEMS else None


def _checksum(text: str) -> str:
    """One digit that depends on place and character, so that swaps change it, too."""
    total = 0
    for place, character in enumerate(text, start=1):
        total += place * ord(character)
    return _DIGITS[total % _BASE]
