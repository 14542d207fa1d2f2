"""Tokenizer tables that are part of the package, so that counting never downloads anything.

`tiktoken` fetches its tables on first use. A request must not wait for that, or fail in a sandbox.
The two files beside this module are OpenAI's published tables, unchanged; their SHA-256 sums are
those that tiktoken checks. `docs/tokens.md` says which table is used for which model.
"""

from __future__ import annotations

import base64
import functools
import hashlib
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

# The SHA-256 of each table, and the pattern that splits a text into words; both are from
# tiktoken's openai_public module.
_TABLES: dict[str, tuple[str, str]] = {
    "o200k_base": (
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
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
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
        r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    ),
}


@functools.cache
def load(name: EncodingName) -> tiktoken.Encoding:
    """Load a bundled encoding: 0.1-0.5 s the first time, then from memory.

    Raises:
        RuntimeError: the table in the installed package is damaged.
    """
    with LOADING:
        import tiktoken

        table = (resources.files(__package__) / f"{name}.tiktoken").read_bytes()
    expected, pattern = _TABLES[name]
    if hashlib.sha256(table).hexdigest() != expected:
        raise RuntimeError(f"the tokenizer table {name} is damaged: reinstall batchwrap")
    ranks = {
        base64.b64decode(token): int(rank)
        for token, rank in (line.split() for line in table.splitlines())
    }
    return tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
