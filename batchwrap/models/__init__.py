"""Facts about families of models, as a dated data file: `families.toml` beside this module."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from batchwrap._forks import LOADING
from batchwrap.core.model import Model


@lru_cache(maxsize=256)
def model_facts(name: str) -> Model:
    """The facts about a model; of several matching entries, the first one counts for each fact."""
    # Without the prefixes of gateways: `openrouter/qwen/qwen3-coder` is `qwen3-coder`.
    short = name.lower().rsplit("/", 1)[-1]
    found = [
        family
        for family in _families()
        if any(fnmatchcase(short, pattern) for pattern in family["match"])
    ]
    unsupported: dict[Any, Any] = {}
    for family in reversed(found):
        unsupported |= family.get("unsupported", {})
    return Model(next((one["thinks"] for one in found if "thinks" in one), False), unsupported)


@cache
def _families() -> list[dict[str, Any]]:
    with LOADING:
        text = resources.files(__package__).joinpath("families.toml").read_text(encoding="utf-8")
    families: list[dict[str, Any]] = tomllib.loads(text)["family"]
    return families
