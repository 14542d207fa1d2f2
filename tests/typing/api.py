"""The public names as users type them. Checked by type checkers (`make lint`), never run.

`assert_type` says what a user gets. Where a line has `type: ignore`, a type checker must object to
it: mypy reports an ignore that nothing needs.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import httpx
import httpx2
import openai
from openai import AsyncOpenAI, AzureOpenAI, OpenAI
from tenacity import Retrying, stop_after_attempt

import batchwrap
from batchwrap import (
    Batching,
    Directive,
    Event,
    Limit,
    Marker,
    ReadAhead,
    Reminders,
    Repair,
    Throttle,
    Tool,
)
from batchwrap.testing import Call, Lab, ManualClock, Reply, Script, calls_in
from batchwrap.tools import Workspace, WorkspaceError


def wrapping(client: OpenAI, later: AsyncOpenAI, azure: AzureOpenAI) -> None:
    """Wrapping gives back the type that it was given."""
    assert_type(batchwrap.wrap(client), OpenAI)
    assert_type(batchwrap.wrap(later, limits="cerebras/code-max"), AsyncOpenAI)
    assert_type(batchwrap.wrap(azure, preset="fast", remind_every=4), AzureOpenAI)
    with batchwrap.wrap(client) as opened:
        assert_type(opened, OpenAI)
    batchwrap.wrap(openai)
    batchwrap.install(limits=[Limit("requests", 1, 60)], remind_every=None)
    batchwrap.uninstall()
    batchwrap.wrap(client, limit="cerebras/code-max")  # type: ignore[call-arg]  # no such option


def wrapping_transports(old: httpx.Client, new: httpx2.Client, later: httpx2.AsyncClient) -> None:
    """So do the clients beneath, with each part switched off by None."""
    assert_type(batchwrap.wrap(old, throttle=None, in_place=True), httpx.Client)
    assert_type(batchwrap.wrap(new, batching=None, reminders=None), httpx2.Client)
    assert_type(batchwrap.wrap(later, repair=None), httpx2.AsyncClient)


def counting(client: OpenAI) -> None:
    """Counters are numbers; they convert to a dict."""
    stats = batchwrap.stats(client)
    assert_type(stats, batchwrap.Stats)
    assert_type(batchwrap.stats(), batchwrap.Stats)
    assert_type(stats.round_trips, int)
    assert_type(stats.waited_s, float)
    assert_type(stats.as_dict(), dict[str, Any])


def batching() -> Batching:
    """Tools are named by kind or described; a word that is none is an error before it runs."""
    Batching(offer="sometimes")  # type: ignore[arg-type]
    Batching(tools={"bash": "unknown"})  # type: ignore[dict-item]
    return Batching(
        offer="instead",
        tools={"bash": "sequential", "patch": Tool("edit", path="target")},
        exclude=["notebook"],
        max_items=4,
        delivery="serial",
        failed=lambda result: result.startswith("Error"),
        read_ahead=ReadAhead(max_reads=2, sources=["prompt"]),
    )


def reminding() -> Reminders:
    """Directives and markers are data."""
    assert_type(batchwrap.DEFAULT_DIRECTIVES, tuple[Directive, ...])
    own = Directive("own", "Batch.", when="build", models=["*qwen*"], judged=False)
    Directive("own", "Batch.", kind="whenever")  # type: ignore[arg-type]
    return Reminders(
        every=None,
        placement="user",
        directives=(own, *batchwrap.DEFAULT_DIRECTIVES),
        modes=[Marker("plan", "^PLANNING:", switch=True)],
    )


def throttling() -> Throttle:
    """Limits are a plan or a list; the retries are tenacity's."""
    Limit("megabytes", 1)  # type: ignore[arg-type]
    return Throttle(
        limits=[Limit("tokens", 1e6, 60, "rolling"), Limit("concurrency", 8)],
        store="sqlite:///budget.db",
        store_down="fail",
        keys=["one", "two"],
        max_wait_s=30,
        retry=Retrying(stop=stop_after_attempt(3)),
    )


def everything(client: OpenAI) -> None:
    """All parts together, and whom to tell of what happens."""

    def told(event: Event) -> None:
        assert_type(event.at_unix_s, float)
        print(event.name, dict(event.data))

    batchwrap.wrap(
        client,
        batching=batching(),
        reminders=reminding(),
        throttle=throttling(),
        repair=Repair(leaked_calls="gated", max_output=4_096),
        on_event=told,
    )


def blocks() -> None:
    """Modes and priorities are context managers."""
    with batchwrap.mode("plan") as nothing, batchwrap.priority(1) as nothing_either:
        assert_type(nothing, None)
        assert_type(nothing_either, None)
    batchwrap.mode("think")  # type: ignore[arg-type]


def failing(client: OpenAI) -> float | None:
    """Errors carry data, under one root."""
    try:
        batchwrap.wrap(client)
    except batchwrap.LimitExceeded as error:
        assert_type(error.limit, str)
        return error.retry_after_s
    except batchwrap.ContextLimitExceeded as error:
        assert_type(error.requested, int)
    except (batchwrap.StoreUnavailable, batchwrap.BrokenAnswer, batchwrap.BatchwrapError):
        raise
    return None


@batchwrap.batched
def bare(**kwargs: Any) -> int:
    """Decorated without options."""
    return 1


@batchwrap.batched(remind_every=3)
async def configured(*, messages: list[dict[str, Any]], model: str = "m") -> str:
    """Decorated with options."""
    return model


@batchwrap.batched(batching=None)
def streaming(**kwargs: Any) -> Iterator[dict[str, Any]]:
    """A generator of chunks."""
    yield {}


@batchwrap.batched
async def streaming_later(**kwargs: Any) -> AsyncIterator[dict[str, Any]]:
    """An async generator of chunks."""
    yield {}


class Provider:
    """A class whose method completes."""

    @batchwrap.batched
    def complete(self, **kwargs: Any) -> str:
        """A method."""
        return ""


async def decorating() -> None:
    """A decorated function keeps its signature."""
    assert_type(bare(messages=[]), int)
    assert_type(await configured(messages=[]), str)
    assert_type(streaming(messages=[]), Iterator[dict[str, Any]])
    assert_type(streaming_later(messages=[]), AsyncIterator[dict[str, Any]])
    assert_type(Provider().complete(messages=[]), str)
    await configured(model="m")  # type: ignore[call-arg]  # its messages are missing
    assert_type(batchwrap.stats(bare), batchwrap.Stats)


def testing(client: OpenAI) -> None:
    """A clock of the user's own fits; calls are names and arguments."""
    clock = ManualClock()
    batchwrap.wrap(client, throttle=Throttle(clock=clock))
    with Lab(Script(Reply("ok"), Reply(calls=(Call("read", {}),))), clock=clock) as lab:
        assert_type(lab, Lab)
        assert_type(lab.base_url, str)
    assert_type(calls_in([]), list[tuple[str, Any]])


def working() -> str:
    """File tools for agents that want them ready-made."""
    workspace = Workspace(".")
    assert_type(workspace.schemas(), list[dict[str, Any]])
    try:
        return workspace.read_file("a.py", limit=10)
    except WorkspaceError as error:
        return str(error)
