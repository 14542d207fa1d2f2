"""The page of `serve --workers`: one page, whichever of the processes answers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from batchwrap.lab import Lab, Reply
from tests.adapters.conversation import MULTI_CALL, TOOLS, USER
from tests.adapters.waiting import until
from tests.core.harness import answer
from tests.serve.fleet import Served
from tests.serve.live_page.browser import Browser

COUNT = 3
FACTS = "document.getElementById('facts').innerText"
TURNS = "document.getElementById('turns').innerText"
SECRET = "the secret words"


class Worker:
    """A connection to one of the processes, which is the same for all of its requests."""

    def __init__(self, url: str, client: httpx2.Client) -> None:
        self._url = url
        self._client = client
        self.pid = self.page()["process"]

    def page(self) -> dict[str, Any]:
        """The data of the page as this one tells it."""
        data: dict[str, Any] = orjson.loads(self._client.get(f"{self._url}/batchwrap/data").content)
        return data

    def ask(self, messages: list[Any], model: str = "m") -> Any:
        """Send a chat request, and return the message that answers it."""
        asked = {"model": model, "messages": messages, "tools": TOOLS}
        key = {"authorization": "Bearer sk-very-secret"}
        sent = self._client.post(f"{self._url}/v1/chat/completions", json=asked, headers=key)
        assert sent.status_code == 200, sent.text
        return sent.json()["choices"][0]["message"]


class Model:
    """Reads two files, and is done; a model "slow" says so when it is let.

    Attributes:
        leave: set: slow answers are given.
    """

    def __init__(self) -> None:
        self.leave = threading.Event()

    def __call__(self, request: dict[str, Any]) -> Reply:
        """The next turn."""
        if request["model"] == "slow":
            self.leave.wait(60)
        spoken = any(one["role"] == "assistant" for one in request["messages"])
        return Reply(SECRET) if spoken or request["model"] == "slow" else MULTI_CALL


@pytest.fixture
def model() -> Iterator[Model]:
    """The model behind the endpoint."""
    made = Model()
    yield made
    made.leave.set()


@pytest.fixture
def served(
    serve: Callable[..., Lab],
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    closing: ExitStack,
) -> Served:
    """Three workers on one port, which run one request at a time."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "batchwrap.toml").write_text(
        "[[throttle.limits]]\nkind = 'concurrency'\namount = 1\n"
        "[[throttle.limits]]\nkind = 'tokens'\namount = 100_000\n"
    )
    upstream = serve(model).base_url
    config = str(tmp_path / "batchwrap.toml")
    made = Served("--upstream", upstream, "--workers", f"{COUNT}", "--config", config)
    closing.callback(made.end)
    return made


@pytest.fixture
def workers(served: Served, closing: ExitStack) -> list[Worker]:
    """A connection to each of them. Any of them may take a new one, so as many are opened."""
    found: dict[int, Worker] = {}
    while len(found) < COUNT:
        client = closing.enter_context(httpx2.Client(timeout=60))
        worker = Worker(served.url, client)
        found.setdefault(worker.pid, worker)
    return [*found.values()]


def converse(workers: list[Worker], prompt: str) -> None:
    """One conversation whose requests go to one worker after the other."""
    history: list[Any] = [{**USER, "content": prompt}]
    for worker in workers:
        message = worker.ask(history)
        results = {one["id"]: "secret result" for one in message.get("tool_calls") or ()}
        history += answer(message, results) if results else [message, USER]


def shown(page: dict[str, Any]) -> list[Any]:
    """What all of them show alike, at whichever moment they are asked."""
    turns = [len(one["turns"]) for one in page["conversations"]]
    limits = [
        (one["account"], [limit["id"] for limit in one["limits"]]) for one in page["accounts"]
    ]
    tokens = page["samples"][-1]["tokens"]
    return [page["began"], page["counters"], page["conversations"], turns, limits, tokens]


def test_as_one(served: Served, workers: list[Worker], tmp_path: Path) -> None:
    """All of them tell the same, also what one that was killed had counted, and no contents."""
    converse(workers, "the secret prompt")
    same: list[Any] = []

    def is_same() -> bool:
        same[:] = [shown(worker.page()) for worker in workers]
        *_, turns, limits, tokens = same[0]
        is_whole = turns == [COUNT] and len(limits) == 1 and tokens[0] > 0
        return is_whole and same == COUNT * same[:1]

    until(is_same)
    assert same[0][1]["requests"] == COUNT and same[0][1]["items"] == 2
    [folder] = tmp_path.glob("batchwrap-*")
    published = b"".join(path.read_bytes() for path in folder.glob("*.page"))
    assert b"multi_read" in published and b"secret" not in published
    os.kill(workers[0].pid, signal.SIGKILL)
    until((folder / "ended.page").exists)
    until(lambda: all(shown(worker.page()) == same[0] for worker in workers[1:]))


def test_in_a_browser(
    served: Served, workers: list[Worker], model: Model, browser: Browser
) -> None:
    """A person sees one page: the totals, one conversation, who waits, and nothing to choose."""
    browser.open(f"{served.url}/batchwrap")
    converse(workers, "Read them.")
    browser.until(f"{FACTS}.includes('{COUNT} requests of agents')")
    browser.until(f"{FACTS}.includes('1 by batches, 0 by scripts: 25 % of 4')")
    turns = browser.run(TURNS)
    assert turns.count("Conversation ") == 1 and turns.count(" chars") == 2
    assert browser.run("document.querySelectorAll('.turn:not(.head)').length") == COUNT
    assert browser.run("document.querySelectorAll('button').length") == 1
    browser.until("document.querySelectorAll('figure svg').length === 2")
    browser.until("document.querySelector('#tokens path.fresh')?.getBBox().height > 0")
    slow = [threading.Thread(target=worker.ask, args=([USER], "slow")) for worker in workers[:2]]
    for task in slow:
        task.start()
    browser.until(f"/Waiting now\\s+1\\s/.test({FACTS})")
    waits = browser.run("document.querySelector('#waiting td').innerText")
    assert waits.startswith("1 requests at the same time")
    model.leave.set()
    for task in slow:
        task.join(60)
    browser.until(f"/Waiting now\\s+0\\s/.test({FACTS})")
    browser.until(f"{FACTS}.includes('{COUNT + 2} requests of agents')")
    assert browser.problems == []
