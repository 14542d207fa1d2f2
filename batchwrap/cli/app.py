"""The command line with all its commands, and the one place where errors become messages.

What batchwrap raises, what typer refuses and what the system refuses is one line on stderr, named
after the option that was typed, with exit code 1 or 2. Anything else is a bug and keeps its
traceback.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from batchwrap import __version__
from batchwrap.checks import nearest
from batchwrap.cli import option_checks
from batchwrap.cli.analyze_command import EXIT_CODES as ANALYZE_EXIT_CODES
from batchwrap.cli.analyze_command import analyze
from batchwrap.cli.config_command import config
from batchwrap.cli.demo_command import demo
from batchwrap.cli.doctor import doctor
from batchwrap.cli.evaluate import EXIT_CODES, evaluate
from batchwrap.cli.limits_command import limits
from batchwrap.cli.serve_command import serve
from batchwrap.errors import BatchwrapError, ConfigError, StoreUnavailable

FAILED, USAGE_ERROR = 1, 2
# typer has its own copy of click since 0.26, so the class has to be found by what typer exports.
_Refused: Any = typer.BadParameter.__mro__[1]

# The names of options in the library, and on the command line; the first that the command has.
_TYPED: Mapping[str, Sequence[str]] = {
    "Batching.memory": ["--memory"],
    "Batching.offer": ["--offer"],
    "Batching.tools": ["--tool"],
    "Reminders.every": ["--remind-every"],
    "Throttle.store": ["--store"],
    "allow_hosts": ["--allow-host"],
    "api_key": ["--api-key-env"],
    "config": ["--config"],
    "limits": ["--limits", "--plan", "NAME"],
    **{name: [f"--{name}"] for name in ("host", "port", "preset", "token", "upstream", "workers")},
}
# What typer says of a number that does not fit, in the language of a schema.
_UNFIT = re.compile(r"Invalid value for '(.+)': Input should be (.+)")
_NUMBERS = {"a valid integer": "wants a whole number", "a valid number": "wants a number"}


class Commands(TyperGroup):
    """The group of commands, which turns errors into a line on stderr."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except _Refused as error:
            raise _refused(ctx, error) from error
        except BatchwrapError as error:
            _tell(self._said(ctx, error))
            failed = isinstance(error, StoreUnavailable)
            raise typer.Exit(FAILED if failed else USAGE_ERROR) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of a pipe has ended; typer exits silently
                raise
            _tell(option_checks.reason(error))
            raise typer.Exit(FAILED) from error

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options before the command. Without any argument typer shows the help."""
        wants_help = not args
        try:
            return super().parse_args(ctx, args)
        except _Refused as error:
            if wants_help:
                raise
            raise _refused(ctx, error) from error

    def _said(self, ctx: Any, error: BatchwrapError) -> str:
        """The error's message, with the option's name as it was typed."""
        option = error.option if isinstance(error, ConfigError) else ""
        # The same error may come from a command that does not have the option.
        params = self.commands[ctx.invoked_subcommand].params
        there = {name for it in params for name in (*it.opts, it.metavar)}
        typed = [it for it in _TYPED.get(option.partition("[")[0], ()) if it in there]
        return str(error).replace(option, typed[0], 1) if typed else str(error)


def _tell(message: str) -> None:
    typer.echo(f"batchwrap: {' '.join(message.split())}", err=True)


def _refused(ctx: Any, error: Any) -> typer.Exit:
    """The end of a command whose arguments typer refuses, after a line that says why."""
    where = error.ctx or ctx
    known = [name for it in where.command.params for name in it.opts]
    option = getattr(error, "option_name", "")
    near = "" if option in known else nearest(option, known)
    if near:
        _tell(f"{option}: there is no such option{near}")
    elif (said := _in_words(error.format_message().rstrip("."))).endswith("?"):
        _tell(said)
    else:
        command = " ".join(filter(None, ("batchwrap", ctx.invoked_subcommand, "--help")))
        _tell(f"{said}; see {command}")
    return typer.Exit(USAGE_ERROR)


def _in_words(said: str) -> str:
    """A refusal of typer, in the form of all other messages.

    >>> _in_words("Invalid value for '--port': Input should be a valid integer, unable to parse")
    '--port: wants a whole number'
    """
    if unfit := _UNFIT.fullmatch(said):
        option, wanted = unfit.groups()
        return f"{option}: {_NUMBERS.get(wanted.partition(',')[0], f'should be {wanted}')}"
    return said


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
app.command("config", epilog="Exit codes: 0 shown; 2 an option, a variable or the file is wrong.")(
    config
)
app.command("serve", epilog="Exit codes: 0 ended by Ctrl-C or SIGTERM; 2 wrong usage.")(serve)
app.command(
    "doctor",
    epilog="Exit codes: 0 everything that is installed works; 1 something does not; 2 wrong usage;"
    " 130 interrupted.",
)(doctor)
