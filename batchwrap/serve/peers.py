"""The metrics of several processes as one: each publishes its own, and whoever is asked adds up.

Counters and histograms add up, also those of processes that have ended, so they never decrease.
Gauges without labels (requests under way) add up, too. Gauges with labels describe what the
processes share, such as the buckets of a limit: those of the process that was asked count.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import anyio
from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

_log = logging.getLogger("batchwrap")
PERIOD_S = 1.0
_ENDED = "ended.metrics"
_SUFFIX = ".worker.metrics"
# The first line of that file, a comment to everybody else: those whose own files are left out.
_NAMES = "# ended: "
_MOST_NAMED = 64
_Key = tuple[str, tuple[tuple[str, str], ...]]


class Peers:
    """The processes that serve one port, as one of them sees them.

    Args:
        folder: where all of them publish.
        name: the name of this one.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._own = folder / f"{name}{_SUFFIX}"
        self._has_warned = False

    async def run(self, render: Callable[[], bytes]) -> None:
        """Publish from time to time, until it is cancelled, and then for the last time.

        Args:
            render: returns the metrics of this process.
        """
        published = b""
        try:
            while True:
                if (content := render()) != published:
                    self._write(self._own, content)
                    published = content
                await anyio.sleep(PERIOD_S)
        finally:
            self._write(self._own, render())

    def merged(self, own: bytes) -> bytes:
        """The metrics of all processes, given those of this one."""
        others = {
            path.name: _read(path)
            for path in sorted(self._folder.glob(f"*{_SUFFIX}"))
            if path != self._own
        }
        # Read after the others: one that has ended meanwhile may be in both, and is named here.
        ended = _read(self._folder / _ENDED)
        for name in _named(ended):
            others.pop(name, None)
        running = map(_families, [own, *others.values()])
        return _text([*running, map(_without_gauges, _families(ended))])

    def end(self) -> None:
        """Keep the counters of this process, which has ended."""
        ended = self._folder / _ENDED
        texts = [_read(ended), _read(self._own)]
        names = [*_named(texts[0]), self._own.name][-_MOST_NAMED:]
        made = _text([map(_without_gauges, _families(text)) for text in texts])
        self._write(ended, f"{_NAMES}{' '.join(names)}\n".encode() + made)
        with suppress(OSError):
            self._own.unlink()

    def _write(self, path: Path, content: bytes) -> None:
        """Replace a file, so that nobody reads half of it.

        A disk may be full, and the folder may be gone: requests are served without metrics.
        """
        new = path.with_suffix(".new")
        try:
            new.write_bytes(content)
            new.replace(path)
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                _log.warning("the metrics of the processes do not add up: %s", error)


class _Merged(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _text(sources: Iterable[Iterable[Metric]]) -> bytes:
    """Several lists of metrics, added up, as text."""
    merged: dict[str, Metric] = {}
    values: dict[str, dict[_Key, float]] = {}
    for source in sources:
        for family in source:
            merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            known = values.setdefault(family.name, {})
            for sample in family.samples:
                key = sample.name, tuple(sorted(sample.labels.items()))
                if key not in known:
                    known[key] = sample.value
                elif family.type != "gauge" or not sample.labels:
                    known[key] += sample.value
    for name, family in merged.items():
        family.samples = [
            Sample(name, dict(labels), value) for (name, labels), value in values[name].items()
        ]
    return generate_latest(_Merged(merged.values()))


def _families(text: bytes) -> Iterator[Metric]:
    yield from text_string_to_metric_families(text.decode())


def _named(ended: bytes) -> list[str]:
    """The files of the processes that have ended."""
    first = ended.partition(b"\n")[0].decode()
    return first.removeprefix(_NAMES).split() if first.startswith(_NAMES) else []


def _without_gauges(family: Metric) -> Metric:
    """The metric, whose gauges describe what an ended process no longer has."""
    if family.type == "gauge":
        family.samples = []
    return family


def _read(path: Path) -> bytes:
    with suppress(OSError):
        return path.read_bytes()
    return b""
