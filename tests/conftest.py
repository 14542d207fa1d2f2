"""Shared by all tests."""

import gc
import signal
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from hypothesis import settings

from tests.telemetry import Telemetry

# A deadline would fail on a busy machine where nothing is wrong, so no profile has one.
# `make test`: few examples, and the same ones in each run, so that what fails is what was changed.
settings.register_profile("quick", deadline=None, max_examples=25, derandomize=True)
# `make coverage`, which CI runs: four times as many, and different ones in each run.
settings.register_profile("ci", deadline=None, max_examples=100)
# `make test-fuzz`, which CI runs, too: many more bodies, and mistakes at more places.
settings.register_profile("thorough", deadline=None, max_examples=20_000)
settings.load_profile("quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The quick profile leaves out the tests that are marked as thorough."""
    if config.getoption("--hypothesis-profile") in (None, "quick"):
        left_out = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]


def pytest_collection_finish() -> None:
    """What was loaded until now is never garbage; looking at all of it takes a third of a second.

    Dozens of tests have the garbage collected, to see what of their own is still there.
    """
    gc.collect()
    gc.freeze()


# Some tests send it. What a shell starts in the background ignores it, and so would all children.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Async tests run on both event loops."""
    backend: str = request.param
    return backend


@pytest.fixture(scope="session")
def the_telemetry() -> Iterator[Telemetry]:
    """The one of the process."""
    pytest.importorskip("opentelemetry.sdk")
    telemetry = Telemetry()
    yield telemetry
    telemetry.end()


@pytest.fixture
def telemetry(the_telemetry: Telemetry) -> Telemetry:
    """The same, with nothing in it yet."""
    the_telemetry.begin()
    return the_telemetry


# litellm wants openai 2.x, so it lives in an environment of its own (see the Makefile).
collect_ignore_glob = [] if find_spec("litellm") else ["adapters/test_litellm*.py"]
