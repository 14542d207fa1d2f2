"""What is known of models by their names."""

import pytest

from batchwrap.core.model import Model
from batchwrap.models import model_facts


@pytest.mark.parametrize(
    ("name", "thinks"),
    [
        ("gpt-oss-120b", True),
        ("openai/gpt-oss-120b", True),
        ("o4-mini", True),
        ("gpt-5.1", True),
        ("gpt-5-chat-latest", False),
        ("gpt-4o", False),
        ("zai-glm-4.7", True),
        ("qwen-3-32b", True),
        ("qwen-3-235b-a22b-instruct-2507", False),
        ("Qwen/Qwen3-235B-A22B-Thinking-2507", True),
        ("qwen-3-coder-480b", False),
        ("deepseek-ai/DeepSeek-R1", True),
        ("kimi-k2-thinking", True),
        ("grok-4-fast-non-reasoning", False),
        ("llama-3.3-70b", False),
        ("claude-sonnet-4-5", False),
        ("claude-sonnet-5-5", True),
        ("anthropic/claude-fable-5-1", True),
        ("", False),
    ],
)
def test_models_that_think(name: str, thinks: bool) -> None:
    """Reasoning models are known, their variants without reasoning too; others do not think."""
    assert model_facts(name).thinks is thinks


def test_places_of_messages() -> None:
    """Of several entries that fit, each fact is taken from the first that has it."""
    assert model_facts("mistralai/Devstral-Small-2507").unsupported["user_after_tool"] == "refused"
    assert model_facts("gemma-3-27b-it").unsupported["user_after_user"] == "refused"
    assert model_facts("qwen3-coder-30b") == Model(unsupported={"late_system": "refused"})
    assert model_facts("gpt-oss-120b").unsupported == {"late_system": "dropped"}
    qwen = {"late_system": "refused", "user_after_tool": "reasoning"}
    assert model_facts("Qwen/Qwen3.5-4B").unsupported == qwen
    assert model_facts("gemma-4-31b-it").unsupported["user_after_tool"] == "reasoning"
    assert model_facts("gpt-4o").unsupported == {}
