"""Chooses the reads that are added to a single read, and which of their results are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from batchwrap.core.failures import looks_failed
from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry, Parts
from batchwrap.core.moves.cap import tokens_of
from batchwrap.core.moves.read_ahead.hits import hit_rate
from batchwrap.core.moves.read_ahead.past import Past, PastCall, arguments_in, may_be_same, past_of
from batchwrap.core.moves.read_ahead.paths import FilePath, is_harmless, is_near, parse
from batchwrap.core.moves.read_ahead.ranges import Window, ended, is_part, lines_in, move, window_of
from batchwrap.core.moves.read_ahead.sources import MOST_NAMES, aligned, listed, mentioned, referred
from batchwrap.core.tools.find import SingleTool, role_of
from batchwrap.core.tools.items import as_text
from batchwrap.options import AheadSource, ReadAhead

# Nothing is added if the free context is less than this many times the token budget.
_ROOM = 2
_MOST_DOUBLINGS = 10


@dataclass(frozen=True, slots=True, repr=False)
class _Now:
    """The model's read, and the conversation before it."""

    past: Past
    tool: SingleTool
    given: dict[str, Any]
    path: FilePath
    options: ReadAhead


# The path of a read, the arguments for its range, and the index of the entry that names it.
_Wanted = tuple[FilePath, dict[str, Any], int]


def next_reads(
    entries: Sequence[Entry],
    call: Call,
    singles: Mapping[str, SingleTool],
    options: ReadAhead,
    *,
    room: int | None = None,
) -> list[tuple[SingleTool, str]]:
    """The reads that are added to a single read, as (tool, JSON arguments), best first.

    Args:
        entries: the agent view of the request.
        call: the model's only call, complete.
        singles: the tools of the request, by name.
        options: what the user allows.
        room: the free tokens of the context; None if that is unknown.

    Returns:
        At most `max_reads`. None are added to a call that is not a read, if there is too little
        free context, or if too few of the earlier ones were wanted.
    """
    tool = singles.get(call.function)
    if tool is None or tool.kind != "read" or tool.path is None:
        return []
    given = arguments_in(call)
    value = given.get(tool.path)
    path = parse(value) if isinstance(value, str) else None
    if path is None or (room is not None and room < _ROOM * options.max_tokens):
        return []
    reads = _reads(_Now(past_of(entries, singles), tool, given, path, options))
    rate = hit_rate(entries) if reads else None
    return [] if rate is not None and rate < options.min_hit_rate else reads


def kept(
    results: Sequence[Parts],
    max_tokens: int,
    failed: Callable[[str], bool] = looks_failed,
) -> list[bool]:
    """Which results of added reads the model is shown.

    Args:
        results: the texts and other parts of each result, as `results.contents` returns them.
        max_tokens: the most tokens of all together, by a rough estimate.
        failed: whether a text reports a failure.

    Returns:
        For each result whether it is only text, reports no failure, and fits after those before it.
    """
    left = max_tokens
    shown: list[bool] = []
    for parts in results:
        texts = [part for part in parts if isinstance(part, str)]
        text = "\n".join(texts)
        fits = len(texts) == len(parts) and bool(text) and tokens_of(text) <= left
        shown.append(fits and not failed(text))
        left -= tokens_of(text) if shown[-1] else 0
    return shown


def _reads(now: _Now) -> list[tuple[SingleTool, str]]:
    """The added reads for a read of the model: no known files, none twice."""
    found: list[tuple[FilePath, str]] = []
    for path, window, named in _candidates(now):
        # Another part of a known file has a window, and may be read.
        known = may_be_same(path, now.path) or now.past.knows(path, named)
        if (known and not window) or any(may_be_same(other, path) for other, _ in found):
            continue
        arguments = _arguments(now, path, window)
        if arguments is not None:
            found.append((path, arguments))
        if len(found) == now.options.max_reads:
            break
    return [(now.tool, arguments) for _, arguments in found]


