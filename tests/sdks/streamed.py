"""The streaming helper of Anthropic's SDK, which is the strictest reader of its events."""

from __future__ import annotations

from typing import Any

from tests.adapters.callers import Caller


def helped(caller: Caller, client: Any, **asked: Any) -> Any:
    """The final message of the streaming helper."""

    def whole() -> Any:
        with client.messages.stream(**asked) as stream:
            return stream.get_final_message()

    async def whole_async() -> Any:
        async with client.messages.stream(**asked) as stream:
            return await stream.get_final_message()

    return caller.run(whole_async if caller.is_async else whole)
