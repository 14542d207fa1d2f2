"""litellm's Router above and below the decorator, and the proxy's hook around it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import litellm
import pytest
from litellm import Router

import batchwrap
import batchwrap.litellm
from batchwrap.lab import Lab, Raw, Script
from batchwrap.testing import ManualClock
from tests.adapters.conversation import (
    END,
    MULTI_CALL,
    READS,
    TOOLS,
    USER,
    answered,
    calls_of,
    folded,
    gather,
)

pytestmark = pytest.mark.filterwarnings("default")
REFUSED = Raw(429, {"retry-after": "0.01", "content-type": "application/json"}, (b"{}",))


@pytest.fixture
def provider() -> Iterator[Lab]:
    """A provider that makes a multi-call and then ends."""
    with Lab(Script(MULTI_CALL, END), tokens_per_s=math.inf, ttft_s=0) as running:
        yield running


@pytest.fixture
def plain_router(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a hook does to the router's class ends with the test."""
    monkeypatch.setattr(Router, "acompletion", Router.acompletion)


def routes(**labs: Lab) -> list[Any]:
    """A router's model list: for each lab a model of its name."""
    return [
        {
            "model_name": name,
            "litellm_params": {
                "model": f"openai/{name}",
                "api_base": running.base_url,
                "api_key": "k",
            },
        }
        for name, running in labs.items()
    ]


def test_around_a_router(provider: Lab) -> None:
    """`router.completion = batched(router.completion)`: expanded, and folded again.

    Nothing that litellm is about to remove is used for it.
    """
    router: Any = Router(routes(m=provider))
    router.completion = batchwrap.batched(router.completion)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", r"Router\.", DeprecationWarning)
        first = router.completion(model="m", messages=[USER], tools=TOOLS)
    assert isinstance(first, litellm.ModelResponse)
    assert first._hidden_params["model_id"]
    message = first.choices[0].message
    assert calls_of(message) == READS
    router.completion(model="m", messages=answered(message), tools=TOOLS)
    assert folded(provider.journal[-1].json["messages"])
    assert batchwrap.stats(router.completion).folds == 1


def test_its_stream(provider: Lab) -> None:
    """A router's stream keeps its type and what hangs on it."""
    router: Any = Router(routes(m=provider))
    router.completion = batchwrap.batched(router.completion)
    stream = router.completion(model="m", messages=[USER], tools=TOOLS, stream=True)
    assert isinstance(stream, litellm.CustomStreamWrapper)
    assert stream._hidden_params["model_id"]
    assert gather(list(stream))["calls"] == READS


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_its_async_twin(provider: Lab) -> None:
    """`router.acompletion`, streaming and plain."""
    router: Any = Router(routes(m=provider))
    router.acompletion = batchwrap.batched(router.acompletion)
    stream = await router.acompletion(model="m", messages=[USER], tools=TOOLS, stream=True)
    assert isinstance(stream, litellm.CustomStreamWrapper)
    assert gather([chunk async for chunk in stream])["calls"] == READS
    done = await router.acompletion(model="m", messages=[USER], tools=TOOLS)
    assert done.choices[0].message.content == "Both read."
    await litellm.close_litellm_async_clients()


@pytest.mark.thorough  # the router sleeps between its own, six seconds in all
def test_its_retries_are_counted() -> None:
    """A router's own retries beneath ours use up ours: three rounds of two are six."""
    with Lab(Script(*[REFUSED] * 30), tokens_per_s=math.inf, ttft_s=0) as running:
        router: Any = Router(routes(m=running), num_retries=1)
        throttle = batchwrap.Throttle(clock=ManualClock())
        complete = batchwrap.batched(throttle=throttle)(router.completion)
        with pytest.raises(litellm.RateLimitError):
            complete(model="m", messages=[USER], tools=TOOLS)
        assert running.refusals == 6


def test_under_a_router(provider: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A router over a decorated `litellm.completion` hears of a 429 at once, and falls back."""
    complete = batchwrap.batched(litellm.completion)
    monkeypatch.setattr(litellm, "completion", complete)
    with Lab(Script(*[REFUSED] * 9), tokens_per_s=math.inf, ttft_s=0) as full:
        falls_back = [{"m": ["n"]}]
        router: Any = Router(routes(m=full, n=provider), num_retries=0, fallbacks=falls_back)
        first = router.completion(model="m", messages=[USER], tools=TOOLS)
        message = first.choices[0].message
        assert (calls_of(message), full.refusals) == (READS, 1)
        router.completion(model="n", messages=answered(message), tools=TOOLS)
    assert folded(provider.journal[-1].json["messages"])
    assert batchwrap.stats(complete).retries == 0


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.usefixtures("plain_router")
async def test_the_hook(serve: Callable[..., Lab]) -> None:
    """Every router of the process is translated by one engine; each call once."""
    provider = serve(MULTI_CALL, END, END)
    made = batchwrap.litellm.hook()
    assert isinstance(made, litellm.integrations.custom_logger.CustomLogger)
    first = await Router(routes(m=provider)).acompletion(model="m", messages=[USER], tools=TOOLS)
    message = first.choices[0].message
    assert calls_of(message) == READS
    history = answered(message)
    await Router(routes(m=provider)).acompletion(model="m", messages=history, tools=TOOLS)
    assert folded(provider.journal[-1].json["messages"])
    assert (batchwrap.stats(made).requests, batchwrap.stats(made).folds) == (2, 1)
    newer = batchwrap.litellm.hook(batching=None)
    await Router(routes(m=provider)).acompletion(model="m", messages=[USER], tools=TOOLS)
    assert (batchwrap.stats(made).requests, batchwrap.stats(newer).requests) == (2, 1)
    await litellm.close_litellm_async_clients()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.usefixtures("plain_router")
async def test_what_the_hook_gives_up_on(provider: Lab) -> None:
    """A limit of ours reaches the proxy as litellm's error for 429, which it can answer with."""
    batchwrap.litellm.hook(limits=[batchwrap.Limit("tokens", 500, 60)])
    router = Router(routes(m=provider), num_retries=0)
    with pytest.raises(litellm.BadRequestError, match="never admits more than 500"):
        await router.acompletion(model="m", messages=[USER], max_tokens=501)
    batchwrap.litellm.hook(limits=[batchwrap.Limit("requests", 1, 86_400)])
    await router.acompletion(model="m", messages=[USER])
    with pytest.raises(litellm.RateLimitError, match="86,400 s"):
        await router.acompletion(model="m", messages=[USER])
    assert provider.round_trips == 1
    await litellm.close_litellm_async_clients()


@pytest.mark.usefixtures("plain_router")
def test_options_of_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """`callback_settings` hold the options of `proxy`; a wrong one fails at start, by name."""
    monkeypatch.delitem(vars(batchwrap.litellm), "proxy", raising=False)
    for settings, message in (
        ({"remind_evry": 6}, "remind_evry"),
        ({"limits": "cerebras/none"}, "cerebras/none"),
        ("fast", "no mapping of options"),
    ):
        monkeypatch.setattr(litellm, "callback_settings", {"batchwrap": settings})
        with pytest.raises(batchwrap.ConfigError, match=message):
            _ = batchwrap.litellm.proxy
    monkeypatch.setattr(litellm, "callback_settings", {"batchwrap": {"preset": "careful"}})
    made = batchwrap.litellm.proxy
    assert batchwrap.litellm.proxy is made
    monkeypatch.delitem(vars(batchwrap.litellm), "proxy")
