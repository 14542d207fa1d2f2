"""Tables on terminals of any width, and as rows in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from batchwrap.cli.text_tables import print_table

CELLS = st.text("abcdefgh äß漢0123456789", min_size=1, max_size=30).map(str.strip).filter(bool)
ROWS = st.lists(st.tuples(st.just("") | CELLS, CELLS, CELLS, CELLS), min_size=1, max_size=6)


def table_of(rows: Sequence[tuple[str, ...]]) -> Table:
    """A table whose rows belong together where their first cell is empty."""
    table = Table(title="Title")
    for at, title in enumerate(("group", "one", "two", "three")):
        table.add_column(title, justify="right" if at > 1 else "left", overflow="fold")
    for first, *rest in [("first", *rows[0][1:]), *rows[1:]]:
        table.add_row(Text(first), *map(Text, rest))
    return table


def printed(table: Table, *, width: int, terminal: bool) -> list[str]:
    out = StringIO()
    screen = Console(file=out, width=width, force_terminal=terminal, color_system=None)
    print_table(screen, table)
    return out.getvalue().splitlines()


def letters(text: str) -> str:
    """A text without what a table may add or change: spaces, and lines around cells."""
    return "".join(one for one in text if one.isalnum())


@given(ROWS, st.integers(40, 160))
def test_it_fits_a_terminal(rows: list[tuple[str, ...]], width: int) -> None:
    """No line is wider than the terminal, and no letter of a cell is missing."""
    lines = printed(table_of(rows), width=width, terminal=True)
    assert max(map(cell_len, lines)) <= width
    shown = sorted(letters("".join(lines)))
    for cell in (cell for row in rows for cell in row[1:]):
        for one in letters(cell):
            shown.remove(one)


@given(ROWS, st.integers(10, 160))
def test_rows_in_a_pipe(rows: list[tuple[str, ...]], width: int) -> None:
    """Each row is one line, whatever the width, and each says what it belongs to."""
    title, head, *lines = printed(table_of(rows), width=width, terminal=False)
    assert (title, head.split()) == ("Title", ["group", "one", "two", "three"])
    group = "first"
    for at, (line, (first, *rest)) in enumerate(zip(lines, rows, strict=True)):
        group = first if first and at else group
        assert line.startswith(group)
        assert all(cell in line for cell in rest)
    assert not set("│┃━┏") & set("".join(lines))


def test_groups_in_a_pipe() -> None:
    """An empty first cell is that of the row above; a cell of two lines is one."""
    table = table_of([("", "a", "b", "c"), ("", "d", "e\nf", "g"), ("second", "h", "i", "j")])
    assert [line.split("  ")[0] for line in printed(table, width=80, terminal=False)[2:]] == [
        "first",
        "first",
        "second",
    ]
    assert "e; f" in printed(table, width=80, terminal=False)[3]


def test_groups_below_each_other() -> None:
    """Where a table is too wide, each group stands below its name, in columns of the same width."""
    rows = [("", "one", "1" * 20, "2"), ("", "two", "3", "4"), ("second", "five", "6", "7" * 15)]
    assert [line.rstrip() for line in printed(table_of(rows), width=50, terminal=True)] == [
        "Title",
        "",
        "first",
        "one                    two            three",
        "one   11111111111111111111                2",
        "two                      3                4",
        "",
        "second",
        "five                     6  777777777777777",
        "",
    ]
