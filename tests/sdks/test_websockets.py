"""Websockets do not pass the transport: they work on a wrapped client as on the bare one."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Thread
from typing import Any

import openai
import pytest
from websockets.sync.server import ServerConnection, serve

import batchwrap
from tests.adapters.callers import Caller

GREETING = '{"type": "session.created", "event_id": "e", "session": {"type": "realtime"}}'


@pytest.fixture
def address() -> Iterator[str]:
    """A server that greets, and says no more."""

    def greet(connection: ServerConnection) -> None:
        connection.send(GREETING)
        for _ in connection:
            pass

    with serve(greet, "127.0.0.1", 0) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.filterwarnings("default")  # the SDK opens its sockets in a way that is deprecated
@pytest.mark.parametrize("wrapped", [False, True])
def test_realtime(caller: Caller, address: str, wrapped: bool) -> None:
    """A realtime session opens, is greeted, and closes."""
    kind = openai.AsyncOpenAI if caller.is_async else openai.OpenAI
    client: Any = caller.closes(
        kind(base_url=f"http://{address}", websocket_base_url=f"ws://{address}/v1", api_key="key")
    )
    if wrapped:
        client = batchwrap.wrap(client)

    def greeted() -> Any:
        with client.realtime.connect(model="m") as connection:
            return connection.recv().type

    async def greeted_async() -> Any:
        async with client.realtime.connect(model="m") as connection:
            return (await connection.recv()).type

    assert caller.run(greeted_async if caller.is_async else greeted) == "session.created"
