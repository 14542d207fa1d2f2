"""Several processes serve one agent: it gets each wave once, whichever of them it asks."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator

import pytest

from batchwrap.lab import Lab
from batchwrap.lab.api_forms import as_chat
from tests.core.apis import CHAT, Api, each_api
from tests.serve.fleet import Fleet, Roaming
from tests.serve.plays import FIRST, PLAYS, SCRIPTED, SECOND, Model, edit, flat
from tests.throttle.redis_server import BINARY, REQUIRED, RedisServer

pytestmark = pytest.mark.skipif(not BINARY and not REQUIRED, reason="no redis-server")
# Whole answers; and streams, while one of the processes is killed.
each_end = pytest.mark.parametrize(
    ("stream", "kills"),
    [(False, frozenset()), (True, frozenset({2}))],
    ids=["all live", "one dies"],
)


@pytest.fixture(scope="module")
def model() -> Model:
    """The model of all tests, which holds nothing up unless told so."""
    made = Model()
    made.leave.set()
    return made


@pytest.fixture(scope="module")
def provider(model: Model) -> Iterator[Lab]:
    """Its provider."""
    with Lab(model, tokens_per_s=math.inf, ttft_s=0) as lab:
        yield lab


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real server."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def endpoints(provider: Lab, redis: RedisServer) -> Iterator[Fleet]:
    """Three processes in front of it that share a memory and a budget."""
    # A busy machine is no failure.
    patient = f"{redis.url}?socket_timeout=60&socket_connect_timeout=60"
    shared = "--memory", patient, "--store", patient, "--scripts"
    made = Fleet(3, "--upstream", provider.base_url, *shared)
    yield made
    made.end()


@pytest.fixture
def fleet(endpoints: Fleet) -> Fleet:
    """All three of them, though a test before may have killed some."""
    return endpoints.complete()


@each_api
@each_end
def test_waves(fleet: Fleet, provider: Lab, api: Api, stream: bool, kills: frozenset[int]) -> None:
    """Each call is run once, those of one file in order, and waves cost no round trip."""
    before = provider.round_trips
    agent = Roaming(fleet, api, "batches", stream=stream)
    agent.kills = kills
    agent.run()
    own = [edit("a.py", 5), edit("a.py", 6)]
    assert flat(agent.ran) == flat([FIRST, SECOND, own])
    edits = [given for wave in agent.ran for name, given in wave if name == "edit_file"]
    of_a = [one["old_string"] for one in edits if one["path"] == "a.py"]
    assert of_a == ["1", "2", "3", "5", "6"]
    assert all(len({given["path"] for _, given in wave}) == len(wave) for wave in agent.ran)
    assert provider.round_trips - before == len(PLAYS["batches"])


@each_api
@each_end
def test_scripts(
    fleet: Fleet, provider: Lab, api: Api, stream: bool, kills: frozenset[int]
) -> None:
    """A program goes on wherever the agent asks, and no call of it is made twice."""
    pytest.importorskip("pydantic_monty")
    before = provider.round_trips
    agent = Roaming(fleet, api, "scripts", stream=stream)
    agent.kills = kills
    assert agent.run().ran == SCRIPTED
    assert provider.round_trips - before == 2
    [*_, last] = as_chat(provider.journal[-1].json)["messages"]
    assert "4 calls ran" in last["content"]


@pytest.mark.parametrize("stream", [False, True])
def test_killed_while_it_waits_for_the_provider(fleet: Fleet, model: Model, stream: bool) -> None:
    """The agent sends its request again, and goes on as if nothing had been."""
    agent = Roaming(fleet, CHAT, "batches", stream=stream)
    model.leave.clear()
    work = threading.Thread(target=agent.run)
    work.start()
    model.entered.acquire()
    fleet.kill()
    model.leave.set()
    work.join(120)
    assert flat(agent.ran) == flat([FIRST, SECOND, [edit("a.py", 5), edit("a.py", 6)]])


def test_nobody_reads_it(fleet: Fleet, redis: RedisServer) -> None:
    """The server holds nothing in clear text: no path, no program, no key of an account."""
    Roaming(fleet, CHAT, "batches", stream=False).run()
    names = redis.ask("KEYS", "batchwrap:*:memory:*")
    assert names
    for name in names:
        held = " ".join([name, *redis.ask("HGETALL", name)])
        assert "a.py" not in held and "edit_file" not in held and "batches" not in held
        assert 0 < int(redis.ask("PTTL", name)) <= 24 * 3_600 * 1_000
