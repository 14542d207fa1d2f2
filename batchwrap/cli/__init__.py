"""The command `batchwrap`. Only `main` imports typer and rich, which are an optional extra."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from batchwrap.errors import MissingExtraError

_NEEDED = ("typer", "rich")
_SIGN = "batchwrap is starting …"
_COMPLETION = "_BATCHWRAP_COMPLETE"


def main() -> None:
    """Run the command line. Exit with the command's code, or with 2 if the extra is missing."""
    try:
        with _first_sign():
            for name in _NEEDED:  # without rich, typer would start, and a command would fail
                import_module(name)
            from batchwrap.cli.app import app
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in _NEEDED:
            raise
        sys.stderr.write(f"batchwrap: {MissingExtraError(package, 'cli')}\n")
        raise SystemExit(2) from None
    app(prog_name="batchwrap")


@contextmanager
def _first_sign() -> Iterator[None]:
    """Show on a terminal that the command has started, while its packages are imported.

    The first import after an installation reads and compiles all of them.
    """
    # A shell that asks for completions shows what is printed between two key strokes.
    shown = sys.stderr.isatty() and _COMPLETION not in os.environ
    if not shown:
        yield
        return
    sys.stderr.write(_SIGN)
    sys.stderr.flush()
    try:
        yield
    finally:
        sys.stderr.write(f"\r{' ' * len(_SIGN)}\r")
        sys.stderr.flush()
