"""Labs without delays, and clients for threads, asyncio and trio."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import httpx2
import pytest
from anyio.from_thread import start_blocking_portal

from batchwrap.lab import Lab, Model, Raw, Reply, Script
from tests.adapters.api_agents import ApiAgent
from tests.adapters.callers import Caller, Web


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    """Closes what is put on it, the last first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(closing: ExitStack) -> Callable[..., Lab]:
    """Starts a lab with a model or with replies to play, without delays unless told otherwise."""

    def start(*said: Model | Reply | Raw, **options: Any) -> Lab:
        options = {"tokens_per_s": math.inf, "ttft_s": 0, **options}
        model: Any = said[0] if callable(said[0]) else Script(*said)  # type: ignore[arg-type]
        return closing.enter_context(Lab(model, **options))

    return start


@pytest.fixture
def opened(closing: ExitStack) -> Callable[..., ApiAgent]:
    """Makes agents, which are closed when the test ends."""

    def make(lab: Lab, api: type[ApiAgent], **options: Any) -> ApiAgent:
        agent = api(lab, **options)
        closing.callback(agent.close)
        return agent

    return make


@pytest.fixture(params=["threads", "asyncio"])
def caller(request: pytest.FixtureRequest, closing: ExitStack) -> Caller:
    """Calls SDK clients. Not on trio: there the SDK's own streams warn at their end."""
    return _caller(request.param, closing)


@pytest.fixture(
    params=[
        pytest.param((library, where), marks=() if is_quick else pytest.mark.thorough)
        for library, where, is_quick in (
            (httpx, "threads", True),
            (httpx, "asyncio", False),  # in the tests of an SDK that is built on it
            (httpx, "trio", True),
            (httpx2, "threads", False),
            (httpx2, "asyncio", True),
            (httpx2, "trio", False),
        )
    ],
    ids=lambda param: f"{param[0].__name__}-{param[1]}",
)
def web(request: pytest.FixtureRequest, closing: ExitStack) -> Web:
    """Calls clients of either HTTP library that SDKs are built on.

    The quick profile has each library and each way of calling, CI all pairs of them.
    """
    library, where = request.param
    return Web(library, _caller(where, closing))


@pytest.fixture
def threads(closing: ExitStack) -> Web:
    """Calls httpx in threads, for what has nothing to do with the way of calling."""
    return Web(httpx, _caller("threads", closing))


def _caller(where: str, closing: ExitStack) -> Caller:
    if where == "threads":
        return Caller(closing, None)
    return Caller(closing, closing.enter_context(start_blocking_portal(where)))
