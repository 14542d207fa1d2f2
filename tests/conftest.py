"""Shared by all tests."""

import functools
import gc
import re
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

from tests.telemetry import Telemetry

# A deadline would fail on a busy machine where nothing is wrong, so no profile has one.
# All but the last try the same examples in each run, so that what fails is what was changed.
# `make test`: few examples.
settings.register_profile("quick", deadline=None, max_examples=25, derandomize=True)
# `make coverage`, which CI runs: four times as many.
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True)
# `make test-fuzz`, which CI runs, too: many more bodies, and mistakes at more places.
settings.register_profile("thorough", deadline=None, max_examples=20_000, derandomize=True)
# `make explore`, by hand: other examples in each run.
settings.register_profile("explore", deadline=None, max_examples=100)
settings.load_profile("quick")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what uses an SDK; the quick profile leaves out what is marked as thorough."""
    for item in items:
        if _uses_an_sdk(item):
            item.add_marker("sdk")
    if config.getoption("--hypothesis-profile") in (None, "quick"):
        left_out = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("thorough")]


def _uses_an_sdk(item: pytest.Item) -> bool:
    """Whether another version of an SDK may change what a test finds.

    The fixture `caller` makes clients of an SDK; `web` and `threads` make those of the HTTP
    libraries, whose versions are the same in both environments. What has none of these uses an
    SDK if its file names one.
    """
    fixtures = set(getattr(item, "fixturenames", ()))
    if fixtures & {"caller", "web", "threads"}:
        return "caller" in fixtures
    return _names_an_sdk(item.path)


@functools.cache
def _names_an_sdk(path: Path) -> bool:
    return re.search(r"\b(openai|litellm)\b", path.read_text("utf-8"), re.IGNORECASE) is not None


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
_WITH_LITELLM = ["adapters/test_litellm*.py", "serve/test_litellm.py"]
collect_ignore_glob = [] if find_spec("litellm") else _WITH_LITELLM
