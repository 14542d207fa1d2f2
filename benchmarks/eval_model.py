"""`make eval-model`: how a real model answers, from a file or at an endpoint.

``MODEL`` is a GGUF file, or a model of `benchmarks/data/models.toml`, and llama.cpp's server is
started for it; with ``--base-url`` it is the name of a model at that endpoint. All else is
`batchwrap eval --answers`, whose options may follow.
"""

from __future__ import annotations

import argparse
import struct
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from benchmarks.llama_server import LlamaServer, LlamaServerError
from benchmarks.model_weights import WeightsError, known_model, weights

_MARKERS = ("<tool_call>", "</tool_call>")
_TEMPLATE = b"tokenizer.chat_template"
_HEAD = 64 << 20  # the template is among the metadata at the beginning of the file


def main(arguments: Sequence[str] | None = None) -> None:
    """Start a server if one is needed, and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("model", help="a GGUF file, a known model, or a model of the endpoint")
    parser.add_argument("--base-url", help="an endpoint; no server is started")
    parser.add_argument("--template", type=Path, help="a chat template instead of the model's own")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("build/models"), help="for weights")
    options, others = parser.parse_known_args(arguments)
    if options.base_url:
        _evaluate(options.base_url, options.model, others)
        return
    try:
        path, template = _model(options.model, options.folder)
        template = options.template.read_text() if options.template else template
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "template.jinja"
            written.write_text(template or "")
            with LlamaServer(
                path, template=written if template else None, threads=options.threads
            ) as server:
                _evaluate(f"{server.url}/v1", path.stem, others)
    except (LlamaServerError, WeightsError, OSError) as error:
        raise SystemExit(f"eval-model: {error}") from error


def _model(name: str, folder: Path) -> tuple[Path, str | None]:
    """The file of a model, and the chat template that replaces its own."""
    if (path := Path(name)).is_file():
        return path, None
    model = known_model(name)
    folder.mkdir(parents=True, exist_ok=True)
    path = weights(model, folder)
    if model.call_markers is None:
        return path, None
    with path.open("rb") as file:
        template = chat_template(file)
    for own, other in zip(_MARKERS, model.call_markers, strict=True):
        template = template.replace(own, other)
    return path, template


def chat_template(file: BinaryIO) -> str:
    """The chat template in the metadata of a GGUF file.

    A text is its length in 8 bytes and then its bytes; the key comes first, then 8 as the type.

    Raises:
        WeightsError: there is none.
    """
    head = file.read(_HEAD)
    at = head.find(struct.pack("<Q", len(_TEMPLATE)) + _TEMPLATE + struct.pack("<I", 8))
    if at < 0:
        raise WeightsError("the file has no chat template: give one with --template")
    start = at + 8 + len(_TEMPLATE) + 4
    (length,) = struct.unpack_from("<Q", head, start)
    return head[start + 8 : start + 8 + length].decode()


def _evaluate(base_url: str, model: str, others: Sequence[str]) -> None:
    from batchwrap.cli import main as command

    is_said = any(word.partition("=")[0] == "--answers" for word in others)
    kinds = [] if is_said else ["--answers", "all"]
    sys.argv = ["batchwrap", "eval", "--base-url", base_url, "--model", model, *kinds, *others]
    command()


if __name__ == "__main__":
    main()
