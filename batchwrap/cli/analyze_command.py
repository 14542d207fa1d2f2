"""`batchwrap analyze`: what batching would have saved in recorded sessions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchwrap import __version__
from batchwrap.cli import completion
from batchwrap.cli.console import console, print_text, waiting_for
from batchwrap.cli.option_checks import check_file, writing
from batchwrap.cli.text_tables import print_table
from batchwrap.errors import ConfigError

if TYPE_CHECKING:
    from batchwrap.analyze import Report
    from batchwrap.analyze.report import Watch

EXIT_CODES = (
    "Exit codes: 0 shown, also if some files were skipped; 1 no session was found; 2 wrong usage;"
    " 130 interrupted."
)
_MOST_PROBLEMS = 10
_TOKENS_PER_S = 1_000


def analyze(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH", help="Files and folders; - is the standard input.", show_default=False
        ),
    ],
    plan: Annotated[
        str | None,
        typer.Option(
            metavar="PLAN",
            help="Replay the requests against the limits of this plan, such as cerebras/code-max"
            " (see batchwrap limits).",
            show_default=False,
            autocompletion=completion.plans,
        ),
    ] = None,
    tokens_per_s: Annotated[
        float | None,
        typer.Option(
            "--tokens-per-s",
            min=1,
            max=1e9,
            help="With --plan: the model's speed; 1,000 by default.",
        ),
    ] = None,
    max_items: Annotated[
        int, typer.Option("--max-items", min=2, help="Most calls in one batch, by the safe rule.")
    ] = 8,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Also write the report as one HTML page.", show_default=False
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Show what batching, and at most scripts, would have saved in recorded sessions.

    Reads the logs of Claude Code, Codex, Qwen Code, Gemini CLI, pi, Copilot (its CLI and VS Code),
    Cline and Roo Code; exports of OpenCode, events of OpenHands, trajectories of SWE-agent and
    ATIF, logs of Inspect AI; and logs of requests: chat completions, the Responses API, litellm,
    OpenTelemetry's GenAI spans. Any of them may be gzipped. The format of a file is recognised by
    its content. Nothing leaves this machine, and of a session's text only file names are kept.

    \b
    Examples:
      batchwrap analyze ~/.claude/projects
      batchwrap analyze ~/.codex/sessions --plan cerebras/code-max
      batchwrap analyze requests.jsonl --html report.html
      opencode export ses_1 | batchwrap analyze - --json
    """
    with waiting_for("loading"):
        from batchwrap.analyze import analyze as read

    _check(paths, html)
    if tokens_per_s is not None and plan is None:
        raise ConfigError("--tokens-per-s", "is only for the limits of a plan; give --plan, too")
    with _progress() as watch:
        report = read(
            paths,
            plan=plan,
            tokens_per_s=tokens_per_s or _TOKENS_PER_S,
            most=max_items,
            watch=watch,
        )
    if html is not None:
        from batchwrap.analyze.page import page

        with writing("--html"):
            made = f"batchwrap {__version__}, {date.today()}"
            html.write_text(page(report, made), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2))
    else:
        _print(report)
    _print_problems(report)
    if not report.totals.sessions:
        raise typer.Exit(1)


def _check(paths: list[str], html: Path | None) -> None:
    for path in paths:
        if path != "-" and not Path(path).exists():
            raise ConfigError("PATH", f"{path} does not exist")
    if html is not None:
        check_file("--html", html)
        if html.exists() and any(path != "-" and html.samefile(path) for path in paths):
            raise ConfigError("--html", f"{html} is a recording; name another file")


def _print(report: Report) -> None:
    from rich.table import Table
    from rich.text import Text

    from batchwrap.analyze.report_words import asked_of_the_model, assumptions, visible
    from batchwrap.analyze.tables import headline, tables

    screen = console()
    print_text(screen, headline(report))
    if not report.totals.sessions:
        return
    for table in tables(report):
        shown = Table(title=table.title, title_justify="left")
        for place, title in enumerate(table.columns):
            # All other columns are numbers, which are aligned to the right.
            text = place == 0 or title in table.wide or title in ("rule", "found")
            shown.add_column(title, justify="left" if text else "right", overflow="fold")
        for row in table.rows:
            # As `Text`, or rich would read markup in the names of tools and files.
            shown.add_row(*(Text(visible(cell)) for cell in row))
        typer.echo()
        print_table(screen, shown)
    totals = report.totals
    for line in ("", *asked_of_the_model(totals), "", *assumptions(totals, report.pressure)):
        print_text(screen, visible(line))


def _print_problems(report: Report) -> None:
    from batchwrap.analyze.report_words import visible

    for problem in report.problems[:_MOST_PROBLEMS]:
        typer.echo(f"batchwrap: {visible(f'{problem.file}: {problem.reason}')}", err=True)
    more = len(report.problems) - _MOST_PROBLEMS
    if more > 0:
        typer.echo(f"batchwrap: and {more} more (--json has the first hundred)", err=True)


@contextmanager
def _progress() -> Iterator[Watch]:
    """Show on stderr which file is being read, if it is a terminal."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from batchwrap.analyze.report_words import visible

    told = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    screen = console(stderr=True)
    with Progress(*told, console=screen, transient=True, disable=not screen.is_terminal) as shown:
        task = shown.add_task("", total=None)

        def watch(file: str, read: int) -> None:
            shown.update(task, description=visible(Path(file).name)[-40:], advance=read)

        yield watch
