"""`batchwrap config`: the options that were said without code, and where each comes from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchwrap.cli.console import console
from batchwrap.cli.text_tables import print_table

if TYPE_CHECKING:
    from batchwrap.configuration import Configured, OptionKey

_HIDDEN = "(not shown)"
_LONGEST = 60


def config(
    file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Read this file instead of the one that is named in BATCHWRAP_CONFIG or found.",
            show_default=False,
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show all options, those with their defaults as well.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Show the options that hold without code, and where each of them comes from.

    They come from the nearest batchwrap.toml in the working folder or above it, and from variables
    of the environment, which win over the file. Options in code win over both. API keys and the
    addresses of stores are not shown.

    \b
    Examples:
      batchwrap config
      batchwrap config --all
      batchwrap config --config deploy/batchwrap.toml
      BATCHWRAP_REMINDERS_EVERY=4 batchwrap config
    """
    from batchwrap.configuration import configured

    found = configured(file or "auto")
    options = found.listed() if every else found.given()
    if as_json:
        said = [_as_dict(option, found) for option in options]
        typer.echo(json.dumps({"file": found.file and str(found.file), "options": said}, indent=2))
        return
    typer.echo(f"file: {found.file or 'none'}")
    if options:
        _print(options, found)
    else:
        typer.echo("every option has its default")


def _print(options: Sequence[OptionKey], found: Configured) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for title in ("option", "value", "from"):
        table.add_column(title, overflow="fold")
    for option in options:
        value = _shown(option, found)
        shown = _HIDDEN if value is _HIDDEN else _said(value)
        table.add_row(*map(Text, (option.key, shown, _origin(option, found))))
    print_table(console(), table)


def _origin(option: OptionKey, found: Configured) -> str:
    said = found.origin(option) or "default"
    return said.replace(str(found.file), found.file.name) if found.file else said


def _shown(option: OptionKey, found: Configured) -> Any:
    is_hidden = option.is_secret and found.origin(option)
    return _HIDDEN if is_hidden else found.value(option)


def _said(value: Any) -> str:
    """A value as a file would have it, but for long ones."""
    if is_dataclass(value):
        return "on"
    text = json.dumps(_plain(value), ensure_ascii=False)
    if isinstance(value, tuple | list) and len(text) > _LONGEST:
        return "1 entry" if len(value) == 1 else f"{len(value)} entries"
    return text


def _plain(value: Any) -> Any:
    """A value in the types of JSON; None is written as ``false``, as in TOML."""
    from batchwrap.configuration.layers import as_table

    if value is None:
        return False
    if is_dataclass(value):
        return _plain(as_table(value))
    if isinstance(value, tuple | list):
        return [_plain(it) for it in value]
    if isinstance(value, dict):
        return {name: _plain(it) for name, it in value.items()}
    return value


def _as_dict(option: OptionKey, found: Configured) -> dict[str, Any]:
    about = {"key": option.key, "variable": option.variable}
    return {**about, "value": _plain(_shown(option, found)), "from": _origin(option, found)}
