"""Several processes as one: each publishes what it has counted, and whoever is asked adds up.

What is published is one file for each process and kind, in a folder that only their user can read.
What processes that have ended had counted is in one more file of each kind.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import anyio

_log = logging.getLogger("batchwrap")
PERIOD_S = 1.0
_MOST_NAMED = 64
_ALIAS_BYTES = 3


@dataclass(frozen=True, slots=True)
class Publication:
    """Something that processes publish.

    Attributes:
        name: ends the names of its files.
        absorb: returns what stays of processes that have ended, given what stayed of earlier ones,
            empty at first, and what another one has published.
    """

    name: str
    absorb: Callable[[bytes, bytes], bytes]


class Peers:
    """The processes that serve one port, as one of them sees them.

    Args:
        folder: where all of them publish.
        name: the name of this one.
        secret: random bytes that only these processes know.
    """

    def __init__(self, folder: Path, name: str, secret: bytes) -> None:
        self._folder = folder
        self._name = name
        self._secret = secret
        self._has_warned = False

    def alias(self, digest: str) -> str:
        """A short name in place of a digest, the same in all of the processes.

        Somebody who guesses what the digest was made of cannot check it with this name.
        """
        named = blake2b(digest.encode(), key=self._secret, digest_size=_ALIAS_BYTES)
        return named.hexdigest()

    async def run(self, renders: Mapping[Publication, Callable[[], bytes]]) -> None:
        """Publish from time to time, until it is cancelled, and then for the last time.

        Args:
            renders: by kind, a function that returns what this process has to publish.
        """
        published: dict[Publication, bytes] = {}
        try:
            while True:
                self._publish(renders, published)
                await anyio.sleep(PERIOD_S)
        finally:
            self._publish(renders, published)

    def others(self, kind: Publication) -> list[bytes]:
        """What the other processes have published, and last what stays of those that have ended."""
        own = self._own(kind)
        texts = {
            path.name: _read(path)
            for path in sorted(self._folder.glob(_file_of("*", kind)))
            if path != own
        }
        # Read after the others: one that has ended meanwhile may be in both, and is named here.
        names, ended = _ended(self._all_ended(kind))
        for name in names:
            texts.pop(name, None)
        return [text for text in (*texts.values(), ended) if text]

    def end(self, kinds: Iterable[Publication]) -> bool:
        """Keep what this process, which has ended, had counted; whether that could be written.

        If it could not, its own files stay and count.
        """
        return all(self._end(kind) for kind in kinds)

    def _end(self, kind: Publication) -> bool:
        own, ended = self._own(kind), self._all_ended(kind)
        names, kept = _ended(ended)
        if own.name not in names:
            line = " ".join([*names, own.name][-_MOST_NAMED:])
            if not self._write(ended, f"{line}\n".encode() + kind.absorb(kept, _read(own))):
                return False
        with suppress(OSError):
            own.unlink()
        return True

    def _publish(
        self,
        renders: Mapping[Publication, Callable[[], bytes]],
        published: dict[Publication, bytes],
    ) -> None:
        """Write what differs from what was published before."""
        for kind, render in renders.items():
            content = render()
            if content != published.get(kind) and self._write(self._own(kind), content):
                published[kind] = content

    def _own(self, kind: Publication) -> Path:
        return self._folder / _file_of(self._name, kind)

    def _all_ended(self, kind: Publication) -> Path:
        return self._folder / f"ended.{kind.name}"

    def _write(self, path: Path, content: bytes) -> bool:
        """Replace a file, so that nobody reads half of it; whether that was possible.

        A disk may be full, and the folder may be gone: requests are served all the same.
        """
        new = path.with_name(f"{path.name}.new")
        try:
            with open(new, "wb", opener=_for_its_user) as file:
                file.write(content)
            new.replace(path)
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                _log.warning("metrics and page do not add up all processes: %s", error)
            return False
        return True


def _file_of(name: str, kind: Publication) -> str:
    return f"{name}.worker.{kind.name}"


def _for_its_user(path: str, flags: int) -> int:
    """Opens a file that nobody else may read, whatever the folder allows."""
    return os.open(path, flags, 0o600)


def _ended(path: Path) -> tuple[list[str], bytes]:
    """The files of the processes that have ended, and what stays of them."""
    names, _, content = _read(path).partition(b"\n")
    return names.decode(errors="replace").split(), content


def _read(path: Path) -> bytes:
    with suppress(OSError):
        return path.read_bytes()
    return b""
