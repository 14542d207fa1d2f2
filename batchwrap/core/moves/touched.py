"""What the calls of a turn touch, so that the next one finds what it conflicts with.

The answer is that of comparing it with each call before it (`conflict`), at a cost that does not
grow with their number: a turn may have hundreds of calls.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TypeVar

Key = TypeVar("Key")
Path = tuple[str, ...]

CHANGES = ("edit", "write")
_BY_PATH = frozenset({"read", "read_only", *CHANGES})
# Longer paths count as any path, since each of their endings has a place in the index.
_MOST_PARTS = 40


class Touched:
    """The last wave of calls, by their kind and by the path that they touch.

    Attributes:
        kinds: the last wave of each kind.
    """

    def __init__(self) -> None:
        self.kinds: dict[str, int] = {}
        self._anywhere: dict[str, int] = {}  # calls that may touch any path
        self._paths: dict[tuple[str, Path], int] = {}
        self._endings: dict[tuple[str, Path], int] = {}  # by each ending of the path

    def add(self, kind: str, path: Path | None, wave: int) -> None:
        """Take note of a call in a wave; without a path it may touch any."""
        path = _definite(path)
        _raise(self.kinds, kind, wave)
        if path is None:
            _raise(self._anywhere, kind, wave)
            return
        _raise(self._paths, (kind, path), wave)
        for start in range(len(path)):
            _raise(self._endings, (kind, path[start:]), wave)

    def against(self, own: str, path: Path | None) -> Iterator[tuple[str, int]]:
        """(kind, last wave) of the calls that one of the kind `own` conflicts with."""
        path = _definite(path)
        for kind, last in self.kinds.items():
            both = {own, kind}
            if "bookkeeping" in both:
                found = last if "barrier" in both else None
            elif not both <= _BY_PATH:
                found = last
            elif both.isdisjoint(CHANGES):
                found = None
            else:
                found = last if path is None else self._on(path, kind)
            if found is not None:
                yield kind, found

    def _on(self, path: Path, kind: str) -> int | None:
        """The last wave of a kind that may touch a path: one ends like the other."""
        found = [self._anywhere.get(kind), self._endings.get((kind, path))]
        found += [self._paths.get((kind, path[start:])) for start in range(1, len(path))]
        return max((wave for wave in found if wave is not None), default=None)


def _definite(path: Path | None) -> Path | None:
    """A path, if it can be no other one than those that end alike; ``..`` may lead anywhere."""
    return path if path and ".." not in path and len(path) <= _MOST_PARTS else None


def _raise(waves: MutableMapping[Key, int], key: Key, wave: int) -> None:
    waves[key] = max(wave, waves.get(key, wave))
