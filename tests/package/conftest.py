"""The tests of what is published install packages from the index, over TLS."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def few_certificates() -> None:
    """The machine's certificates stay."""
