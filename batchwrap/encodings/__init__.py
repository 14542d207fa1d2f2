"""Tokenizer tables that are part of the package, so that counting never downloads anything.

`tiktoken` fetches its tables on first use. A request must not wait for that, or fail in a sandbox.
The two files beside this module hold OpenAI's published tables, token by token: how many there are
(four bytes), the length of each (one byte), and all of them, compressed by zlib. A token's rank is
its position. That is 1.4 MB in place of 5.3; a test writes the published files from them.
`docs/tokens.md` says which table is used for which model.
"""

from __future__ import annotations

import functools
import hashlib
import zlib
from collections.abc import Iterator
from importlib import resources
from typing import TYPE_CHECKING, Literal

from batchwrap._forks import LOADING

if TYPE_CHECKING:
    import tiktoken

EncodingName = Literal["o200k_base", "cl100k_base"]

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LEAD = r"[^\r\n\p{L}\p{N}]?"

# The SHA-256 of each uncompressed table, and the pattern that splits a text into words, which is
# from tiktoken's openai_public module.
_TABLES: dict[str, tuple[str, str]] = {
    "o200k_base": (
        "2f451f31d7403017d0b0dc6319ded23a09f33f573b1635c001fc6b91a1c21302",
        "|".join(
            [
                f"{_LEAD}{_UPPER}*{_LOWER}+{_CONTRACTIONS}",
                f"{_LEAD}{_UPPER}+{_LOWER}*{_CONTRACTIONS}",
                r"\p{N}{1,3}",
                r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
                r"\s*[\r\n]+",
                r"\s+(?!\S)",
                r"\s+",
            ]
        ),
    ),
    "cl100k_base": (
        "9ef8402c916638b4e5896df1b798958e6377ae5ee9ecce199388d117f2a44973",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
        r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    ),
}


_COUNT = 4  # bytes in front, which hold the number of tokens


@functools.cache
def load(name: EncodingName) -> tiktoken.Encoding:
    """Load a bundled encoding: 0.1-0.5 s the first time, then from memory.

    Raises:
        RuntimeError: the table in the installed package is damaged.
    """
    with LOADING:
        import tiktoken

        packed = (resources.files(__package__) / f"{name}.zlib").read_bytes()
    expected, pattern = _TABLES[name]
    try:
        table = zlib.decompress(packed)
    except zlib.error:
        table = b""
    if hashlib.sha256(table).hexdigest() != expected:
        raise RuntimeError(f"the tokenizer table {name} is damaged: reinstall batchwrap")
    ranks = {token: rank for rank, token in enumerate(_tokens(table))}
    return tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


def _tokens(table: bytes) -> Iterator[bytes]:
    """The tokens of an uncompressed table, in the order of their ranks."""
    at = _COUNT + int.from_bytes(table[:_COUNT], "big")
    for length in table[_COUNT:at]:
        yield table[at : at + length]
        at += length
