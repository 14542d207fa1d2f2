"""Derived tool call ids: all that folding needs travels in the id itself.

A saved, compacted or moved conversation still folds, since nothing has to be remembered.
Layout (12 characters, then the provider's own id, escaped):

    bw  NNNN  ii  cc  k  s  <provider id>
    tag nonce index count kind checksum

At most 40 characters (OpenAI's limit) for a provider id of 28. Index and count are two
base64url digits. The count stands only in the last item: items are handed out while the
model is still writing, when nobody knows yet how many there will be. The nonce keeps the
groups apart, since some providers repeat their ids each turn.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_VALUE = {digit: value for value, digit in enumerate(_DIGITS)}
_FORM = re.compile(r"bw([\w-]{4})([\w-]{2})([\w-]{2})([a-zA-Z])([\w-])([\w-]*)", re.ASCII)
_UNSAFE = re.compile(rb"[^A-Za-z0-9_]")
_ESCAPE = re.compile(rb"-([0-9a-f]{2})")

NONCE_LENGTH = 4
MOST_ITEMS = 64 * 64 - 1


@dataclass(frozen=True, slots=True)
class DerivedId:
    """Where one single call of the agent view comes from.

    Attributes:
        nonce: four characters that name the group.
        index: position of the item in the multi-call, from 0.
        count: number of items, in the last item's id only; 0 elsewhere.
        kind: one letter: which multi-tool (see `multi_tool`).
        origin: the provider's own id of the multi-call.
    """

    nonce: str
    index: int
    count: int
    kind: str
    origin: str

    @property
    def group(self) -> tuple[str, str, str]:
        """What all items of one multi-call have in common."""
        return self.nonce, self.kind, self.origin


def encode(derived: DerivedId) -> str:
    """The tool call id that the agent sees."""
    head = f"{derived.nonce}{_two(derived.index)}{_two(derived.count)}{derived.kind}"
    tail = _UNSAFE.sub(lambda byte: b"-%02x" % byte[0][0], derived.origin.encode()).decode()
    return f"bw{head}{_checksum(head + tail)}{tail}"


def decode(call_id: object) -> DerivedId | None:
    """The parts of a derived id, or None for an id that is not ours."""
    return _decode(call_id) if isinstance(call_id, str) else None


@functools.lru_cache(maxsize=65_536)  # each request brings the whole conversation's ids again
def _decode(call_id: str) -> DerivedId | None:
    match = _FORM.fullmatch(call_id)
    if match is None:
        return None
    nonce, index, count, kind, checksum, tail = match.groups()
    if checksum != _checksum(f"{nonce}{index}{count}{kind}{tail}"):
        return None
    try:
        origin = _ESCAPE.sub(lambda code: bytes.fromhex(code[1].decode()), tail.encode()).decode()
    except UnicodeDecodeError:
        return None
    return DerivedId(nonce, _number(index), _number(count), kind, origin)


def _two(value: int) -> str:
    return _DIGITS[value // 64] + _DIGITS[value % 64]


def _number(digits: str) -> int:
    return _VALUE[digits[0]] * 64 + _VALUE[digits[1]]


def _checksum(text: str) -> str:
    """One digit that depends on place and character, so that swaps change it, too."""
    total = 0
    for place, character in enumerate(text, start=1):
        total += place * ord(character)
    return _DIGITS[total % 64]
