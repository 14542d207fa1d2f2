"""Checks of options. A wrong option raises an error that names it, when it is passed."""

from __future__ import annotations

import re

from batchwrap.errors import ConfigError


def one_of(option: str, value: object, allowed: tuple[object, ...]) -> None:
    """Check that a value is one of those that are allowed.

    Raises:
        ConfigError: it is not.
    """
    if value not in allowed:
        names = ", ".join(repr(name) for name in allowed)
        raise ConfigError(option, f"{value!r} is not one of {names}")


def pattern(option: str, value: object) -> None:
    """Check that a value is a regular expression.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, str):
        raise ConfigError(option, f"{value!r} is not a text")
    try:
        re.compile(value)
    except re.error as error:
        raise ConfigError(option, f"{value!r} is not a regular expression: {error}") from error
