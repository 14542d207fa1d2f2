"""Each file of tests runs in the environment that has its frameworks (see the Makefile)."""

from importlib.util import find_spec

_NEEDED = {
    "test_openai3.py": "pydantic_ai",
    "test_default_models.py": "pydantic_ai",
    "test_openai2.py": "crewai",
    "test_litellm.py": "aider",
}
collect_ignore = [file for file, package in _NEEDED.items() if not find_spec(package)]
