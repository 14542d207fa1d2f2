"""Checks of options. A wrong option raises an error that names it, when it is passed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from sys import float_info

from batchwrap.errors import ConfigError

# The beginnings of the URLs that name a store.
_STORES = ("sqlite:", "redis://", "rediss://", "unix://", "redis+", "rediss+")


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
        raise ConfigError(option, f"{value!r} is not a string")
    try:
        re.compile(value)
    except re.error as error:
        raise ConfigError(option, f"{value!r} is not a regular expression: {error}") from error


def number(
    option: str, value: object, *, least: float, above: bool = False, most: float | None = None
) -> None:
    """Check that a value is a finite number, at least so large or above that, and not too large.

    Raises:
        ConfigError: it is not.
    """
    # `isfinite` would fail with whole numbers that are larger than any float.
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not abs(value) <= float_info.max
    ):
        raise ConfigError(option, f"{value!r} is not a finite number")
    if value < least or (above and value == least):
        raise ConfigError(option, f"{value!r} is not {'above' if above else 'at least'} {least:g}")
    if most is not None and value > most:
        raise ConfigError(option, f"{value!r} is not at most {most:g}")


def whole(option: str, value: object, *, least: int) -> None:
    """Check that a value is a whole number, and at least so large.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(option, f"{value!r} is not a whole number")
    number(option, value, least=least)


def all_are(option: str, values: object, kind: type) -> None:
    """Check that a value is a list of objects of one class.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ConfigError(option, f"{values!r} is not a list")
    for value in values:
        if not isinstance(value, kind):
            raise ConfigError(option, f"{value!r} is not a {kind.__name__}")


def store_url(option: str, value: object) -> None:
    """Check that a value names a store: ``"memory"``, or a URL of SQLite or Redis.

    Raises:
        ConfigError: it does not. The error does not repeat the URL, since it may hold a password.
    """
    if not isinstance(value, str):
        raise ConfigError(option, f"{value!r} is not a string")
    if value != "memory" and not value.startswith(_STORES):
        raise ConfigError(option, 'is none of "memory", "sqlite:///path" and "redis://host"')
