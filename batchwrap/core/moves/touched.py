"""An index of what the calls of a turn touch, to find the calls that the next one conflicts with.

The result is the same as if the call was compared with each call before it (`conflict`), but the
cost does not grow with their number: a turn may have hundreds of calls.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TypeVar

Key = TypeVar("Key")
Path = tuple[str, ...]

CHANGES = ("edit", "write")
_BY_PATH = frozenset({"read", "read_only", *CHANGES})
# A longer path counts as any path, since the index has an entry for each ending of a path.
_MOST_PARTS = 40


class Touched:
    """The last wave of the calls, by their kind and by the path that they touch.

    Attributes:
        kinds: the last wave of each kind.
    """

    def __init__(self) -> None:
        self.kinds: dict[str, int] = {}
        self._anywhere: dict[str, int] = {}  # by kind, for calls that may touch any path
        self._paths: dict[tuple[str, Path], int] = {}  # by kind and path
        self._endings: dict[tuple[str, Path], int] = {}  # by kind and each ending of the path

    def add(self, kind: str, path: Path | None, wave: int) -> None:
        """Record a call in a wave. Without a path it may touch any path."""
        path = _definite(path)
        _raise(self.kinds, kind, wave)
        if path is None:
            _raise(self._anywhere, kind, wave)
            return
        _raise(self._paths, (kind, path), wave)
        for start in range(len(path)):
            _raise(self._endings, (kind, path[start:]), wave)

    def against(self, own: str, path: Path | None) -> Iterator[tuple[str, int]]:
        """(kind, last wave) of the calls that conflict with a call of the kind `own`."""
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
        """The last wave with a call of a kind that may touch a path; None if there is none.

        Two paths may be the same file if one ends with the other.
        """
        found = [self._anywhere.get(kind), self._endings.get((kind, path))]
        found += [self._paths.get((kind, path[start:])) for start in range(1, len(path))]
        return max((wave for wave in found if wave is not None), default=None)


def _definite(path: Path | None) -> Path | None:
    """The path; None if it may be any path, as with ``..``, or is too long for the index."""
    return path if path and ".." not in path and len(path) <= _MOST_PARTS else None


def _raise(waves: MutableMapping[Key, int], key: Key, wave: int) -> None:
    waves[key] = max(wave, waves.get(key, wave))
