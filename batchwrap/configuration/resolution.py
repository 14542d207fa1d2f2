"""The options in effect, and where each comes from: a command line over variables over a file.

The layers are merged key by key and converted into `Options` at once. A preset is a layer below
that of the source that names it. What was converted is kept until a variable or the file changes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Unpack

from batchwrap.checks import one_of
from batchwrap.configuration import config_file
from batchwrap.configuration.config_file import FileState
from batchwrap.configuration.conversion import BadValue, check_names, converted
from batchwrap.configuration.layers import (
    CONFIG,
    FileLayer,
    Layer,
    PresetLayer,
    Table,
    TypedLayer,
    VariableLayer,
    Variables,
    our_variables,
)
from batchwrap.configuration.option_table import SHORT, OptionKey, OptionPath, hints_of, option_keys
from batchwrap.errors import ConfigError
from batchwrap.option_arguments import PRESETS, OptionArguments, combine
from batchwrap.options import Options
from batchwrap.providers import plan

_log = logging.getLogger("batchwrap")
_PRESET = "preset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """The options that were set without code.

    Attributes:
        options: they, and the defaults for what was not set.
        file: the file that was read; None if there is none.
        origins: where each of them comes from, in words, by its path.
    """

    options: Options
    file: Path | None
    origins: Mapping[OptionPath, str]

    def value(self, option: OptionKey) -> Any:
        """The value of an option; None where its section is switched off."""
        value: Any = self.options
        for name in option.path:
            value = getattr(value, name, None)
        return value

    def origin(self, option: OptionKey) -> str:
        """Where it comes from; empty for a default."""
        length = len(option.path)
        below = [it for path, it in self.origins.items() if path[:length] == option.path]
        return ", ".join(dict.fromkeys(below if option.section is None else below[:1]))

    def given(self) -> list[OptionKey]:
        """The options that were set somewhere, and the sections that were switched on or off."""
        return [option for option in self.listed() if self.origin(option)]

    def listed(self) -> list[OptionKey]:
        """All options with values of their own; a section only if it was switched on or off."""
        return [option for option in option_keys() if self._has_value(option)]

    def _has_value(self, option: OptionKey) -> bool:
        if option.path == (_PRESET,) or option.key in SHORT or option.is_code:
            return False
        value: Any = self.options
        for name in option.path[:-1]:
            value = getattr(value, name)
            if value is None:
                return False
        is_on = self.value(option) is not None
        return option.section is None or not is_on or option.default is None


def configured(
    config: str | os.PathLike[str] | None = "auto", typed: Table | None = None
) -> Configured:
    """Read the file and the variables.

    Args:
        config: the file; ``"auto"`` for the one that `BATCHWRAP_CONFIG` names, or else the one
            that is found; None for neither a file nor variables.
        typed: options of a command line as a file would have them, which win over both.

    Raises:
        ConfigError: something is wrong; the error names the file, line and key, or the variable.
    """
    if config is None:
        return _resolved(None, (), typed)
    file, variables = _file(config), our_variables()
    return _resolved(file, variables, typed) if typed else _kept(file, variables)


def options_for(**given: Unpack[OptionArguments]) -> Options:
    """The options that were passed to `wrap` or the like, and below them the configured ones.

    Raises:
        ConfigError: an option is wrong, or something in the file or in a variable is.
        TypeError: an option does not exist.
    """
    return combine(configured(given.get("config", "auto")).options, **given)


def _file(config: str | os.PathLike[str]) -> FileState | None:
    if config != "auto":
        return config_file.named_file(config, "config")
    named = os.environ.get(CONFIG)
    if not named:
        return config_file.found_file()
    return None if named.lower() == "off" else config_file.named_file(named, CONFIG)


@lru_cache(maxsize=16)
def _kept(file: FileState | None, variables: Variables) -> Configured:
    if file is not None:
        _log.info("options from %s", file.path)
    return _resolved(file, variables)


def _resolved(
    file: FileState | None, variables: Variables, typed: Table | None = None
) -> Configured:
    layers: list[Layer] = []
    if file is not None:
        layers.append(FileLayer(file))
    layers.append(VariableLayer(variables))
    if typed:
        layers.append(TypedLayer(typed))
    merged: Table = {}
    owners: dict[OptionPath, Layer] = {}
    for layer in _with_preset(layers):
        _merge(merged, layer.table, (), layer, owners)
    try:
        options = _options(merged)
    except BadValue as bad:
        raise _refusal(bad, _owner(bad.path, owners, layers[-1])) from bad
    return Configured(
        options=options,
        file=None if file is None else file.path,
        origins={path: layer.place(path) for path, layer in owners.items()},
    )


def _with_preset(layers: list[Layer]) -> list[Layer]:
    """The layers, with the preset below the last one that names one."""
    named = [(at, it.table.pop(_PRESET)) for at, it in enumerate(layers) if _PRESET in it.table]
    if not named or named[-1][1] is False:
        return layers
    at, name = named[-1]
    try:
        one_of(_PRESET, name, tuple(PRESETS))
    except ConfigError as error:
        raise layers[at].refusal(BadValue((_PRESET,), error.problem, _PRESET)) from error
    return [*layers[:at], PresetLayer(name, PRESETS[name], layers[at]), *layers[at:]]


def _merge(
    into: Table, table: Table, path: OptionPath, layer: Layer, owners: dict[OptionPath, Layer]
) -> None:
    for name, value in table.items():
        here = (*path, name)
        if not isinstance(value, dict):
            if name in into:
                for below in [it for it in owners if it[: len(here)] == here]:
                    del owners[below]
            into[name], owners[here] = value, layer
            continue
        if not isinstance(into.get(name), dict):
            into[name], owners[here] = {}, layer
        _merge(into[name], value, here, layer, owners)


def _options(merged: Table) -> Options:
    hints = hints_of(OptionArguments)
    check_names(merged, [it.key for it in option_keys() if len(it.path) == 1], ())
    options = Options(**{name: converted(it, hints[name], (name,)) for name, it in merged.items()})
    limits = options.throttle and options.throttle.limits
    if isinstance(limits, str) and limits != "auto":
        try:
            plan(limits)
        except ConfigError as error:
            raise BadValue(("throttle", "limits"), error.problem, error.option) from error
    return options


def _owner(path: OptionPath, owners: Mapping[OptionPath, Layer], last: Layer) -> Layer:
    while path and path not in owners:
        path = path[:-1]
    return owners.get(path, last)


def _refusal(bad: BadValue, layer: Layer) -> ConfigError:
    """The error of a layer, without a value that nobody may see.

    The dataclasses do not repeat such a value in their own errors.
    """
    secret = (it for it in option_keys() if it.is_secret and not it.is_code)
    if not bad.option and any(bad.path[: len(it.path)] == it.path for it in secret):
        bad = BadValue(bad.path, "does not fit; its value is not shown")
    return layer.refusal(bad)
