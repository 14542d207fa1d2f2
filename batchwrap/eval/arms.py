"""The arms: clients that differ only in batchwrap's options, which are written as a short text.

``offer=instead,every=3`` names fields of `Batching` and `Reminders`; ``preset=fast`` names a
preset; ``reminders=none`` and the like switch a part off. ``bare`` is a wrapper with every part
switched off, which only counts, so that all arms are measured in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import batchwrap
from batchwrap.checks import nearest
from batchwrap.demo.book import ONLY_COUNTS
from batchwrap.drive.interpreter import Interpreter, require
from batchwrap.errors import ConfigError
from batchwrap.option_arguments import PRESETS
from batchwrap.options import Batching, EventHook, Limit, ReadAhead, Reminders, Scripts

BARE, SCRIPTS = "bare", "scripts"
_ARMS: Mapping[str, str] = {
    BARE: BARE,
    "offer": "reminders=none",
    "reminders": "",
    "instead": "offer=instead",
    "fast": "preset=fast",
    SCRIPTS: "scripts=true,reminders=none",
}
_PARTS: Mapping[str, type] = {"batching": Batching, "reminders": Reminders}
# Options that "true" switches on with their defaults.
_SWITCHED: Mapping[str, type] = {"read_ahead": ReadAhead, "scripts": Scripts}
_FIELDS = {field.name: part for part, kind in _PARTS.items() for field in fields(kind)}


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of wrapping the client.

    Attributes:
        name: its name in the results.
        options: the text with its options.
    """

    name: str
    options: str

    def wrap(self, client: Any, *, limits: str | Sequence[Limit], on_event: EventHook) -> Any:
        """Wrap a client for this arm.

        Args:
            client: the bare client.
            limits: the limits that batchwrap keeps, in every arm but ``bare``.
            on_event: called with batchwrap's events.

        Returns:
            The wrapped client.

        Raises:
            ConfigError: the options, or the limits, are wrong.
        """
        if self.options == BARE:
            return batchwrap.wrap(client, on_event=on_event, **ONLY_COUNTS)
        options = _parsed(self.options)
        return batchwrap.wrap(client, limits=limits, on_event=on_event, config=None, **options)


def arm(text: str) -> Arm:
    """The arm for a text: the name of a standard arm, or ``name=options``.

    Example:
        >>> arm("instead")
        Arm(name='instead', options='offer=instead')
        >>> arm("often=every=2,max_items=16")
        Arm(name='often', options='every=2,max_items=16')

    Raises:
        ConfigError: the arm does not exist, or an option is wrong.
        MissingExtraError: it has scripts, and the extra is not installed.
    """
    name, own, options = text.partition("=")
    if not own:
        if name not in _ARMS:
            known = ", ".join(_ARMS)
            said = f"{name!r} is neither one of {known}, nor NAME=OPTIONS"
            raise ConfigError("--arm", said + nearest(name, _ARMS))
        if name == SCRIPTS:
            _parsed(_ARMS[name])
        return Arm(name, _ARMS[name])
    if not name or name in _ARMS:
        raise ConfigError("--arm", f"{text!r}: an arm with options needs a name of its own")
    if options != BARE:
        _parsed(options)
    return Arm(name, options)


def arms_of(texts: Sequence[str]) -> list[Arm]:
    """The arms for several texts.

    Raises:
        ConfigError: an arm does not exist or is given twice, or an option is wrong.
        MissingExtraError: one has scripts, and the extra is not installed.
    """
    arms = [arm(text) for text in texts]
    names = [it.name for it in arms]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError("--arm", f"{twice[0]!r} is given twice")
    return arms


def arm_names() -> list[str]:
    """The names of all standard arms, whether they can be run here or not."""
    return list(_ARMS)


def standard_arms() -> list[Arm]:
    """The arms that are run by default: all six, or five without the extra ``scripts``."""
    has_scripts = Interpreter().is_available
    return [Arm(name, options) for name, options in _ARMS.items() if has_scripts or name != SCRIPTS]


def _parsed(options: str) -> dict[str, Any]:
    """The keyword arguments of `wrap` for a text of options.

    Raises:
        ConfigError: an option does not exist, or its value is wrong.
    """
    wrapping: dict[str, Any] = {}
    given: dict[str, dict[str, Any]] = {part: {} for part in _PARTS}
    for word in options.split(",") if options else ():
        name, _, text = word.partition("=")
        value = _value(name, text)
        if name in _FIELDS:
            given[_FIELDS[name]][name] = value
        elif name == "preset" and value in PRESETS:
            wrapping["preset"] = value
        elif name in _PARTS and value is None:
            wrapping[name] = None
        else:
            raise ConfigError("--arm", _unknown(word, name, text))
    try:
        return wrapping | {part: _PARTS[part](**it) for part, it in given.items() if it}
    except ConfigError as error:
        raise ConfigError("--arm", str(error).partition(".")[2]) from error


def _unknown(word: str, name: str, text: str) -> str:
    """What is wrong with a word that sets nothing."""
    if name == "preset":
        return f"preset: {text!r} is not one of {', '.join(PRESETS)}{nearest(text, PRESETS)}"
    if name in _PARTS:
        return f"{word!r}: {name} can only be none; its options stand alone, such as every=2"
    return f"{word!r} is no option of an arm{nearest(name, (*_FIELDS, *_PARTS, 'preset'))}"


def _value(name: str, text: str) -> Any:
    if name in _SWITCHED and text == "true":
        if name == SCRIPTS:
            require()  # a missing extra is named before anything is run
        return _SWITCHED[name]()
    if text == "none":
        return None
    try:  # numbers, true and false; anything else is a text, which the option itself checks
        return json.loads(text)
    except ValueError:
        return text
