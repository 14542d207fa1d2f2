"""Budgets on the wire: usage of streams, several keys, processes."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import httpx
import openai
import orjson
import pytest

import batchwrap
from batchwrap.adapters.clients import engine_of
from batchwrap.core.limits.cost import Cost
from batchwrap.lab import Lab, Raw
from batchwrap.options import Limit, Throttle
from batchwrap.throttle.accounts import Origin
from batchwrap.throttle.stores import open_store
from tests.adapters.callers import Caller
from tests.adapters.conversation import MULTI_CALL, TOOLS, USER, gather
from tests.adapters.events import DONE, EVENTS, event
from tests.core.harness import chunk, completion

JSON = {"content-type": "application/json"}
YES = Raw(200, JSON, (orjson.dumps(completion({"role": "assistant", "content": "yes"}, "stop")),))
USAGE = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
PLENTY = Limit("tokens", 1_000_000, 1e9)  # next to nothing is refilled


_COST = Cost(1, 10)
_ORIGIN = Origin()
OWN = """
name = "own"
usage_in_streams = true

[plans.all]
limits = [{ kind = "tokens", amount = 1_000_000, per_s = 1_000_000_000 }]
"""


@pytest.fixture
def known(tmp_path: Path) -> str:
    """A plan of a provider that is known to report the usage of streams if it is asked."""
    file = tmp_path / "own.toml"
    file.write_text(OWN, encoding="utf-8")
    return f"{file}#all"


def streamed(*chunks: dict[str, Any]) -> Raw:
    """A stream of these chunks."""
    return Raw(200, EVENTS, (*map(event, chunks), DONE))


TEXT = chunk({"role": "assistant", "content": "yes"})
END = chunk({}, "stop")
LAST = {**chunk({}), "choices": [], "usage": USAGE}
REPORTS = {
    "at the end": streamed(TEXT, END, LAST),
    "with the finish": streamed(TEXT, {**END, "usage": USAGE}),
    "twice": streamed(TEXT, {**END, "usage": USAGE}, LAST),
    "in the choice": streamed(TEXT, {"choices": [{**END["choices"][0], "usage": USAGE}]}),
}


def spent(client: Any) -> float:
    """Tokens that are used up, reservations of running requests included."""
    engine = engine_of(client)
    assert engine is not None
    [(_, now)] = engine.budget.limiter.snapshots().values()
    return now.levels[0].capacity - now.levels[0].free


@pytest.mark.parametrize("where", REPORTS)
def test_usage_of_streams(caller: Caller, serve: Any, known: str, where: str) -> None:
    """Wherever a stream reports it, it is what the request costs; counted once."""
    lab = serve(REPORTS[where])
    client = batchwrap.wrap(caller.open(lab), limits=known)
    assert gather(caller.ask(client, max_tokens=5_000, stream=True))["content"] == "yes"
    assert spent(client) == pytest.approx(13, abs=1)
    assert batchwrap.stats(client).prompt_tokens == 11


def test_usage_is_asked_for(caller: Caller, serve: Any, known: str) -> None:
    """Where the provider takes that; an agent that did not ask never sees the additional chunk."""
    lab = serve(REPORTS["at the end"], REPORTS["at the end"], REPORTS["at the end"])
    client = batchwrap.wrap(caller.open(lab), limits=known)
    chunks = caller.ask(client, stream=True)
    assert all(one.choices for one in chunks)
    assert lab.journal[0].json["stream_options"] == {"include_usage": True}
    chunks = caller.ask(client, stream=True, stream_options={"include_usage": True})
    assert chunks[-1].usage.total_tokens == 13
    caller.ask(client, stream=True, stream_options={"include_usage": False})
    assert lab.journal[2].json["stream_options"] == {"include_usage": False}


def test_usage_is_not_asked_for_anywhere_else(caller: Caller, serve: Any) -> None:
    """A provider that nobody knows may refuse what it does not know."""
    lab = serve(REPORTS["with the finish"])
    client = batchwrap.wrap(caller.open(lab), limits=[PLENTY])
    caller.ask(client, stream=True)
    assert "stream_options" not in lab.journal[0].json


def test_a_stream_without_usage(caller: Caller, serve: Any) -> None:
    """What it used nobody knows: it counts as reserved."""
    lab = serve(streamed(TEXT, END))
    client = batchwrap.wrap(caller.open(lab), limits=[PLENTY])
    caller.ask(client, max_tokens=5_000, stream=True)
    assert spent(client) > 5_000


def test_several_keys(caller: Caller, serve: Any) -> None:
    """Each request carries the key of the account that takes it, and nothing else changes."""
    lab = serve(*[YES] * 4)
    keys = ["sk-one", "sk-two"]
    client = batchwrap.wrap(
        caller.open(lab, api_key="sk-agent"),
        throttle=Throttle(limits=[Limit("requests", 2, 600)], keys=keys, max_wait_s=0),
    )
    for number in range(4):
        caller.ask(client, messages=[{"role": "user", "content": str(number)}])
    sent = [entry.headers["authorization"] for entry in lab.journal]
    assert sorted(sent) == ["Bearer sk-one"] * 2 + ["Bearer sk-two"] * 2
    with pytest.raises(openai.RateLimitError) as caught:
        caller.ask(client)
    assert "sk-" not in str(caught.value)


def test_the_key_of_another_header(serve: Any) -> None:
    """Azure and Anthropic carry it in headers of their own."""
    lab = serve(YES)
    with httpx.Client(headers={"api-key": "agent", "x-other": "kept"}) as bare:
        client = batchwrap.wrap(bare, throttle=Throttle(keys=["pooled"]))
        client.post(f"{lab.base_url}/chat/completions", json={"messages": [USER]})
    headers = lab.journal[0].headers
    assert (headers["api-key"], headers["x-other"]) == ("pooled", "kept")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("stored", ["memory", "sqlite"])
def test_fork(serve: Any, tmp_path: Path, stored: str) -> None:
    """A child that was forked off while a request was under way is not held up by it."""
    store = "memory" if stored == "memory" else f"sqlite:///{tmp_path / 'budget.db'}"
    lab: Lab = serve(lambda request: MULTI_CALL)
    with openai.OpenAI(base_url=lab.base_url, api_key="k") as bare:
        throttle = Throttle(limits=[PLENTY], store=store)
        client = batchwrap.wrap(bare, throttle=throttle)
        body: Any = {"model": "m", "messages": [USER], "tools": TOOLS}
        client.chat.completions.create(**body)
        child = os.fork()
        if child == 0:
            ended = 1
            try:
                with openai.OpenAI(base_url=lab.base_url, api_key="k") as own:
                    fresh = batchwrap.wrap(own, throttle=throttle)
                    fresh.chat.completions.create(**body)
                engine = engine_of(client)
                assert engine is not None
                admission = engine.call(body, _ORIGIN).admission
                admission.reserve(_COST, _COST)
                admission.settle(_COST, None)
                ended = 0
            finally:
                os._exit(ended)
        assert os.waitpid(child, 0)[1] == 0
        client.chat.completions.create(**body)
    assert len(lab.journal) == 3


def _ask_once(url: str, store: str) -> None:
    with openai.OpenAI(base_url=url, api_key="k") as bare:
        client = batchwrap.wrap(bare, throttle=Throttle(limits=[PLENTY], store=store))
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])


@pytest.mark.thorough
@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_last_settlement_of_a_process(serve: Any, tmp_path: Path, start: str) -> None:
    """What a worker's last request has used is in the books when the worker has ended."""
    lab = serve(lambda request: MULTI_CALL)
    store = f"sqlite:///{tmp_path / 'budget.db'}"
    context: Any = multiprocessing.get_context(start)
    for _ in range(3):
        worker = context.Process(target=_ask_once, args=(lab.base_url, store))
        worker.start()
        worker.join(20)
        assert worker.exitcode == 0
    days = [line.spent for line in open_store(store).usage() if line.span == "day"]
    assert sum(spent.requests for spent in days) == 3
