"""Shared by all tests."""

import signal
from importlib.util import find_spec

import pytest
from hypothesis import settings

# Deadlines would fail on a busy machine, where nothing is wrong.
settings.register_profile("batchwrap", deadline=None)
# What CI runs beside it (`make test-fuzz`): many more bodies, and mistakes at more places.
settings.register_profile("thorough", deadline=None, max_examples=20_000)
settings.load_profile("batchwrap")

# Some tests send it. What a shell starts in the background ignores it, and so would all children.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Async tests run on both event loops."""
    backend: str = request.param
    return backend


# litellm wants openai 2.x, so it lives in an environment of its own (see the Makefile).
collect_ignore_glob = [] if find_spec("litellm") else ["adapters/test_litellm*.py"]
