"""Converts values of TOML, and texts of variables, into values of the options.

Only the shape is checked here. Whether a number or a name is allowed is checked by the dataclass
that it is given to, as in code; the error gets the place of the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from batchwrap.checks import nearest
from batchwrap.configuration.option_table import (
    SCALARS,
    OptionPath,
    hints_of,
    is_section,
    item_of,
    members,
    option_keys,
    value_of,
)
from batchwrap.errors import ConfigError
from batchwrap.options import default_of
from batchwrap.providers.fields import TYPE_WORDS
from batchwrap.toml_text import parsed

# Options of `batchwrap serve` that users look for in a file.
SERVE_ONLY = ("upstream", "host", "port", "workers")
_OFF, _ON = ("off", "false", "no", "none", "0"), ("on", "true", "yes", "1")


class BadValue(Exception):
    """A value does not fit its option.

    Attributes:
        path: the place of the value, or of the table that lacks one.
        problem: what is wrong, in words.
        option: the name of the option in code, if its dataclass has refused it.
    """

    def __init__(self, path: OptionPath, problem: str, option: str = "") -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem
        self.option = option


def converted(value: Any, hint: Any, path: OptionPath) -> Any:
    """A value of TOML as a value of an option's type.

    Raises:
        BadValue: it does not fit.
    """
    types = members(hint)
    if value is False and NoneType in types and bool not in types:
        return None
    section = next(filter(is_section, types), None)
    if value is True and section is not None:
        value = {}
    if isinstance(value, dict):
        if section is not None:
            return made(section, value, path)
        for inner in filter(None, map(value_of, types)):
            return {name: converted(it, inner, (*path, name)) for name, it in value.items()}
    if isinstance(value, list | tuple):
        for inner in filter(None, map(item_of, types)):
            return tuple(converted(it, inner, (*path, at)) for at, it in enumerate(value))
    if type(value) in _scalars(types):
        return value
    raise BadValue(path, _unfit(value, types))


def made(section: Any, table: Mapping[str, Any], path: OptionPath) -> Any:
    """A dataclass made of a table.

    Raises:
        BadValue: a key is unknown or missing, or a value does not fit.
    """
    hints = hints_of(section)
    check_names(table, hints, path)
    for one in fields(section):
        if one.name not in table and default_of(one) is MISSING:
            raise BadValue(path, f"{one.name!r} is missing")
    given = {name: converted(it, hints[name], (*path, name)) for name, it in table.items()}
    try:
        return section(**given)
    except ConfigError as error:
        blamed = (*path, *_blamed(error.option, table))
        raise BadValue(blamed, error.problem, error.option) from error


def _blamed(option: str, table: Mapping[str, Any]) -> OptionPath:
    """The key that an error of a dataclass names: ``Batching.tools['ls']``; empty if it has none.

    >>> _blamed("Batching.tools['ls']", {"tools": {"ls": "reed"}})
    ('tools', 'ls')
    """
    field, bracket, item = option.partition(".")[2].partition("['")
    if field not in table:
        return ()
    return (field, item.removesuffix("']")) if bracket else (field,)


def check_names(table: Iterable[str], known: Iterable[str], path: OptionPath) -> None:
    """Check that all keys of a table exist.

    Raises:
        BadValue: one does not.
    """
    known = tuple(known)
    for name in table:
        if name not in known:
            raise BadValue((*path, name), f"no such option{_meant(name, known)}")


def _meant(name: str, known: Sequence[str]) -> str:
    """A question that names an option with a similar name, or of the same name elsewhere."""
    elsewhere = [option.key for option in option_keys() if option.path[-1] == name]
    if name in SERVE_ONLY:
        return of_serve(name)
    if similar := nearest(name, known):
        return similar
    return f"; did you mean {elsewhere[0]!r}?" if elsewhere else f"; there are: {', '.join(known)}"


def of_serve(name: str) -> str:
    """The end of a message about an option that only the command line of `serve` has."""
    return f"; it is given on the command line: batchwrap serve --{name} …"


def read_text(text: str, types: Sequence[Any], *, is_optional: bool) -> Any:
    """The text of a variable as a value of TOML; a text that does not fit stays as it is.

    Raises:
        ValueError: it begins as a table or a list in TOML does, and is none.
    """
    word = text.strip().lower()
    has_table = any(map(is_section, types))
    if is_optional and word in (*_OFF, ""):
        return False
    if (bool in types or has_table) and word in (*_OFF, *_ON):
        return word in _ON
    if text.lstrip().startswith(("{", "[")) and not set(types) <= {str}:
        return parsed(f"value = {text}")["value"]
    if any(map(value_of, types)):
        return {name.strip(): it.strip() for name, _, it in _pairs(text)}
    if str not in types and any(map(item_of, types)):
        return [part.strip() for part in text.split(",") if part.strip()]
    for kind in (int, float):
        if kind in types:
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _pairs(text: str) -> Iterable[tuple[str, str, str]]:
    """The pairs of ``name=kind,name=kind``."""
    return (part.partition("=") for part in text.split(",") if part.strip())


def _scalars(types: Iterable[Any]) -> set[type]:
    """The exact types that a single value may have: `true` is not a number here."""
    found: set[type] = set()
    for kind in types:
        if get_origin(kind) is Literal:
            found.update(map(type, get_args(kind)))
        elif kind in SCALARS:
            found.update((float, int) if kind is float else (kind,))
    return found


def _unfit(value: object, types: Sequence[Any]) -> str:
    scalars = _scalars(types)
    if float in scalars:
        scalars.discard(int)  # a whole number is a number
    words = [TYPE_WORDS[one] for one in SCALARS if one in scalars]
    words += [TYPE_WORDS[list]] * any(map(item_of, types))
    words += [TYPE_WORDS[dict]] * any(is_section(one) or value_of(one) for one in types)
    if not words:
        return "is a function or an object; it can only be set in code"
    return f"{value!r} is not {' or '.join(words)}"
