"""The httpx binding under respx, which many users' tests are built on."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import orjson
import pytest
import respx

import batchwrap
from tests.adapters.conversation import READS, TOOLS, USER, calls_of, gather
from tests.adapters.events import PATHS, multi_read
from tests.core.harness import call, completion

URL = "https://api.example.test/v1/chat/completions"
ASKED: Any = {"model": "m", "messages": [USER], "tools": TOOLS}
ARGUMENTS = {"files": [arguments for _, arguments in READS]}
SAID = completion(
    {"role": "assistant", "content": None, "tool_calls": [call("c", "multi_read", ARGUMENTS)]}
)
ANSWER = {**SAID, "model": "m", "created": 1}
EVENTS = {"content-type": "text/event-stream"}


@pytest.fixture
def router() -> Any:
    """A respx router at its usual seam, below the transports."""
    with respx.mock() as mocked:
        yield mocked


def names(request: httpx.Request) -> list[str]:
    return [tool["function"]["name"] for tool in orjson.loads(request.content)["tools"]]


def test_client(router: Any) -> None:
    """A wrapped `httpx.Client` is mocked as a bare one; the route sees the provider's view."""
    route = router.post(URL).respond(json=ANSWER, headers={"x-odd": "1"})
    with httpx.Client() as bare:
        client = batchwrap.wrap(bare)
        response = client.post(URL, json=ASKED)
        client.close()
    made = response.json()["choices"][0]["message"]["tool_calls"]
    assert [one["function"]["name"] for one in made] == ["read_file", "read_file"]
    assert response.headers["x-odd"] == "1"
    assert names(route.calls.last.request) == [
        "read_file",
        "edit_file",
        "multi_read",
        "multi_edit",
        "batch",
    ]
    assert names(response.request) == ["read_file", "edit_file"]


@pytest.mark.anyio
async def test_async_client(router: Any) -> None:
    """The same for tasks, plain and streamed."""
    async with httpx.AsyncClient() as bare:
        client = batchwrap.wrap(bare)
        router.post(URL).mock(
            side_effect=[
                httpx.Response(200, json=ANSWER),
                httpx.Response(200, headers=EVENTS, content=multi_read()),
            ]
        )
        plain = await client.post(URL, json=ASKED)
        streamed = await client.post(URL, json={**ASKED, "stream": True})
        await client.aclose()
    assert len(plain.json()["choices"][0]["message"]["tool_calls"]) == 2
    assert streamed.content.count(b'"name":"read_file"') == len(PATHS)


def test_sdk(router: Any) -> None:
    """An SDK client on httpx, plain and streamed; openai 3 takes one, too."""
    router.post(URL).mock(
        side_effect=[
            httpx.Response(200, json=ANSWER),
            httpx.Response(200, headers=EVENTS, content=multi_read()),
        ]
    )
    http: Any = httpx.Client()
    with openai.OpenAI(base_url=URL[:-17], api_key="k", http_client=http) as bare:
        create: Any = batchwrap.wrap(bare).chat.completions.create
        assert calls_of(create(**ASKED).choices[0].message) == READS
        message = gather(list(create(**ASKED, stream=True)))
    assert message["calls"] == [("read_file", {"path": path}) for path in PATHS]


def test_retries(router: Any) -> None:
    """A refusal of the mocked provider is retried."""
    route = router.post(URL)
    route.side_effect = [httpx.Response(429, headers={"retry-after": "0.01"})] * 2 + [
        httpx.Response(200, json=ANSWER)
    ]
    with httpx.Client() as bare:
        client = batchwrap.wrap(bare)
        assert client.post(URL, json=ASKED).status_code == 200
        client.close()
    assert route.call_count == 3


def test_errors(router: Any) -> None:
    """An error that the mock raises reaches the caller as it is, with his own request."""
    router.post(URL).mock(side_effect=httpx.ConnectError("no route"))
    with httpx.Client() as bare:
        client = batchwrap.wrap(bare)
        with pytest.raises(httpx.ConnectError, match="no route") as caught:
            client.post(URL, json=ASKED)
        client.close()
    assert names(caught.value.request) == ["read_file", "edit_file"]


def test_mock_transport() -> None:
    """httpx's own `MockTransport` is a transport as any other."""

    def answer(request: httpx.Request) -> httpx.Response:
        assert "multi_read" in names(request)
        return httpx.Response(200, json=ANSWER)

    with batchwrap.wrap(httpx.Client(transport=httpx.MockTransport(answer))) as client:
        response = client.post(URL, json=ASKED)
    assert len(response.json()["choices"][0]["message"]["tool_calls"]) == 2
