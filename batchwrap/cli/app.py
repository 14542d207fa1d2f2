"""The command line with all its commands, and the one place where errors become messages.

What batchwrap raises and what the system refuses is one line on stderr, named after the option that
was typed, with exit code 1 or 2. Anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from batchwrap import __version__
from batchwrap.cli import option_checks
from batchwrap.cli.analyze_command import EXIT_CODES as ANALYZE_EXIT_CODES
from batchwrap.cli.analyze_command import analyze
from batchwrap.cli.demo_command import demo
from batchwrap.cli.doctor import doctor
from batchwrap.cli.evaluate import EXIT_CODES, evaluate
from batchwrap.cli.limits_command import limits
from batchwrap.cli.serve_command import serve
from batchwrap.errors import BatchwrapError, ConfigError, StoreUnavailable

FAILED, USAGE_ERROR = 1, 2

# The names of options in the library, and on the command line.
_TYPED = {
    "Batching.offer": "--offer",
    "Reminders.every": "--remind-every",
    "Throttle.store": "--store",
    "api_key": "--api-key-env",
    **{name: f"--{name}" for name in ("host", "limits", "port", "preset", "token", "upstream")},
}


class Commands(TyperGroup):
    """The group of commands, which turns errors into a line on stderr."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except BatchwrapError as error:
            typer.echo(f"batchwrap: {' '.join(self._said(ctx, error).split())}", err=True)
            failed = isinstance(error, StoreUnavailable)
            raise typer.Exit(FAILED if failed else USAGE_ERROR) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of a pipe has ended; typer exits silently
                raise
            typer.echo(f"batchwrap: {option_checks.reason(error)}", err=True)
            raise typer.Exit(FAILED) from error

    def _said(self, ctx: Any, error: BatchwrapError) -> str:
        """The error's message, with the option's name as it was typed."""
        if not isinstance(error, ConfigError) or error.option not in _TYPED:
            return str(error)
        # The same error may come from a command that does not have the option.
        typed = _TYPED[error.option]
        there = {name for it in self.commands[ctx.invoked_subcommand].params for name in it.opts}
        return str(error).replace(error.option, typed, 1) if typed in there else str(error)


# Help and errors have no boxes, so that they can be searched, copied and wrapped.
app = typer.Typer(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"batchwrap {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Exit codes: 0 success; 1 it was tried and failed; 2 wrong usage, or an extra is not"
    " installed; 130 interrupted. The help of each command says what they mean there."
)
def batchwrap(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """A layer between an agent and its LLM: fewer round trips, fewer refusals."""


app.command("analyze", epilog=ANALYZE_EXIT_CODES)(analyze)
app.command("eval", epilog=EXIT_CODES)(evaluate)
app.command(
    "demo",
    epilog="Exit codes: 0 all arms finished the job; 1 one did not; 2 wrong usage; 130"
    " interrupted.",
)(demo)
app.command(
    "limits",
    epilog="Exit codes: 0 shown, also if Ctrl-C ends --watch; 1 the store cannot be read now; 2"
    " the provider or the store does not exist, or a file is wrong; 130 interrupted.",
)(limits)
app.command("serve", epilog="Exit codes: 0 ended by Ctrl-C or SIGTERM; 2 wrong usage.")(serve)
app.command(
    "doctor",
    epilog="Exit codes: 0 everything that is installed works; 1 something does not; 2 wrong usage;"
    " 130 interrupted.",
)(doctor)
