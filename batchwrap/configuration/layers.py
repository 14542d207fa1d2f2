"""The sources of options as layers: a table as in a file, and the place of each of its values."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol

from batchwrap.checks import nearest
from batchwrap.configuration import config_file
from batchwrap.configuration.config_file import FileState
from batchwrap.configuration.conversion import SERVE_ONLY, BadValue, of_serve, read_text
from batchwrap.configuration.option_table import PREFIX, SHORT, OptionKey, OptionPath, option_keys
from batchwrap.errors import ConfigError
from batchwrap.options import changed_fields

Table = dict[str, Any]
Variables = tuple[tuple[str, str], ...]
CONFIG = f"{PREFIX}CONFIG"
_OTHERS = frozenset({CONFIG, f"{PREFIX}TOKEN"})
# What the project's own tests use; and what Kubernetes and Docker set in every container beside a
# service that is called "batchwrap".
_FOREIGN = re.compile(rf"{PREFIX}(?:TEST_|SERVICE_(?:HOST|PORT)|PORT(?:_|$)|(?:ENV|NAME)(?:_|$))")
_SQLITE = "sqlite:///"
_TOOLS = ("batching", "tools")


class Layer(Protocol):
    """One source of options.

    Attributes:
        table: its options as a file would have them.
    """

    table: Table

    def place(self, path: OptionPath) -> str:
        """Where it sets the option of a path, in words."""
        ...

    def refusal(self, bad: BadValue) -> ConfigError:
        """The error for a value of its own that does not fit."""
        ...


class FileLayer:
    """A file.

    Raises:
        ConfigError: it cannot be read, or was only found and sets what a found file may not set.
    """

    def __init__(self, file: FileState) -> None:
        self._path = file.path
        self._short: Mapping[OptionPath, OptionPath] = {}
        self.table, self._text = config_file.read(file)
        if not file.is_named:
            self._check_trust()
        self._short = spell_out(self.table, self.refusal)
        self._make_absolute(file.path.absolute().parent)

    @cached_property
    def _lines(self) -> Mapping[OptionPath, int]:
        return config_file.lines_of(self._text)

    def place(self, path: OptionPath) -> str:
        """The file and the line."""
        path = self._as_written(path)
        while path and path not in self._lines:
            path = path[:-1]
        return f"{self._path}:{self._lines[path]}" if path else str(self._path)

    def refusal(self, bad: BadValue) -> ConfigError:
        """The error, which names the file, the line and the key."""
        key = written(self._as_written(bad.path))
        return ConfigError(f"{self.place(bad.path)}: {key}", bad.problem)

    def _as_written(self, path: OptionPath) -> OptionPath:
        """A path with the short name that the file uses for its beginning."""
        for place, short in self._short.items():
            if path[: len(place)] == place:
                return (*short, *path[len(place) :])
        return path

    def _check_trust(self) -> None:
        """Refuse what could send something elsewhere: the working folder may be anybody's."""
        for option in option_keys():
            value = looked_up(self.table, option.path)
            is_guarded = option.needs_named_file or _is_own_plan(option, value)
            if value is not None and is_guarded:
                raise self._distrusted(option.path)
        tools = looked_up(self.table, _TOOLS)
        for name, kind in tools.items() if isinstance(tools, dict) else ():
            # Calls of such a tool may be added to the model's own, whatever the tool really does.
            if (kind.get("kind") if isinstance(kind, dict) else kind) == "read":
                raise self._distrusted((*_TOOLS, name))

    def _distrusted(self, path: OptionPath) -> ConfigError:
        problem = (
            "is not read from a file that was only found in a folder; if you trust the file, "
            f"name it: {CONFIG}={self._path}"
        )
        return self.refusal(BadValue(path, problem))

    def _make_absolute(self, folder: Path) -> None:
        """Paths in a file are relative to its folder, and not to where the program was started."""
        for option in option_keys():
            text = looked_up(self.table, option.path)
            if isinstance(text, str) and str in option.types:
                prefix = _SQLITE if text.startswith(_SQLITE) else ""
                bare = text.removeprefix(prefix)
                if (prefix or _is_own_plan(option, bare)) and not bare.startswith("~"):
                    _put(self.table, option.path, f"{prefix}{folder / bare}")


def _is_own_plan(option: OptionKey, value: object) -> bool:
    """Whether a value names a plan in a file of the user's."""
    return option.path[-1] == "limits" and isinstance(value, str) and ".toml" in value


