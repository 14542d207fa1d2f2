"""The metrics of several processes add up, and never decrease when one of them ends."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from batchwrap.serve import peers
from batchwrap.serve.metrics import Metrics
from batchwrap.serve.peers import Peers
from batchwrap.serve.traffic import Traffic
from batchwrap.stats import Counters


class Process:
    """One process: its counters, and what it publishes."""

    def __init__(self, folder: Path, name: str) -> None:
        self.counters = Counters(above=None)
        self.metrics = Metrics(self.counters.stats, Traffic())
        self.peers = Peers(folder, name)

    def text(self) -> bytes:
        """Its own metrics."""
        return self.metrics.render("")[0]

    def publish(self) -> None:
        """Publish once, as it does at its end."""

        async def once() -> None:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await self.peers.run(self.text)

        anyio.run(once)

    def counted(self, name: str) -> float | None:
        """A number of all processes, as this one tells it."""
        lines = self.peers.merged(self.text()).decode().splitlines()
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
        gone.peers.end()
        gone.publish()  # its file may be read by somebody who has listed it before
        assert first.counted("batchwrap_requests_total") == 3
    assert first.counted("batchwrap_requests_in_progress") == 1


def test_what_processes_share(tmp_path: Path) -> None:
    """A gauge with labels is one thing that all of them look at: it does not add up."""
    text = b'# TYPE bucket_free gauge\nbucket_free{limit="tokens"} %d\n'
    one, two = Peers(tmp_path, "1"), Peers(tmp_path, "2")
    (tmp_path / "2.worker.metrics").write_bytes(text % 40)
    assert b'bucket_free{limit="tokens"} 50.0' in one.merged(text % 50)
    assert b'bucket_free{limit="tokens"} 60.0' in two.merged(text % 60)


@pytest.mark.anyio
async def test_a_folder_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Programs that tidy up may remove it: requests are served on, and there is one warning."""
    monkeypatch.setattr(peers, "PERIOD_S", 0)
    own = Process(tmp_path / "gone", "1")
    with anyio.CancelScope() as scope:

        def text() -> bytes:
            own.counters.add({"requests": 1})
            if own.counters.stats().requests == 3:
                scope.cancel()
            return own.text()

        await own.peers.run(text)
    own.peers.end()
    assert own.counted("batchwrap_requests_total") == 4
    [told] = [one.getMessage() for one in caplog.records]
    assert "metrics" in told and str(tmp_path) in told


def test_an_end_that_nobody_has_published(tmp_path: Path) -> None:
    """A process that dies before it has published anything has nothing to add."""
    own = Process(tmp_path, "1")
    Peers(tmp_path, "2").end()
    assert own.counted("batchwrap_requests_total") == 0
