"""Checks of options. A wrong option raises an error that names it, when it is passed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

from batchwrap.errors import ConfigError


def one_of(option: str, value: object, allowed: tuple[object, ...]) -> None:
    """Check that a value is one of those that are allowed.

    Raises:
        ConfigError: it is not.
    """
    if value not in allowed:
        names = ", ".join(repr(name) for name in allowed)
        near = nearest(value, [name for name in allowed if isinstance(name, str)])
        raise ConfigError(option, f"{value!r} is not one of {names}{near}")


def nearest(value: object, allowed: Iterable[str]) -> str:
    """The end of a message that names what was probably meant; empty if nothing is similar.

    >>> nearest("Fats", ["fast", "careful"])
    "; did you mean 'fast'?"
    """
    names = {name.lower(): name for name in allowed}
    near = get_close_matches(value.lower(), names, n=1) if isinstance(value, str) else []
    return "".join(f"; did you mean {names[name]!r}?" for name in near)


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
