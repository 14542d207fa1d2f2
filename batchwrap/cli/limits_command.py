"""`batchwrap limits`: the limits of providers and plans, and the budgets in a shared store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batchwrap.cli import completion
from batchwrap.cli.console import console, print_text
from batchwrap.cli.text_tables import print_table, said
from batchwrap.errors import ConfigError

if TYPE_CHECKING:
    from batchwrap.core.provider import Provider
    from batchwrap.providers import Plan, ProviderFile, Source


def limits(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Show only this provider, plan or file, with all facts. With --store: the plan"
            " whose buckets are shown.",
            show_default=False,
            autocompletion=completion.providers_and_plans,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Show the budgets in this store instead of the known limits; as in"
            " Throttle(store=…).",
            show_default=False,
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="With --store: repeat once a second until Ctrl-C; with --json, one object a line.",
        ),
    ] = False,
) -> None:
    """Show the limits that come with batchwrap: providers, plans, and the sources of the amounts.

    A plan is used by its name: limits="cerebras/code-max". A file of your own is used as
    limits="own.toml#plan"; this command checks it.

    With --store it shows instead what each account (named by a digest of its key) has spent on each
    model, and, for a plan, how full its buckets are.

    \b
    Examples:
      batchwrap limits
      batchwrap limits cerebras
      batchwrap limits cerebras/code-max
      batchwrap limits own.toml
      batchwrap limits --json | python -m json.tool
      batchwrap limits --store sqlite:///budget.db
      batchwrap limits --store sqlite:///budget.db --watch cerebras/code-max
    """
    if store is not None:
        _show_store(store, name, as_json=as_json, watched=watch)
        return
    if watch:
        raise ConfigError("--watch", "is only for a store; give --store, too")
    from batchwrap.providers import provider_files

    chosen = provider_files() if name is None else [_one(name)]
    if as_json:
        found = {"providers": [_as_dict(file) for file in chosen]}
        typer.echo(json.dumps(found, indent=2, default=_as_json))
        return
    _print_table(chosen)
    if name is not None:
        for line in _facts(chosen[0]):
            print_text(console(), line)


def _show_store(url: str, name: str | None, *, as_json: bool, watched: bool) -> None:
    from batchwrap.cli import live
    from batchwrap.cli.view import Viewer

    show = live.watch if watched else live.show
    show(Viewer(url, name).look, as_json=as_json)


def _one(name: str) -> ProviderFile:
    """A provider's file, or the user's own; with only one plan if the name contains one.

    Raises:
        ConfigError: it does not exist, or is wrong.
    """
    from batchwrap.providers import plan, provider_file, split_plan_name

    where, short = split_plan_name(name)
    if not short:
        return provider_file(where)
    found = plan(name)
    return replace(provider_file(where), plans={short: found})


def _print_table(files: Sequence[ProviderFile]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_lines=True)
    for title in ("provider", "plan", "limits", "source", "date"):
        table.add_column(title, overflow="fold", no_wrap=title == "date")
    for file in files:
        for cells in _rows(file):
            table.add_row(*map(Text, cells))
    print_table(console(), table)


def _rows(file: ProviderFile) -> Iterator[tuple[str, ...]]:
    name = file.provider.name
    if not file.plans:
        yield name, "–", "no amounts are known", file.source, _date(file)
    for short, plan in file.plans.items():
        yield name, short, "\n".join(map(said, plan.limits)), plan.source, _date(plan)


def _facts(file: ProviderFile) -> list[str]:
    """The facts that are not in the table, as lines."""
    lines = [
        f"hosts: {', '.join(file.hosts) or '–'}",
        f"models: {', '.join(f'{prefix}/…' for prefix in file.prefixes) or '–'}",
        *_counted(file.provider),
        f"facts: {file.source or '–'}, {_date(file)}",
    ]
    lines += [f"{it}: {one.source or '–'}, {_date(one)}" for it, one in file.sources.items()]
    described: dict[str, Source | Plan] = {**file.sources, **file.plans}
    notes = [("", file.note), *((f"{it}: ", one.note) for it, one in described.items())]
    return lines + [f"{label}{note.strip()}" for label, note in notes if note]


def _counted(provider: Provider) -> list[str]:
    rule = provider.rule
    held = (
        f"the prompt and the most that the answer may have ({rule.default_output:,} by default)"
        if rule.reserves_output
        else "the prompt"
    )
    return [
        f"at admission: {held}",
        f"afterwards: {'corrected to the usage' if rule.refunds else 'never corrected'}",
        f"cached tokens: {'count' if rule.counts_cached else 'do not count'}",
        f"caches prompts: {_known(provider.caches_prompts)}",
        f"usage in streams: {_known(provider.usage_in_streams)}",
    ]


def _known(fact: bool | None) -> str:
    return "not known" if fact is None else "yes" if fact else "no"


def _date(it: ProviderFile | Plan | Source) -> str:
    return str(it.date) if it.date else "–"


def _as_dict(file: ProviderFile) -> dict[str, Any]:
    facts = asdict(file)
    facts["plans"] = [asdict(plan) for plan in file.plans.values()]
    return facts


def _as_json(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)
