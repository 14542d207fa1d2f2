"""Several `batchwrap serve` in processes of their own, and agents that ask any of them."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from typing import Any, Self
from uuid import uuid4

import httpx2

from tests.core.apis import Api, Body, as_json
from tests.core.harness import answer
from tests.core.script_play import gathered
from tests.strategies import EDIT_FILE, GREP, READ_FILE

TOOLS = [READ_FILE, EDIT_FILE, GREP]
_END_WITHIN_S = 60
_ANSWER_WITHIN_S = 60


class Served:
    """One command in a process of its own.

    Attributes:
        told: the addresses that it has printed.
    """

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "batchwrap", "serve", "--port", "0", "--json", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.told: dict[str, str] = json.loads(line or "{}")

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return self.told["base_url"].removesuffix("/v1")

    def kill(self) -> None:
        """End it with no chance to tidy up."""
        self.process.kill()
        self._gone()

    def end(self) -> int:
        """End it as Ctrl-C does; its exit code."""
        self.process.send_signal(signal.SIGINT)
        return self._gone()

    def _gone(self) -> int:
        code = self.process.wait(_END_WITHIN_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


class Fleet:
    """Endpoints that are alike, in front of one provider.

    Args:
        count: how many.
        arguments: of each.
    """

    def __init__(self, count: int, *arguments: str) -> None:
        self._count = count
        self._arguments = arguments
        self.running: list[Served] = []
        self.chosen = random.Random(19)
        self.last: Served | None = None

    def complete(self) -> Self:
        """As many as at the beginning, though some were killed."""
        while len(self.running) < self._count:
            self.running.append(Served(*self._arguments))
        return self

    def any(self) -> Served:
        """The one that gets the next request, any but the last one."""
        others = [one for one in self.running if one is not self.last]
        self.last = self.chosen.choice(others or self.running)
        return self.last

    def kill(self) -> None:
        """Kill the one that got the last request."""
        assert self.last is not None
        one = self.last  # an agent in another thread may be asking others meanwhile
        self.running.remove(one)
        one.kill()

    def end(self) -> None:
        """End all of them."""
        for one in self.running:
            one.end()


class Roaming:
    """An agent each of whose requests goes to any endpoint; one that breaks off is sent again.

    Attributes:
        kills: the numbers of the answers behind which the endpoint that gave them is killed.
        keeps: whether it uses a connection again; else each request has its own.
        ran: (name, arguments) of each call that it ran, answer by answer.
    """

    def __init__(self, fleet: Fleet, api: Api, model: str, *, stream: bool) -> None:
        self._fleet, self._api, self._stream = fleet, api, stream
        self._asked = {"model": model, "tools": TOOLS, "max_tokens": 100, "stream": stream}
        # A conversation of its own, since the endpoints remember those of other tests.
        self._history: list[Body] = [{"role": "user", "content": f"Go on. {uuid4()}"}]
        self.kills: frozenset[int] = frozenset()
        self.keeps = True
        self.ran: list[list[tuple[str, Any]]] = []

    def run(self) -> Self:
        """Go on until the model makes no more calls."""
        with httpx2.Client(timeout=_ANSWER_WITHIN_S) as client:
            while True:
                message = self._ask(client)
                made = as_json(message)
                if not made:
                    return self
                self.ran.append(made)
                if len(self.ran) in self.kills:
                    self._fleet.kill()
                results = {one["id"]: f"ran {one['id']}" for one in message["tool_calls"]}
                self._history += answer(message, results)

    def _ask(self, client: httpx2.Client) -> Body:
        """The message that answers one request."""
        form = self._api.form
        body = form.request({**self._asked, "messages": self._history})
        headers = {} if self.keeps else {"connection": "close"}
        try:
            url = self._fleet.any().url + form.path
            response = client.post(url, json=body, headers=headers)
        except httpx2.TransportError:
            return self._ask(client)
        assert response.status_code == 200, response.text
        return gathered(self._api, response.text) if self._stream else form.message(response.json())
