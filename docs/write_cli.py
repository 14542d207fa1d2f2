"""Writes the page of the command line from the commands themselves: `make docs-cli`."""

from pathlib import Path

import typer
from typer.testing import CliRunner

from batchwrap.cli.app import app

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 92  # what fits on the site without scrolling
INTRO = """\
# Command line

`pip install "batchwrap[cli]"` installs the command; `serve` needs `batchwrap[serve]`.
This page is what `--help` says. Errors are one line on stderr.
"""


def page() -> str:
    """The page as it should be."""
    names = typer.main.get_command(app).commands
    return "\n".join([INTRO, _block(), *(f"## {name}\n\n{_block(name)}" for name in names)])


def _block(*command: str) -> str:
    shown = CliRunner().invoke(
        app, [*command, "--help"], prog_name="batchwrap", terminal_width=WIDTH, color=False
    )
    return f"```text\n{shown.output.strip()}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
