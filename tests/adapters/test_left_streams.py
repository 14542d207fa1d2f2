"""Streams that nobody reads to their end: those that an agent leaves, and refused ones."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai

import batchwrap
from batchwrap.lab import Lab, Reply
from tests.adapters.callers import Caller
from tests.adapters.conversation import USER, gather
from tests.adapters.events import DONE, event
from tests.adapters.retries import SOON
from tests.core.harness import chunk


def test_left_with_break(serve: Any) -> None:
    """A loop that is left with `break` leaves nothing behind that the event loop complains of."""
    lab: Lab = serve(lambda request: Reply("word " * 200))
    told: list[str] = []

    async def leave(client: openai.AsyncOpenAI, after: int) -> None:
        asked: Any = {"model": "m", "messages": [USER], "stream": True}
        stream: Any = await client.chat.completions.create(**asked)
        number = 0
        async for _ in stream:
            number += 1
            if number > after:
                break

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, about: told.append(about["message"])
        )
        client = batchwrap.wrap(openai.AsyncOpenAI(base_url=lab.base_url, api_key="k"))
        for turn in range(30):
            await leave(client, turn % 3)
            if turn % 5 == 0:
                gc.collect()
                await asyncio.sleep(0)
        gc.collect()
        await client.close()

    asyncio.run(main())
    # What httpx says of generators that are open when the loop ends is said of bare clients, too.
    assert "Task exception was never retrieved" not in told


@contextmanager
def _stays_open(refusal: bytes, answer: bytes) -> Iterator[str]:
    """A server whose first answer is a refusal in a stream that is never ended."""
    server = socket.create_server(("127.0.0.1", 0))
    opened: list[socket.socket] = []
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"

    def serve() -> None:
        for body in (refusal, answer):
            connection, _ = server.accept()
            opened.append(connection)
            connection.recv(65_536)
            connection.sendall(head + body)
        connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
    finally:
        server.close()
        thread.join()
        for connection in opened:
            connection.close()


def test_a_refused_stream_that_stays_open(caller: Caller) -> None:
    """The retry does not wait for the end of the stream that was refused."""
    refused = {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}
    answer = event(chunk({"role": "assistant", "content": "hi"})) + event(chunk({}, "stop")) + DONE
    with _stays_open(event(refused), answer) as url:
        bare = caller.closes(caller.client_type(base_url=url, api_key="k", timeout=30))
        client = batchwrap.wrap(bare, throttle=batchwrap.Throttle(retry=SOON))
        assert gather(caller.ask(client, stream=True))["content"] == "hi"
