"""What type checkers see of the public functions. Checked by mypy, never run."""

from typing import Any, assert_type

import httpx
from openai import AsyncOpenAI, OpenAI

import batchwrap
from batchwrap.testing import Lab, ManualClock, Reply, Script, calls_in


def planning(client: OpenAI) -> None:
    """Modes are a context manager; directives are data."""
    with batchwrap.mode("plan") as nothing:
        assert_type(nothing, None)
    own = batchwrap.Directive("own", "Batch.", when="build")
    assert_type((*batchwrap.DEFAULT_DIRECTIVES, own), tuple[batchwrap.Directive, ...])


def wrapping(client: OpenAI, later: AsyncOpenAI, http: httpx.Client) -> None:
    """Wrapping gives back the type that it was given."""
    assert_type(batchwrap.wrap(client), OpenAI)
    assert_type(batchwrap.wrap(later, limits="cerebras/code-max"), AsyncOpenAI)
    assert_type(batchwrap.wrap(http, throttle=None, in_place=True), httpx.Client)
    assert_type(batchwrap.stats(client), batchwrap.Stats)
    batchwrap.install(limits=[batchwrap.Limit("requests", 1, 60)], remind_every=None)
    batchwrap.uninstall()


@batchwrap.batched
def bare(**kwargs: Any) -> int:
    """Decorated without options."""
    return 1


@batchwrap.batched(remind_every=3)
async def configured(**kwargs: Any) -> str:
    """Decorated with options."""
    return ""


def testing(client: OpenAI) -> None:
    """A clock of the user's own fits; calls are names and arguments."""
    clock = ManualClock()
    batchwrap.wrap(client, throttle=batchwrap.Throttle(clock=clock))
    assert_type(Lab(Script(Reply("ok")), clock=clock), Lab)
    assert_type(calls_in([]), list[tuple[str, Any]])


async def decorating() -> None:
    """A decorated function keeps its signature."""
    assert_type(bare(messages=[]), int)
    assert_type(await configured(messages=[]), str)