class VariableLayer:
    """The variables of the environment.

    Raises:
        ConfigError: a variable names no option, or begins a table of TOML that is none.
    """

    def __init__(self, variables: Variables) -> None:
        self.table: Table = {}
        self._names: dict[OptionPath, str] = {}
        for name, text in variables:
            option = _by_variable().get(name)
            if option is None:
                bare = name.removeprefix(PREFIX).lower()
                near = nearest(name, (*_by_variable(), *_OTHERS))
                hint = of_serve(bare) if bare in SERVE_ONLY else near
                raise ConfigError(name, f"names no option{hint}")
            path = SHORT.get(option.key, option.path)
            try:
                value = read_text(text, option.types, is_optional=option.is_optional)
            except (ValueError, RecursionError) as error:
                raise ConfigError(name, f"is not a value of TOML: {error}") from error
            _put(self.table, path, value)
            self._names[path] = name
            for length in range(1, len(path)):  # an error may name the section as a whole
                self._names.setdefault(path[:length], name)

    def place(self, path: OptionPath) -> str:
        """The variable."""
        return self._names[self._named(path)]

    def _named(self, path: OptionPath) -> OptionPath:
        """The longest part of a path that a variable names."""
        return next(path[:it] for it in range(len(path), 0, -1) if path[:it] in self._names)

    def refusal(self, bad: BadValue) -> ConfigError:
        """The error, which names the variable."""
        named = self._named(bad.path)
        within = written(bad.path[len(named) :])  # of a table or a list in the variable
        problem = f"{within}: {bad.problem}" if within else bad.problem
        return ConfigError(self._names[named], problem)


class TypedLayer:
    """The options of a command line, whose errors have the names of the options in code."""

    def __init__(self, table: Table) -> None:
        self.table = table
        spell_out(table, self.refusal)

    def place(self, path: OptionPath) -> str:
        """The command line."""
        return "the command line"

    def refusal(self, bad: BadValue) -> ConfigError:
        """The error, as code would get it."""
        return ConfigError(bad.option or written(bad.path), bad.problem)


class PresetLayer:
    """What a preset changes, below the layer that names it."""

    def __init__(self, name: str, parts: Mapping[str, Any], layer: Layer) -> None:
        self.table = {part: as_table(it) for part, it in parts.items()}
        self._name = name
        self._layer = layer

    def place(self, path: OptionPath) -> str:
        """The preset, and who names it."""
        return f'preset "{self._name}", {self._layer.place(("preset",))}'

    def refusal(self, bad: BadValue) -> ConfigError:
        """The error of the layer that names it."""
        return self._layer.refusal(BadValue(("preset",), bad.problem, bad.option))


def our_variables() -> Variables:
    """The variables that are for options, sorted: a section before its fields.

    An empty one counts as not set, as it is written in many files for containers.
    """
    ours = ((name, text) for name, text in os.environ.items() if name.startswith(PREFIX))
    return tuple(sorted(it for it in ours if it[1] and not _is_foreign(it[0])))


def _is_foreign(name: str) -> bool:
    return name in _OTHERS or _FOREIGN.match(name) is not None


@cache
def _by_variable() -> Mapping[str, OptionKey]:
    return {option.variable: option for option in option_keys()}


def spell_out(table: Table, refusal: Any) -> dict[OptionPath, OptionPath]:
    """Move the options with short names to their places.

    Returns:
        The short name of each place that was moved to.
    """
    moved: dict[OptionPath, OptionPath] = {}
    for name, path in SHORT.items():
        if name in table:
            if table.get(path[0]) is False:
                raise refusal(BadValue((name,), f"given although {path[0]} is switched off"))
            _put(table, path, table.pop(name))
            moved[path] = (name,)
    return moved


def _put(table: Table, path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        inner = table.get(name)
        table[name] = table = inner if isinstance(inner, dict) else {}
    table[path[-1]] = value


def looked_up(table: Any, path: Iterable[str]) -> Any:
    """The value at a place; None if there is none."""
    for name in path:
        table = table.get(name) if isinstance(table, dict) else None
    return table


def as_table(part: Any) -> Table:
    """What differs from the defaults in an option's part, as a table."""
    changed = changed_fields(part)
    return {name: as_table(it) if is_dataclass(it) else it for name, it in changed.items()}


def written(path: OptionPath) -> str:
    """A path as it is written: ``reminders.directives[0].text``."""
    return "".join(f"[{it}]" if isinstance(it, int) else f".{it}" for it in path).removeprefix(".")
