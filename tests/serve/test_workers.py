"""`serve --workers`: one port, several processes, and to the agent it is one."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from batchwrap.errors import ConfigError
from batchwrap.lab import Lab
from batchwrap.options import Batching, Limit
from batchwrap.serve import Settings, Workers
from batchwrap.serve.merged_metrics import METRICS, merge
from batchwrap.serve.peers import Peers
from tests.adapters.waiting import until
from tests.core.apis import CHAT
from tests.serve.fleet import Fleet, Roaming, Served
from tests.serve.plays import FIRST, PLAYS, SECOND, Model, edit, flat

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc")


@pytest.fixture
def provider() -> Iterator[Lab]:
    """The provider behind the endpoint."""
    model = Model()
    model.leave.set()
    with Lab(model, tokens_per_s=math.inf, ttft_s=0) as lab:
        yield lab


def children(pid: int) -> list[int]:
    """The processes that a process has started, without Python's own helpers."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = {int(one): Path(f"/proc/{one}/cmdline").read_bytes() for one in found}
    return [one for one, line in lines.items() if b"spawn_main" in line]


def lives(pid: int) -> bool:
    """Whether a process is there, and not only waits to be counted as gone."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def metrics(told: dict[str, str]) -> str:
    """The metrics that one of the workers answers with."""
    return httpx2.get(told["metrics"], timeout=60).text


def published(tmp_path: Path) -> str:
    """The metrics that all workers have published so far."""
    [folder] = folders(tmp_path)
    return merge(Peers(folder, "nobody", b"").others(METRICS)).decode()


def counter(text: str, name: str) -> float:
    """A number in metrics; 0 if it is not there yet."""
    lines = text.splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)


def folders(tmp_path: Path) -> list[Path]:
    """What the workers share."""
    return [*tmp_path.glob("batchwrap-*")]


@pytest.fixture
def served(
    provider: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Served]]:
    """Starts three workers, which share what they make themselves."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    made: list[Served] = []

    def start() -> Served:
        made.append(Served("--upstream", provider.base_url, "--workers", "3"))
        return made[-1]

    yield start
    for one in made:
        if one.process.returncode is None:
            one.end()


def test_as_one(served: Callable[[], Served], provider: Lab, tmp_path: Path) -> None:
    """Batches go on in any of them, though one is killed; metrics add up; the end ends all."""
    one = served()
    fleet = Fleet(1)
    fleet.running = [one]
    assert httpx2.get(one.told["health"], timeout=60).status_code == 200
    until(lambda: len(children(one.process.pid)) == 3)
    asked = len(PLAYS["batches"])
    for number in range(4):
        agent = Roaming(fleet, CHAT, "batches", stream=bool(number % 2))
        agent.keeps = False
        agent.run()
        assert flat(agent.ran) == flat([FIRST, SECOND, [edit("a.py", 5), edit("a.py", 6)]])
        if not number:  # what a process that is killed has not published yet is lost
            until(lambda: counter(published(tmp_path), "batchwrap_local_answers_total") == 5)
            until(lambda: counter(published(tmp_path), "batchwrap_round_trips_total") == asked)
            dead = children(one.process.pid)[0]
            os.kill(dead, signal.SIGKILL)
    assert provider.round_trips == 4 * asked
    until(lambda: counter(metrics(one.told), "batchwrap_round_trips_total") == 4 * asked)
    until(lambda: len(children(one.process.pid)) == 3 and not lives(dead))
    workers = children(one.process.pid)
    assert len(folders(tmp_path)) == 1
    assert one.end() == 0
    assert not any(map(lives, workers))
    assert folders(tmp_path) == []


def test_the_first_process_is_killed(served: Callable[[], Served]) -> None:
    """Then the others end by themselves, and hold the port no longer."""
    one = served()
    until(lambda: len(children(one.process.pid)) == 3)
    workers = children(one.process.pid)
    httpx2.get(one.told["health"], timeout=60)
    one.kill()
    until(lambda: not any(map(lives, workers)))
    with pytest.raises(httpx2.TransportError):
        httpx2.get(one.told["health"], timeout=60)


