"""The metrics of several processes add up, and never decrease when one of them ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchwrap.serve.merged_metrics import METRICS, merge
from batchwrap.serve.metrics import Metrics
from batchwrap.serve.peers import Peers
from batchwrap.serve.traffic import Traffic
from batchwrap.stats import Counters
from tests.serve.publishing import SECRET, publish


class Process:
    """One process: its counters, and what it publishes."""

    def __init__(self, folder: Path, name: str) -> None:
        self.counters = Counters(above=None)
        self.metrics = Metrics(self.counters.stats, Traffic())
        self.peers = Peers(folder, name, SECRET)

    def text(self) -> bytes:
        """Its own metrics."""
        return self.metrics.render("")[0]

    def publish(self) -> None:
        """Publish once."""
        publish(self.peers, {METRICS: self.text})

    def counted(self, name: str) -> float | None:
        """A number of all processes, as this one tells it."""
        lines = merge([self.text(), *self.peers.others(METRICS)]).decode().splitlines()
        return next((float(one.split()[-1]) for one in lines if one.startswith(f"{name} ")), None)


@pytest.fixture
def processes(tmp_path: Path) -> list[Process]:
    """Three of them."""
    return [Process(tmp_path, f"worker-{number}") for number in range(3)]


def test_added_up(processes: list[Process]) -> None:
    """Counters with and without labels, and gauges, in whichever process they were counted."""
    for number, one in enumerate(processes, start=1):
        one.counters.add({"requests": number, "repairs.index": 1, f"defects.{number}": 1})
        one.metrics.in_progress.inc(number)
        one.publish()
    for one in processes:
        assert one.counted("batchwrap_requests_total") == 6
        assert one.counted('batchwrap_repairs_total{repair="index"}') == 3
        assert one.counted('batchwrap_defects_total{defect="2"}') == 1
        assert one.counted("batchwrap_requests_in_progress") == 6


def test_own_numbers_are_new(processes: list[Process]) -> None:
    """The process that is asked tells its own as they are now."""
    first = processes[0]
    first.publish()
    first.counters.add({"requests": 1})
    assert first.counted("batchwrap_requests_total") == 1


def test_one_ends(processes: list[Process]) -> None:
    """Its counters stay, once; its gauges go."""
    first, second, third = processes
    for one in processes:
        one.counters.add({"requests": 1})
        one.metrics.in_progress.inc()
        one.publish()
    for gone in (second, third):
        assert gone.peers.end([METRICS])
        gone.publish()  # its file may be read by somebody who has listed it before
        assert first.counted("batchwrap_requests_total") == 3
    assert first.counted("batchwrap_requests_in_progress") == 1


def test_what_processes_share() -> None:
    """A gauge with labels is one thing that all of them look at: it does not add up."""
    text = b'# TYPE bucket_free gauge\nbucket_free{limit="tokens"} %d\n'
    assert b'bucket_free{limit="tokens"} 50.0' in merge([text % 50, text % 40])
    assert b'bucket_free{limit="tokens"} 60.0' in merge([text % 60, text % 40])


def test_an_end_that_nobody_has_published(tmp_path: Path) -> None:
    """A process that dies before it has published anything has nothing to add."""
    own = Process(tmp_path, "1")
    assert Peers(tmp_path, "2", SECRET).end([METRICS])
    assert own.counted("batchwrap_requests_total") == 0
