"""The agent's mode: by a block around its requests, or by a header of one of them."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import anyio
import pytest

import batchwrap
from batchwrap.lab import Reply
from batchwrap.modes import current_mode
from tests.adapters.callers import Caller, Web
from tests.adapters.conversation import TOOLS, USER

PREFETCH = "[Reminder: before you begin, read all files"


def first(entry: Any) -> str:
    """The first message that the provider saw."""
    return str(entry.json["messages"][0]["content"])


def test_a_block(caller: Caller, serve: Any) -> None:
    """Requests made inside are planning, streamed or not; those made outside are not."""
    lab = serve(*[Reply("Planned.")] * 3)
    client = batchwrap.wrap(caller.open(lab))

    def ask(text: str, **more: Any) -> None:
        caller.ask(client, tools=TOOLS, messages=[{"role": "user", "content": text}], **more)

    with batchwrap.mode("plan"):
        ask("One.")
        ask("Two.", stream=True)
    ask("Three.")
    assert [PREFETCH in first(entry) for entry in lab.journal] == [True, True, False]
    assert batchwrap.stats(client).directives["m"]["prefetch"]["given"] == 2


def test_in_no_mode(caller: Caller, serve: Any) -> None:
    """A prompt that names files needs no mode, and says nothing about the next conversation."""
    lab = serve(*[Reply("Read.")] * 4)
    client = batchwrap.wrap(caller.open(lab))
    for text in ("Compare a.py and b.py.", "Go on."):
        for stream in (False, True):
            caller.ask(
                client, tools=TOOLS, messages=[{"role": "user", "content": text}], stream=stream
            )
    assert [PREFETCH in first(entry) for entry in lab.journal] == [True, True, False, False]


def test_the_decorator_sees_the_block(serve: Any) -> None:
    """A decorated function is in the mode of the block that it is called in."""
    seen: list[Any] = []

    @batchwrap.batched
    def complete(**kwargs: Any) -> Any:
        seen.append(kwargs["messages"])
        return {"choices": []}

    for name in ("plan", "build"):
        with batchwrap.mode(name):
            complete(model="m", tools=TOOLS, messages=[USER])
    assert [PREFETCH in str(messages) for messages in seen] == [True, False]


def test_blocks_in_blocks() -> None:
    """The innermost block counts; afterwards the one around it does again."""
    with batchwrap.mode("plan"):
        with batchwrap.mode("build"):
            assert current_mode() == "build"
        assert current_mode() == "plan"
    assert current_mode() is None


def test_an_unknown_mode() -> None:
    """It is refused by name."""
    with (
        pytest.raises(batchwrap.ConfigError, match="'draft'"),
        batchwrap.mode("draft"),  # type: ignore[arg-type]
    ):
        pass


def test_threads_have_their_own() -> None:
    """A block in one thread is not seen in another; `asyncio.to_thread` takes it along."""
    seen: list[Any] = []

    def look() -> None:
        seen.append(current_mode())

    async def hand_over() -> None:
        await asyncio.to_thread(look)

    with batchwrap.mode("plan"):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
        asyncio.run(hand_over())
    assert seen == [None, "plan"]


@pytest.mark.anyio
async def test_tasks_inherit_it() -> None:
    """A task has the mode of where it was started, whatever others do meanwhile."""
    seen: dict[str, Any] = {}
    started = anyio.Event()

    async def look(name: str) -> None:
        await started.wait()
        seen[name] = current_mode()

    async with anyio.create_task_group() as tasks:
        with batchwrap.mode("plan"):
            tasks.start_soon(look, "inside")
        tasks.start_soon(look, "outside")
        with batchwrap.mode("build"):
            started.set()
            await anyio.lowlevel.checkpoint()
    assert seen == {"inside": "plan", "outside": None}


@pytest.mark.parametrize(("told", "expected"), [("plan", True), ("build", False), ("?", False)])
def test_a_header(web: Web, serve: Any, told: str, expected: bool) -> None:
    """It tells the mode of one request, and does not reach the provider, whatever it says."""
    lab = serve(Reply("Planned."))
    client = batchwrap.wrap(web.open())
    headers = {"X-Batchwrap-Mode": told, "x-other": "kept"}
    web.post(client, lab, json={"model": "m", "messages": [USER], "tools": TOOLS}, headers=headers)
    [entry] = lab.journal
    assert (PREFETCH in first(entry)) is expected
    assert "x-batchwrap-mode" not in entry.headers
    assert entry.headers["x-other"] == "kept"


def test_a_header_counts_before_a_block(caller: Caller, serve: Any) -> None:
    """What one request says is more than what was said for many."""
    lab = serve(Reply("Built."))
    client = batchwrap.wrap(caller.open(lab))
    with batchwrap.mode("plan"):
        caller.ask(client, tools=TOOLS, extra_headers={"x-batchwrap-mode": "build"})
    assert PREFETCH not in first(lab.journal[0])


def test_a_header_of_another_request(web: Web, serve: Any) -> None:
    """The header is ours: it is taken out of requests that go through untouched, too."""
    lab = serve(Reply("x"))
    client = batchwrap.wrap(web.open())
    headers = {"x-batchwrap-mode": "plan", "content-type": "application/json"}
    body = json.dumps({"model": "m", "messages": [USER], "tools": "odd"}).encode()
    web.post(client, lab, content=body, headers=headers)
    assert lab.journal[0].body == body
    assert "x-batchwrap-mode" not in lab.journal[0].headers


@pytest.mark.parametrize("placement", ["append", "user", "system"])
@pytest.mark.parametrize("stream", [False, True])
def test_reminders_stay_out_of_the_agents_conversation(
    caller: Caller, serve: Any, placement: Any, stream: bool
) -> None:
    """Wherever they are placed, the agent's own messages never have them."""
    lab = serve(*[Reply("Done.")] * 3)
    reminders = batchwrap.Reminders(every=1, placement=placement)
    client = batchwrap.wrap(caller.open(lab), reminders=reminders)
    messages: list[Any] = [USER]
    for _ in range(3):
        before = json.dumps(messages)
        answer = caller.ask(client, tools=TOOLS, messages=messages, stream=stream)
        assert json.dumps(messages) == before
        assert "Reminder" not in str(answer)
        messages += [{"role": "assistant", "content": "Done."}, {"role": "user", "content": "On."}]
    sent = lab.journal[-1].json["messages"]
    assert sum("[Reminder: " in str(message["content"]) for message in sent) == 2
    assert len(sent) == len(messages) - 2 + (0 if placement == "append" else 2)
