"""The command `batchwrap`. Only `main` imports typer and rich, which are an optional extra."""

from __future__ import annotations

import sys
from importlib import import_module

from batchwrap.errors import MissingExtraError

_NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command line. Exit with the command's code, or with 2 if the extra is missing."""
    try:
        for name in _NEEDED:  # without rich, typer would start and fail in the middle of a command
            import_module(name)
        from batchwrap.cli.app import app
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if package not in _NEEDED:
            raise
        sys.stderr.write(f"batchwrap: {MissingExtraError(package, 'cli')}\n")
        raise SystemExit(2) from None
    app(prog_name="batchwrap")
