"""Finds out which files are left after single reads: a reminder of a lapse names them.

    user    Compare a.py, b.py, c.py and d.py.
    model   read_file(a.py)
    model   read_file(b.py)         a lapse; c.py and d.py are left

A file counts as left if the user's latest message, or the latest search or list, names it beside
the file that was read last, and no call has named it. These are the files that read-ahead would
read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry
from batchwrap.core.moves.read_ahead.paths import parse
from batchwrap.core.moves.read_ahead.reads import next_reads
from batchwrap.core.moves.read_ahead.sources import names_in
from batchwrap.core.reminders.prompts import ends_of
from batchwrap.core.tools.find import SingleTool, path_in
from batchwrap.options import ReadAhead


def left_to_read(
    entries: Sequence[Entry], last: Call, singles: Mapping[str, SingleTool], most: int
) -> list[dict[str, Any]]:
    """The arguments of the reads that are left.

    Args:
        entries: the conversation, in the provider view.
        last: the model's last call.
        singles: the tools that multi-tools run, by name.
        most: the largest number of reads.
    """
    options = ReadAhead(max_reads=most, sources=("prompt", "search"))
    found = [orjson.loads(given) for _, given in next_reads(entries, last, singles, options)]
    made = {
        end
        for entry in (entries if found else ())
        for call in entry.calls
        for path in names_in(call.arguments)
        for end in ends_of(path)
    }
    return [given for given in found if not _is_among(path_in(given), made)]


def _is_among(name: str | None, ends: set[str]) -> bool:
    path = parse(name) if name else None
    return path is None or next(ends_of(path)) in ends
