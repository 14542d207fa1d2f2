"""code-puppy with a wrapped client, as a model type of its own; its agent and tools as they are.

    python examples/frameworks/with_code_puppy.py "Read a.py and b.py and compare them."

It works in the current folder and talks to whatever OPENAI_BASE_URL, OPENAI_API_KEY and MODEL say.
The two callbacks can also stand in a plugin, ~/.code_puppy/plugins/NAME/register_callbacks.py.
"""

import os
import sys
from typing import Any

from code_puppy.callbacks import register_callback
from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import batchwrap

CLIENT = batchwrap.wrap(AsyncOpenAI())


def model_types() -> list[dict[str, Any]]:
    """How a model of type "batchwrap" is made."""

    def make(name: str, settings: dict[str, Any], models: dict[str, Any]) -> OpenAIChatModel:
        return OpenAIChatModel(settings["name"], provider=OpenAIProvider(openai_client=CLIENT))

    return [{"type": "batchwrap", "handler": make}]


def models() -> dict[str, Any]:
    """The models of that type."""
    name = os.environ["MODEL"]
    return {"wrapped": {"type": "batchwrap", "name": name, "context_length": 128_000}}


register_callback("register_model_type", model_types)
register_callback("load_models_config", models)

if __name__ == "__main__":
    from code_puppy.main import main_entry

    sys.argv[1:] = ["--model", "wrapped", "--prompt", sys.argv[-1]]
    try:
        main_entry()
    finally:
        print(batchwrap.stats(CLIENT))
