"""A browser for all tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.serve.live_page.browser import Browser, browsing


@pytest.fixture(scope="module")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests, since it takes a while to start."""
    with browsing(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def browser(shared_browser: Browser) -> Browser:
    """A browser as wide as a desktop that has seen nothing yet."""
    shared_browser.forget()
    shared_browser.look(width=1_280)
    return shared_browser
