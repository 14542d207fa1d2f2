"""Checks what stands in a table (TOML) against annotations. An error names file and field."""

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

_WORDS: Mapping[Any, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
    dt.date: "a date",
}


@cache
def annotations_of(made: type) -> Annotations:
    """The fields of a dataclass, with what they hold."""
    hints = get_type_hints(made)
    return {field.name: hints[field.name] for field in fields(made)}


def checked(table: object, allowed: Annotations, at: str, *, needed: Iterable[str] = ()) -> Any:
    """The fields of a table, as the annotations have them: lists become tuples, or sets.

    Args:
        table: as it was read.
        allowed: all fields that there may be, with what they hold.
        at: where it stands: ``"own.toml: plans.team"``; of a whole file ``"own.toml: "``.
        needed: fields that must be there.

    Raises:
        ConfigError: it is no table, a field is unknown, is missing, or holds something else.
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
    """What is made of checked fields; its own objections name the place, too."""
    try:
        return make()
    except ConfigError as error:
        raise ConfigError("limits", f"{at}: {error}") from error


def refuse(at: str, problem: str) -> NoReturn:
    """Say what is wrong where."""
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
    if choices:  # optional: what is not said is left out
        return _value(value, choices[0], at)
    _be(value, annotation, at)
    if value == "":
        refuse(at, "'' is not a text with something in it")
    if annotation is float and not isfinite(value):
        refuse(at, f"{value} is not finite")
    if annotation is int and value < 0:
        refuse(at, f"{value} is below 0")
    return value


def _be(value: object, wanted: type, at: str) -> None:
    """`true` is no number here, a time no date."""
    if type(value) is not wanted and not (wanted is float and type(value) is int):
        refuse(at, f"{value!r} is not {_WORDS[wanted]}")
