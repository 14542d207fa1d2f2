"""The keyword arguments of `wrap`, `batched` and `install`, which `combine` turns into `Options`.

A preset, `limits` and `remind_every` are other ways to set fields of the options' parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from os import PathLike
from typing import Any, Literal, TypedDict, Unpack

from batchwrap.checks import nearest, one_of
from batchwrap.errors import ConfigError
from batchwrap.options import (
    Batching,
    EventHook,
    Limit,
    Options,
    ReadAhead,
    Reminders,
    Repair,
    Scripts,
    Throttle,
    changed_fields,
)

_KINDS: Mapping[str, type[Any]] = {
    "batching": Batching,
    "reminders": Reminders,
    "throttle": Throttle,
    "repair": Repair,
}
# The parts that differ from the defaults in each preset.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {
        "batching": Batching(
            offer="instead",
            read_ahead=ReadAhead(),
            scripts=Scripts() if find_spec("pydantic_monty") else None,
        ),
        "reminders": Reminders(every=4),
    },
    "careful": {"batching": Batching(max_items=4, coalesce="never")},
}
Preset = Literal["fast", "careful"]


class OptionArguments(TypedDict, total=False):
    """The keyword arguments of `wrap`, `batched` and `install`, documented at `wrap`."""

    limits: str | Sequence[Limit]
    batching: Batching | None
    reminders: Reminders | None
    throttle: Throttle | None
    repair: Repair | None
    preset: Preset | None
    remind_every: int | None
    on_event: EventHook | None
    config: str | PathLike[str] | None


DEFAULT_ARGUMENTS: OptionArguments = {
    "limits": "auto",
    "batching": Batching(),
    "reminders": Reminders(),
    "throttle": Throttle(),
    "repair": Repair(),
    "preset": None,
    "remind_every": None,
    "on_event": None,
    "config": "auto",
}


def combine(base: Options | None = None, /, **given: Unpack[OptionArguments]) -> Options:
    """Combine the keyword arguments of `wrap`, `batched` or `install` into one `Options`.

    `limits` and `remind_every` are short for fields of `Throttle` and `Reminders`. A part that
    differs from its defaults takes precedence over the preset's.

    Args:
        base: what holds for what is not given: the options that were configured without code.
        given: the keyword arguments; `config` was used to find the base.

    Raises:
        ConfigError: an option is wrong, or two of them contradict each other.
        TypeError: an option does not exist.
    """
    for name in given.keys() - DEFAULT_ARGUMENTS.keys():
        raise TypeError(f"there is no option {name!r}{nearest(name, DEFAULT_ARGUMENTS)}")
    chosen: dict[str, Any] = {**DEFAULT_ARGUMENTS, **_parts(base or Options()), **given}
    _check_parts(chosen)
    if chosen["preset"] is not None:
        one_of("preset", chosen["preset"], tuple(PRESETS))
        for name, part in PRESETS[chosen["preset"]].items():
            # A part with default values cannot be told apart from one that was not passed.
            if name not in given or chosen[name] == _KINDS[name]():
                chosen[name] = replace(chosen[name] or _KINDS[name](), **changed_fields(part))
    if "limits" in given and (chosen["limits"] != "auto" or "throttle" not in given):
        if chosen["throttle"] is None and "throttle" in given:
            raise ConfigError("limits", "given although throttle=None switches throttling off")
        chosen["throttle"] = replace(chosen["throttle"] or Throttle(), limits=chosen["limits"])
    if chosen["remind_every"] is not None:
        if chosen["reminders"] is None and "reminders" in given:
            raise ConfigError("remind_every", "given although reminders=None switches them off")
        every = chosen["remind_every"]
        chosen["reminders"] = replace(chosen["reminders"] or Reminders(), every=every)
    return Options(**{name: chosen[name] for name in (*_KINDS, "on_event")})


def _parts(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in _KINDS}


def _check_parts(chosen: Mapping[str, Any]) -> None:
    # Before presets and short forms, which would fail less clearly on a part of the wrong type.
    for name, kind in _KINDS.items():
        part = chosen[name]
        if part is not None and not isinstance(part, kind):
            raise ConfigError(name, f"{part!r} is neither None nor a {kind.__name__}")
    if chosen["on_event"] is not None and not callable(chosen["on_event"]):
        raise ConfigError("on_event", f"{chosen['on_event']!r} cannot be called")
