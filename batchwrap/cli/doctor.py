"""`batchwrap doctor`: what is installed, which adapters work, and how to fix those that do not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from batchwrap.cli import option_checks
from batchwrap.cli.console import console, print_text, waiting_for
from batchwrap.cli.text_tables import print_table
from batchwrap.errors import ConfigError

if TYPE_CHECKING:
    from batchwrap.cli.checkup import Finding

_FAILED = 1


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Also check how this model's tokens are counted."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Also check whether this store can be read."),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Also show what is known of this endpoint's host."),
    ] = None,
    call: Annotated[
        bool,
        typer.Option(
            "--call", help="With --base-url: send it one tiny request. Costs a few tokens!"
        ),
    ] = False,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE",
            help="With --call: environment variable with the API key, if the endpoint needs one.",
        ),
    ] = None,
) -> None:
    """Show what is installed, which adapters work, and how to fix those that do not.

    Each adapter is tried with the installed libraries against a simulated provider on the
    loopback. No other host is called unless an option asks for it.

    \b
    Examples:
      batchwrap doctor
      batchwrap doctor --model qwen-3-coder-480b --base-url https://api.cerebras.ai/v1
      batchwrap doctor --store redis://localhost
      batchwrap doctor --base-url http://localhost:8000/v1 --call --model m
      batchwrap doctor --json | python -m json.tool
    """
    key = _key(call, base_url, model, api_key_env)
    with waiting_for("trying what is installed"):  # some libraries load slowly
        found = list(_findings(model, store, base_url, key))
    healthy = all(one.state != "failed" for one in found)
    if as_json:
        told = {"healthy": healthy, "findings": [asdict(one) for one in found]}
        typer.echo(json.dumps(told, indent=2))
    else:
        _print(found)
    if not healthy:
        raise typer.Exit(_FAILED)


def _key(
    call: bool, base_url: str | None, model: str | None, api_key_env: str | None
) -> str | None:
    """The key for `--call`; None without it.

    Raises:
        ConfigError: an option is missing or wrong.
    """
    if base_url is not None:
        option_checks.check_base_url(base_url)
    if call:
        if base_url is None:
            raise ConfigError("--call", "needs --base-url, too")
        option_checks.check_endpoint(base_url, model, needed_by="--call")
        return option_checks.api_key(api_key_env)
    if api_key_env is not None:
        raise ConfigError("--api-key-env", "is only for a call; give --call, too")
    return None


def _findings(
    model: str | None, store: str | None, base_url: str | None, key: str | None
) -> Iterator[Finding]:
    from batchwrap.cli import checkup

    yield from checkup.versions()
    yield from checkup.options()
    yield from checkup.adapters()
    if model is not None:
        yield from checkup.model(model)
    if store is not None:
        yield from checkup.store(store)
    if base_url is not None:
        yield from checkup.host(base_url)
    if base_url is not None and model is not None and key is not None:
        yield from checkup.call(base_url, model, key)


def _print(found: Iterable[Finding]) -> None:
    from rich.table import Table
    from rich.text import Text

    table, hints, last = Table(), dict[str, list[str]](), ""
    for title in ("part", "what", "state", "found"):
        table.add_column(title, overflow="fold")
    for one in found:
        if last not in ("", one.part):
            table.add_section()
        table.add_row(
            *map(Text, ("" if one.part == last else one.part, one.name, one.state, one.found))
        )
        last = one.part
        if one.hint:  # the same hint of several checks is printed once
            hints.setdefault(one.hint, []).append(one.name)
    screen = console()
    print_table(screen, table)
    for hint, names in hints.items():
        print_text(screen, f"{', '.join(names)}: {hint}")