def test_their_folder_is_removed(served: Callable[[], Served], tmp_path: Path) -> None:
    """All of them go on, and one that dies is replaced."""
    one = served()
    until(lambda: len(children(one.process.pid)) == 3)
    httpx2.get(one.told["health"], timeout=60)
    [folder] = folders(tmp_path)
    shutil.rmtree(folder)
    os.kill(children(one.process.pid)[0], signal.SIGKILL)
    until((folder / "worker-4.worker.metrics").exists)
    assert httpx2.get(one.told["health"], timeout=60).status_code == 200
    assert one.end() == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk(served: Callable[[], Served], tmp_path: Path) -> None:
    """What a killed process had counted counts on until there is room to keep it."""
    one = served()
    until(lambda: len(children(one.process.pid)) == 3)
    metrics(one.told)
    [folder] = folders(tmp_path)
    until(lambda: len([*folder.glob("*.page")]) == 3)
    (folder / "ended.page.new").symlink_to("/dev/full")
    os.kill(children(one.process.pid)[0], signal.SIGKILL)
    until((folder / "worker-4.worker.page").exists)
    assert len([*folder.glob("*.worker.page")]) == 4
    page = httpx2.get(f"{one.url}/batchwrap/data", timeout=60)
    assert page.status_code == 200
    (folder / "ended.page.new").unlink()
    until((folder / "ended.page").exists)
    until(lambda: len([*folder.glob("*.worker.page")]) == 3)
    assert one.end() == 0


def imports(pid: int) -> bool:
    """Whether a process has begun to import batchwrap."""
    return "orjson" in Path(f"/proc/{pid}/maps").read_text()


def test_ctrl_c_while_they_start() -> None:
    """A terminal sends it to all processes. Those that are not ready end without a traceback."""
    command = [sys.executable, "-m", "batchwrap", "serve", "--port", "0", "--workers", "2"]
    with subprocess.Popen(
        [*command, "--upstream", "http://h/v1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        until(lambda: len(children(process.pid)) == 2)
        first = children(process.pid)
        for pid in first:
            until(partial(imports, pid))
            os.kill(pid, signal.SIGINT)
        until(lambda: not any(map(lives, first)))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"Traceback" not in errors


def test_one_budget(provider: Lab) -> None:
    """A limit holds for all of them together."""
    settings = Settings(upstream=provider.base_url)
    workers = Workers(settings, 2, limits=[Limit("requests", 3, 3600)])
    serving = threading.Thread(target=workers.run)
    serving.start()
    asked: dict[str, Any] = {"model": "batches", "messages": [{"role": "user", "content": "Go."}]}
    statuses = []
    for _ in range(5):
        with httpx2.Client(timeout=60) as client:  # another connection, maybe another worker
            response = client.post(f"{workers.base_url}/chat/completions", json=asked)
            statuses.append(response.status_code)
    workers.stop()
    serving.join(60)
    assert statuses == [200, 200, 200, 429, 429]
    assert json.loads(response.text)["error"]["code"].startswith("batchwrap_")


@pytest.mark.parametrize("count", [0, -1, 1_000])
def test_how_many(count: int) -> None:
    """A number that makes no sense is refused by name."""
    with pytest.raises(ConfigError, match=r"^workers: "):
        Workers(Settings(upstream="http://localhost:1/v1"), count)


def test_a_wrong_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is said before any process is started, and leaves nothing behind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(ConfigError, match=r"^limits: "):
        Workers(Settings(upstream="http://localhost:1/v1"), 2, limits="nobody/nothing")
    assert folders(tmp_path) == []


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("on_event", {"on_event": lambda event: None}),
        ("Batching.failed", {"batching": Batching(failed=lambda text: False)}),
    ],
)
def test_what_cannot_be_sent(option: str, given: dict[str, Any]) -> None:
    """A function that another process cannot import is refused by the name of its option."""
    with pytest.raises(ConfigError, match=rf"^{option}: cannot be sent to another process"):
        Workers(Settings(upstream="http://localhost:1/v1"), 2, **given)


def test_what_can_be_sent() -> None:
    """A function of a module, and all options of a preset."""
    workers = Workers(Settings(upstream="http://localhost:1/v1"), 2, on_event=print, preset="fast")
    workers.close()
