"""Names of files in texts: prompts, search results, and files that name others.

Nothing here knows which files there are. A name is taken only where it says plainly which
file it means; names that start from a folder which nobody named (``src/a.py`` where the agent
reads ``/home/me/project/src/a.py``) are put in line by the file that the model reads now.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from batchwrap.core.moves.read_ahead.paths import FilePath, is_source, parse
from batchwrap.core.tools.find import role_of

# Texts may be long, and hostile: so much is searched, by patterns that never go back.
_MOST_TEXT = 40_000
_LONGEST_WORD = 400
_TOKEN = re.compile(r"[^\s\"'`<>()\[\]{},;|]+")
_LINE_NUMBER = re.compile(r":\d[\d:,-]*$|::.*$|#L\d.*$")
# What agents add to the user's words: listings of open files and the like.
_ADDED = re.compile(r"<(/?)(?:environment_\w+|system[-_]reminder)>")
# Products that are spelled like files.
_PRODUCT = re.compile(
    r"asp\.net|(?:backbone|chart|d3|ember|express|nest|next|node|nuxt|react|three|vue)\.js",
    re.IGNORECASE,
)
# A line of a search result: a file, or a file with a line number and some of its text.
_LISTED = re.compile(
    r"[ \t]*+(?:(?:[-*•]|\d++[.)]|#++|[Ff]ile:|\[FILE\])[ \t]++)?+[\"'`]?+"
    r"((?:[A-Za-z]:(?=[\\/]))?[^:\"'`,]++)[\"'`,]*+(?::\d.*+|:)?+$"
)


@functools.lru_cache(maxsize=32)  # the newest prompt comes again with every request
def mentioned(text: str) -> tuple[FilePath, ...]:
    """The files that a text mentions, each once, in order."""
    pieces = _ADDED.split(text[:_MOST_TEXT])
    own = (piece for place, piece in enumerate(pieces) if place == 0 or pieces[place - 1] == "/")
    words = (word for piece in own for word in _TOKEN.findall(piece) if len(word) < _LONGEST_WORD)
    names = (_LINE_NUMBER.sub("", word.rstrip(".:!?")).removeprefix("@") for word in words)
    likely = (name for name in names if "." in name or name.endswith("file"))
    return _distinct(parse(name) for name in likely if not _PRODUCT.fullmatch(name))


@functools.lru_cache(maxsize=32)
def listed(text: str) -> tuple[FilePath, ...]:
    """The files that the result of a search or a listing names, each once, in order."""
    if len(text) <= _MOST_TEXT and text.lstrip()[:1] in ("[", "{"):
        try:
            return _distinct(parse(name) for name in _strings(orjson.loads(text)))
        except orjson.JSONDecodeError:
            pass  # only looks like it: `[FILE] a.py`
    found = (_LISTED.match(line.rstrip()) for line in text[:_MOST_TEXT].splitlines())
    return _distinct(parse(match[1].strip()) for match in found if match)


def aligned(names: Sequence[FilePath], current: FilePath) -> list[FilePath] | None:
    """The names as the model would write them, told from how it writes one of them.

    Returns:
        The other names, those after the current one first; None if it is not among them.
    """
    places = [place for place, name in enumerate(names) if _is_end(name, current)]
    if not places:
        return None
    place = next((place for place in places if names[place] == current), places[0])
    common = min(len(names[place].parts), len(current.parts))
    there = FilePath(names[place].root, names[place].parts[:-common])
    here = FilePath(current.root, current.parts[:-common])
    others = (*names[place + 1 :], *names[:place])
    return [_moved(name, there, here) for name in others]


def referred(text: str, current: FilePath) -> list[FilePath] | None:
    """The files that a file names, with a folder.

    Args:
        text: what a tool showed of it.
        current: the file that the model reads now, which settles from where the names start.

    Returns:
        The others; None if the current one is not among them.
    """
    names = [path for path in mentioned(text[:_MOST_TEXT]) if len(path.parts) > 1]
    return aligned(names, current)


def _distinct(paths: Iterable[FilePath | None]) -> tuple[FilePath, ...]:
    """Those that are surely source files, each once, in order."""
    return tuple(dict.fromkeys(path for path in paths if path is not None and is_source(path)))


def _is_end(one: FilePath, other: FilePath) -> bool:
    """Whether one path is the other, or the end of it."""
    shorter, longer = sorted((one, other), key=lambda path: (len(path.parts), bool(path.root)))
    end = longer.parts[len(longer.parts) - len(shorter.parts) :]
    return shorter.parts == end and (not shorter.root or shorter == longer)


def _moved(name: FilePath, there: FilePath, here: FilePath) -> FilePath:
    """A name under one folder, as it is written under the other; else as it is."""
    depth = len(there.parts)
    if name.root != there.root or name.parts[:depth] != there.parts:
        return name
    return FilePath(here.root, here.parts + name.parts[depth:])


def _strings(value: Any) -> Iterator[str]:
    """Texts of JSON that stand in lists, or under a name that means a path."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            waiting += reversed(one)
        elif isinstance(one, dict):
            waiting += [
                inner
                for name, inner in reversed(one.items())
                if role_of(name) == "path" or isinstance(inner, (list, dict))
            ]
