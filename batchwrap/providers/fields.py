"""Checks the fields of a TOML table against annotations. An error names the file and the field."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import cache
from math import isfinite
from types import NoneType
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from batchwrap.errors import ConfigError

Annotations = Mapping[str, Any]
T = TypeVar("T")

TYPE_WORDS: Mapping[Any, str] = {
    str: "a string",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
    dt.date: "a date",
}


@cache
def annotations_of(made: type) -> Annotations:
    """The fields of a dataclass, with their types."""
    hints = get_type_hints(made)
    return {field.name: hints[field.name] for field in fields(made)}


def checked(table: object, allowed: Annotations, at: str, *, needed: Iterable[str] = ()) -> Any:
    """The fields of a table in the types of the annotations: lists become tuples, or sets.

    Args:
        table: the table as it was read.
        allowed: all allowed fields, with their types.
        at: the place of the table: ``"own.toml: plans.team"``; ``"own.toml: "`` for a file.
        needed: the fields that are required.

    Raises:
        ConfigError: it is not a table, or a field is unknown, missing or of the wrong type.
    """
    if not isinstance(table, dict):
        refuse(at, f"{table!r} is not a table")
    inside = at if at.endswith(" ") else f"{at}."
    for name in table:
        if name not in allowed:
            refuse(f"{inside}{name}", f"no such field; there are: {', '.join(sorted(allowed))}")
    for name in needed:
        if name not in table:
            refuse(f"{inside}{name}", "is missing")
    return {name: _value(it, allowed[name], f"{inside}{name}") for name, it in table.items()}


def made(make: Callable[[], T], at: str) -> T:
    """Make an object of checked fields; if that raises a `ConfigError`, add the place to it."""
    try:
        return make()
    except ConfigError as error:
        raise ConfigError("limits", f"{at}: {error}") from error


def refuse(at: str, problem: str) -> NoReturn:
    """Raise the error for a place.

    Raises:
        ConfigError: always.
    """
    raise ConfigError("limits", f"{at}: {problem}")


def _value(value: Any, annotation: Any, at: str) -> Any:
    choices = [one for one in get_args(annotation) if one is not NoneType]
    container = get_origin(annotation)
    if container is Literal:
        if value not in choices:
            refuse(at, f"{value!r} is not one of {', '.join(map(repr, choices))}")
        return value
    if container in (tuple, frozenset):
        _be(value, list, at)
        return container(_value(item, choices[0], at) for item in value)
    if choices:  # an optional field: TOML has no null, so a missing value is left out
        return _value(value, choices[0], at)
    _be(value, annotation, at)
    if value == "":
        refuse(at, "'' is an empty string")
    if annotation is float and not isfinite(value):
        refuse(at, f"{value} is not finite")
    if annotation is int and value < 0:
        refuse(at, f"{value} is below 0")
    return value


def _be(value: object, wanted: type, at: str) -> None:
    """Check the exact type: `true` is not a number here, and a time is not a date."""
    if type(value) is not wanted and not (wanted is float and type(value) is int):
        refuse(at, f"{value!r} is not {TYPE_WORDS[wanted]}")