def _candidates(now: _Now) -> Iterator[_Wanted]:
    """The harmless files that the sources name near the model's folders, best source first."""
    folders = now.past.folders() | {now.path.folder}
    for source in get_args(AheadSource):
        for path, window, named in _SOURCES[source](now) if source in now.options.sources else ():
            near = is_near(path, folders) or (source == "prompt" and not path.root)
            if near and is_harmless(path):
                yield path, window, named


def _prompt(now: _Now) -> Iterator[_Wanted]:
    """The files that the user's latest message names."""
    names = mentioned(now.past.prompt)
    others = aligned(names, now.path)
    if others is None:  # it is not known in which folder relative names begin
        others = [name for name in names if name.root or not now.path.root]
    return _few(others, now.past.asked)


def _chunk(now: _Now) -> Iterator[_Wanted]:
    """The next part of a file, if this read continues where the previous one ended.

    The part is as long as this one, and twice as long with each further part in a row.
    """
    reads = [c for c in now.past.of(now.path) if c.tool.kind == "read" and c.went_well]
    if not reads or not is_part(now.given):
        return
    current, windows = window_of(now.given), [_shown(read) for read in reads]
    row, before = 0, Window(0, None)
    for read, window in zip(reads, windows, strict=True):
        row = row + (not read.is_added) if window.follows(before) else 0
        before = window
    text, asked = reads[-1].text, window_of(reads[-1].given).length
    if before.end is None or not current.follows(before) or ended(text, current, asked):
        return
    length = current.length or before.end - before.start
    # The overlap of the model's own reads is kept, so no line is missed wherever counting begins.
    start = current.start + length - max(0, before.end - current.start)
    if any(window.start <= start < (window.end or 0) for window in windows):
        return
    # As many lines as fit the token budget, if they are as long as those of the previous part.
    most = int(now.options.max_tokens * lines_in(text) / (tokens_of(text) or 1))
    lines = max(1, min(length << min(row, _MOST_DOUBLINGS), most))
    yield now.path, move(now.given, start, lines), -1


def _search(now: _Now) -> Iterator[_Wanted]:
    """The other files in the latest search result, if this one is among them."""
    search = now.past.newest("read_only")
    others = aligned(listed(search.text), now.path) if search and search.went_well else None
    return _few(others or [], search.place if search else -1)


def _reference(now: _Now) -> Iterator[_Wanted]:
    """The other files to which the file just read refers, if this one is among them."""
    newest = now.past.newest("read")
    turn = [call for call in now.past.calls if newest and call.place == newest.place]
    for call in turn:
        if call.tool.kind == "read" and call.path and call.went_well:
            others = referred(call.text, now.path)
            if others is not None:
                return _few(others, call.place)
    return iter(())


_SOURCES: dict[AheadSource, Callable[[_Now], Iterator[_Wanted]]] = {
    "prompt": _prompt,
    "chunk": _chunk,
    "search": _search,
    "reference": _reference,
}


def _few(paths: Sequence[FilePath], named: int) -> Iterator[_Wanted]:
    return ((path, {}, named) for path in paths if len(paths) <= MOST_NAMES)


def _shown(read: PastCall) -> Window:
    """The lines that a read has shown. They are counted if the tool decided their number."""
    window = window_of(read.given)
    return window if window.end else Window(window.start, window.start + lines_in(read.text))


def _arguments(now: _Now, path: FilePath, window: dict[str, Any]) -> str | None:
    """The arguments of an added read; None if the tool requires an argument that is unknown."""
    own = now.given[now.tool.path or ""]
    written = str(path).replace("/", "\\") if "\\" in own and "/" not in own else str(path)
    arguments = {now.tool.path: own if window else written}
    # Flags and explanations are copied from the model's own call.
    for name in now.tool.required:
        value = now.given.get(name)
        if isinstance(value, bool) or (role_of(name) == "note" and name in now.given):
            arguments[name] = value
        elif name not in arguments and name not in window:
            return None
    return as_text({**arguments, **window})
