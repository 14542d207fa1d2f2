"""Finds names of files in texts: in prompts, search results, and files that refer to others.

It is not known which files exist, so a name counts only if it clearly means a file. A relative name
may begin in an unknown folder (``src/a.py``, while the agent reads ``/home/me/project/src/a.py``).
If the file that the model reads now is among the names, it shows which folder that is.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from batchwrap.core.moves.read_ahead.paths import FilePath, is_source, parse
from batchwrap.core.tools.find import role_of

# Texts may be long and hostile. Only this many characters are searched, without backtracking.
_MOST_TEXT = 40_000
_LONGEST_WORD = 400
# A text that names more files than this does not show which of them are needed.
MOST_NAMES = 20
_TOKEN = re.compile(r"[^\s\"'`<>()\[\]{},;|]+")
_LINE_NUMBER = re.compile(r":\d[\d:,-]*$|::.*$|#L\d.*$")
# Sections that agents add to the user's words, such as lists of open files.
_ADDED = re.compile(r"<(/?)(?:environment_\w+|system[-_]reminder)>")
# What looks like a file and is none: products, hosts with what is there, addresses of e-mail, and
# abbreviations ("5 p.m.", "J.R.R. Tolkien").
_NO_FILE = re.compile(
    r"""(?i:asp\.net | docs\.rs | (?:llama | whisper)\.cpp
    | (?:alpine | angular | backbone | chart | d3 | deno | discord | electron | ember | express
        | jquery | knockout | lodash | moment | nest | next | node | nuxt | p5 | phaser | react
        | solid | svelte | three | transformers | underscore | vue)\.js
    | (?:[\w-]+\.)+(?:ai | com | dev | edu | gov | io | net | org)(?:/.*)?)
    | [^/@]+@[^/@]+ | [ap]\.m | c\.f | (?:[A-Z]\.)+[A-Z]""",
    re.VERBOSE,
)
# A line of a search result: a file, or a file with a line number and text.
_LISTED = re.compile(
    r"[ \t]*+(?:(?:[-*•]|\d++[.)]|#++|[Ff]ile:|\[FILE\])[ \t]++)?+[\"'`]?+"
    r"((?:[A-Za-z]:(?=[\\/]))?[^:\"'`,]++)[\"'`,]*+(?::\d.*+|:)?+$"
)


@functools.lru_cache(maxsize=32)  # each request of a task repeats its prompt
def mentioned(text: str) -> tuple[FilePath, ...]:
    """The files that a text of the user mentions, each once, in order."""
    return names_in(own_words(text))


def own_words(text: str) -> str:
    """The beginning of a text of the user, without the sections that agents add to it."""
    pieces = _ADDED.split(text[:_MOST_TEXT])
    own = (piece for place, piece in enumerate(pieces) if place == 0 or pieces[place - 1] == "/")
    return "\n".join(own)


def names_in(text: str) -> tuple[FilePath, ...]:
    """The files that the beginning of a text names, each once, in order."""
    words = (word for word in _TOKEN.findall(text[:_MOST_TEXT]) if len(word) < _LONGEST_WORD)
    names = (_LINE_NUMBER.sub("", word.rstrip(".:!?")).removeprefix("@") for word in words)
    likely = (name for name in names if "." in name or name.endswith("file"))
    return _distinct(parse(name) for name in likely if not _NO_FILE.fullmatch(name))


@functools.lru_cache(maxsize=32)
def listed(text: str) -> tuple[FilePath, ...]:
    """The files that the result of a search or a listing names, each once, in order."""
    if len(text) <= _MOST_TEXT and text.lstrip()[:1] in ("[", "{"):
        try:
            return _distinct(parse(name) for name in _strings(orjson.loads(text)))
        except orjson.JSONDecodeError:
            pass  # it only looks like JSON: `[FILE] a.py`
    found = (_LISTED.match(line.rstrip()) for line in text[:_MOST_TEXT].splitlines())
    return _distinct(parse(match[1].strip()) for match in found if match)


def aligned(names: Sequence[FilePath], current: FilePath) -> list[FilePath] | None:
    """The other names, in the form in which the model writes the current one.

    Args:
        names: the names in a text.
        current: the file that the model reads now.

    Returns:
        The names after the current one first, and then those before it; None if it is not among
        them.
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
    """The files that a file refers to by names with a folder.

    Args:
        text: its contents, as a tool showed them.
        current: the file that the model reads now.

    Returns:
        The other files, as `aligned` returns them; None if the current one is not among them.
    """
    names = [path for path in mentioned(text[:_MOST_TEXT]) if len(path.parts) > 1]
    return aligned(names, current)


def _distinct(paths: Iterable[FilePath | None]) -> tuple[FilePath, ...]:
    """The paths that are certainly source files, each once, in order."""
    return tuple(dict.fromkeys(path for path in paths if path is not None and is_source(path)))


def _is_end(one: FilePath, other: FilePath) -> bool:
    """Whether two paths are equal, or one ends with the other."""
    shorter, longer = sorted((one, other), key=lambda path: (len(path.parts), bool(path.root)))
    end = longer.parts[len(longer.parts) - len(shorter.parts) :]
    return shorter.parts == end and (not shorter.root or shorter == longer)


def _moved(name: FilePath, there: FilePath, here: FilePath) -> FilePath:
    """A name in the folder `there`, written with the folder `here`; any other name unchanged."""
    depth = len(there.parts)
    if name.root != there.root or name.parts[:depth] != there.parts:
        return name
    return FilePath(here.root, here.parts + name.parts[depth:])


def _strings(value: Any) -> Iterator[str]:
    """The texts in a JSON value that are in lists, or in fields whose name means a path."""
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
