"""What the tests with real models need, and two servers at a time that render the catalogue."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.real_models import chat_templates, small_model

_missing = [*small_model.missing(), *([] if chat_templates.templates() else ["chat templates"])]
if _missing and "BATCHWRAP_TEST_MODEL" in os.environ:  # CI says so: there, nothing is skipped
    raise pytest.UsageError(f"missing: {', '.join(_missing)}; `make test-model` brings them along")
collect_ignore_glob = ["test_[!c]*.py"] if _missing else []


def pytest_report_header() -> str:
    """What is left out, and why."""
    return f"real models: without {', '.join(_missing)} (make test-model)" if _missing else ""


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first layer of the small model."""
    return small_model.first_layer(tmp_path_factory.mktemp("weights") / "first-layer.gguf")


@pytest.fixture(scope="session")
def findings(weights: Path) -> Iterator[Callable[[Path], object]]:
    """What is found out under a template. The first test that asks for it starts all of them."""
    from tests.real_models.conversations import conversations
    from tests.real_models.rendering import find_out

    conversations()  # once, before two threads want them
    with ThreadPoolExecutor(2) as servers:
        found = {one: servers.submit(find_out, weights, one) for one in chat_templates.templates()}
        try:
            yield lambda template: found[template].result()
        finally:
            servers.shutdown(cancel_futures=True)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test that takes a template runs under all of them."""
    if "template" in metafunc.fixturenames:
        found = chat_templates.templates()
        metafunc.parametrize("template", found, ids=[one.stem for one in found])
