"""Tools that should be declared: `stats` names them over HTTP, and the line that it shows works."""

from __future__ import annotations

from typing import Any

import pytest

import batchwrap
from batchwrap import Batching
from batchwrap.lab import Call, Reply
from tests.adapters.api_agents import ApiAgent, MessagesAgent, ResponsesAgent
from tests.adapters.batching_models import scripted

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CITIES = ["Bonn", "Vienna", "Rome", "Oslo"]
SINGLES = [Reply("", calls=(Call("get_weather", {"city": city}),)) for city in CITIES]


def weather(api: type[ApiAgent]) -> dict[str, Any]:
    """The tool in the form of an API."""
    if api is MessagesAgent:
        return {"name": "get_weather", "input_schema": SCHEMA}
    return {"type": "function", "name": "get_weather", "parameters": SCHEMA}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", [MessagesAgent, ResponsesAgent], ids=["messages", "responses"])
def test_what_is_declared_is_offered(
    serve: Any, opened: Any, api: type[ApiAgent], stream: bool
) -> None:
    """Four single calls of an unknown tool are seen, and with the line it is in batches."""
    offered = []
    line = "Batching()"
    for _ in range(2):
        lab = serve(scripted(*SINGLES))
        batching = eval(line, {"Batching": Batching})
        agent = opened(lab, api, stream=stream, batching=batching)
        agent.tools = [weather(api)]
        agent.run()
        assert [given for _, given in agent.ran] == [{"city": city} for city in CITIES]
        stats = batchwrap.stats(agent.client)
        offered.append((len(lab.journal[0].json["tools"]), dict(stats.undeclared)))
        line = stats.declaration or line
    assert line == 'Batching(tools={"get_weather": "read_only"})'
    assert offered[0] == (1, {"get_weather": 3})
    assert offered[1][0] > 1 and offered[1][1] == {}
