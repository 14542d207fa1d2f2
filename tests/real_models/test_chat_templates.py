"""The archive with the chat templates: what is not what it was is said in one line."""

from pathlib import Path

import pytest

from tests.real_models.chat_templates import ARCHIVE, TemplatesError, model_of, unpack


def test_another_archive(tmp_path: Path) -> None:
    """One with another checksum is named, and nothing of it is unpacked."""
    archive = tmp_path / ARCHIVE
    archive.write_bytes(b"something else")
    with pytest.raises(TemplatesError, match=r"has the checksum .* remove it") as failed:
        unpack(archive, tmp_path / "templates")
    assert "\n" not in str(failed.value)
    assert not (tmp_path / "templates").exists()


@pytest.mark.parametrize(
    ("file", "model"),
    [
        ("openai-gpt-oss-120b.jinja", "gpt-oss-120b"),
        ("deepseek-ai-DeepSeek-V3.1.jinja", "deepseek-v3.1"),
        ("Qwen-Qwen3-0.6B.jinja", "qwen3-0.6b"),
        ("Qwen3.5-4B.jinja", "qwen3.5-4b"),
        ("unsloth-mistral-Devstral-Small-2507.jinja", "devstral-small-2507"),
    ],
)
def test_the_names_of_models(file: str, model: str) -> None:
    """The vendor before a model's name is left out."""
    assert model_of(Path(file)) == model
