"""Finds out whether a prompt names several files that the conversation has not dealt with yet.

    user    Compare src/a.py and src/b.py.           both are new
    model   multi_read(src/a.py, src/b.py)
    user    Rename f in src/a.py and src/b.py.       neither is new
    user    Now do the same in src/c.py and src/d.py.     both are new

A file counts as dealt with if an earlier prompt or a call of the model has named it. Its name in
the result of a search, or in a list of files, does not count: that does not show what is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from batchwrap.core.formats.entries import Entry
from batchwrap.core.moves.read_ahead.paths import FilePath
from batchwrap.core.moves.read_ahead.sources import MOST_NAMES, mentioned, names_in, own_words

# Fewer files need no batch.
SEVERAL = 2
# Paths are compared by so many parts at their end.
_MOST_PARTS = 8


def is_prompt(entry: Entry) -> bool:
    """Whether an entry holds words of the user, and not only what an agent adds to them."""
    return entry.role == "user" and any(own_words(text).strip() for text in entry.texts())


@dataclass(slots=True, repr=False)
class Named:
    """The files that a conversation has dealt with, up to an entry.

    Attributes:
        ends: each end of their paths, in lower case: ``c.py``, ``b/c.py``, ``a/b/c.py``.
        upto: the number of entries.
    """

    ends: set[str] = field(default_factory=set)
    upto: int = 0

    def copy(self) -> Named:
        """A copy that can be continued independently."""
        return Named(self.ends.copy(), self.upto)

    def read(self, entries: Sequence[Entry], upto: int) -> None:
        """Add the entries that follow, up to an index."""
        for entry in entries[self.upto : upto]:
            self.ends.update(_ends_in(entry))
        self.upto = upto

    def new_in(self, prompt: Entry) -> set[str]:
        """The paths in a prompt that are not among these."""
        return {next(ends_of(path)) for path in _files_in(prompt)} - self.ends


def names_several(prompt: Entry) -> bool:
    """Whether a prompt names several files, new or not."""
    return len(_files_in(prompt)) >= SEVERAL


def _files_in(prompt: Entry) -> Sequence[FilePath]:
    """The files that a prompt names; none if they are so many that they are only a list."""
    names = mentioned(prompt.text)
    return names if len(names) <= MOST_NAMES else ()


def _ends_in(entry: Entry) -> Iterator[str]:
    """The ends of the paths that an entry of the model or the user names."""
    for call in entry.calls:
        for path in names_in(call.arguments):
            yield from ends_of(path)
    for path in _files_in(entry) if entry.role == "user" else ():
        yield from ends_of(path)


def ends_of(path: FilePath) -> Iterator[str]:
    """The ends of a path, the longest first."""
    parts = path.key[1][-_MOST_PARTS:]
    return ("/".join(parts[start:]) for start in range(len(parts)))
