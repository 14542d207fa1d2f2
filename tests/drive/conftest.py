"""What the tests of the interpreter share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batchwrap.drive.interpreter import Interpreter


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Interpreter]:
    """One for all tests, as in a client."""
    interpreter = Interpreter()
    yield interpreter
    interpreter.close()
