"""With every part on, a wrapped client sends and returns the same as the bare one.

Each call is made on both against one server; what the server was sent and what the caller got
must be equal, to the byte.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import openai
import pydantic
import pytest
from anyio.from_thread import start_blocking_portal

import batchwrap
from batchwrap.options import Limit, Repair
from tests.adapters.callers import Caller
from tests.adapters.conversation import USER
from tests.transparency.seen import seen
from tests.transparency.server import Asked, Recorder, recorder

# All endpoints that limits hold back, with a limit that holds nothing back.
LIMITS = [Limit("tokens", 1e9, 60), Limit("requests", 1e9, 60)]
ALL = Repair.all()
# The SDK warns of its own: deprecated endpoints, and how it prints what it has parsed.
pytestmark = pytest.mark.filterwarnings("default")
CHAT: dict[str, Any] = {"model": "m", "messages": [USER]}
Call = Callable[[Caller, Any], Any]


class Number(pydantic.BaseModel):
    """A structured answer."""

    n: int


def call(path: str, /, **options: Any) -> Call:
    """Calls a method of the client, by its path."""

    def make(caller: Caller, client: Any) -> Any:
        method = client
        for name in path.split("."):
            method = getattr(method, name)
        return caller.run(method, **options)

    return make


def stream(path: str, **options: Any) -> Call:
    """The same for a stream: its items and its response."""

    def make(caller: Caller, client: Any) -> Any:
        opened = call(path, stream=True, **options)(caller, client)
        items = list(caller.each(opened))
        return [*items, opened.response]

    return make


def block(path: str, read: str, **options: Any) -> Call:
    """The same for a context manager; `read` names what reads it."""

    async def use_async(opening: Any) -> Any:
        async with opening as opened:
            return [await getattr(opened, read)(), getattr(opened, "http_response", None)]

    def use(opening: Any) -> Any:
        with opening as opened:
            return [getattr(opened, read)(), getattr(opened, "http_response", None)]

    def make(caller: Caller, client: Any) -> Any:
        method = client
        for name in path.split("."):
            method = getattr(method, name)
        return caller.run(use_async if caller.is_async else use, method(**options))

    return make


def pages(caller: Caller, client: Any) -> Any:
    """All items of a paginated list, and its first page."""
    if not caller.is_async:
        page = client.files.list(limit=1)
        return [page, *page]

    async def read() -> list[Any]:
        page = await client.files.list(limit=1)
        return [page, *[item async for item in page]]

    return caller.run(read)


def upload() -> Any:
    """A file for a multipart upload."""
    return ("a.jsonl", io.BytesIO(b'{"messages": []}\n' * 3), "application/jsonl")


def with_options(**options: Any) -> Call:
    """A copy with other options, asked."""

    def make(caller: Caller, client: Any) -> Any:
        other = client.with_options(**options)
        answer = caller.run(other.chat.completions.create, **CHAT)
        return [answer, other.max_retries, other.timeout, str(other.base_url)]

    return make


CALLS: dict[str, Call] = {
    "chat": call("chat.completions.create", **CHAT),
    "chat streamed": stream("chat.completions.create", **CHAT),
    "chat parsed": call("chat.completions.parse", **CHAT, response_format=Number),
    "chat stream helper": block("chat.completions.stream", "get_final_completion", **CHAT),
    "chat raw": call("chat.completions.with_raw_response.create", **CHAT),
    "chat streaming response": block(
        "chat.completions.with_streaming_response.create", "read", **CHAT
    ),
    "chat streaming response, parsed": block(
        "chat.completions.with_streaming_response.create", "parse", **CHAT
    ),
    "chat with extras": call(
        "chat.completions.create",
        **CHAT,
        extra_headers={"X-Mine": "1"},
        extra_query={"q": "ä b"},
        extra_body={"top_k": 3, "odd": 1.10},
        timeout=7.5,
    ),
    "responses": call("responses.create", model="m", input="Hi"),
    "responses streamed": stream("responses.create", model="m", input="Hi"),
    "responses raw": call("responses.with_raw_response.create", model="m", input="Hi"),
    "responses parsed": call("responses.parse", model="m", input="Hi", text_format=Number),
    "response retrieved": call("responses.retrieve", response_id="r"),
    "response cancelled": call("responses.cancel", response_id="r"),
    "completions": call("completions.create", model="m", prompt="Hi"),
    "completions streamed": stream("completions.create", model="m", prompt="Hi"),
    "embeddings": call("embeddings.create", model="m", input=["a", "b"]),
    "embeddings of tokens": call("embeddings.create", model="m", input=[[1, 2], [3]]),
    "embeddings raw": call("embeddings.with_raw_response.create", model="m", input="a"),
    "embeddings streaming response": block(
        "embeddings.with_streaming_response.create", "read", model="m", input="a"
    ),
    "models": call("models.list"),
    "a model": call("models.retrieve", model="m"),
    "pages": pages,
    "a file's content": call("files.content", file_id="f"),
    "a file's deletion": call("files.delete", file_id="f"),
    "moderations": call("moderations.create", input="a"),
    "images": call("images.generate", prompt="a", model="m"),
    "speech": call("audio.speech.create", model="m", voice="alloy", input="a"),
    "speech, streaming response": block(
        "audio.speech.with_streaming_response.create", "read", model="m", voice="v", input="a"
    ),
    "batches": call(
        "batches.create",
        input_file_id="f",
        endpoint="/v1/chat/completions",
        completion_window="24h",
    ),
    "assistants": call("beta.assistants.create", model="m"),
    "a thread's message": call(
        "beta.threads.messages.create", thread_id="t", role="user", content="Hi"
    ),
    "vector stores": call("vector_stores.create", name="a"),
    "fine-tuning": call("fine_tuning.jobs.create", model="m", training_file="f"),
    "a path of one's own": call("post", path="/own", body={"a": 1.10}, cast_to=object),
    "with options": with_options(max_retries=7, timeout=3.5),
    "with headers": with_options(default_headers={"x-copy": "1"}, default_query={"v": "2"}),
    "no JSON": call("embeddings.create", model="not-json", input="a"),
}
UPLOADS: dict[str, Callable[[], Call]] = {
    "files": lambda: call("files.create", file=upload(), purpose="batch"),
    "files raw": lambda: call("files.with_raw_response.create", file=upload(), purpose="batch"),
    "transcriptions": lambda: call("audio.transcriptions.create", file=upload(), model="m"),
    "images": lambda: call("images.edit", image=upload(), prompt="a"),
    "parts": lambda: call("uploads.parts.create", upload_id="u", data=upload()),
}


@dataclass(frozen=True, slots=True)
class Side:
    """One way of calling: a server, and a bare client for it, as making one takes long."""

    caller: Caller
    server: Recorder
    bare: Any

    def pair(self, **options: Any) -> tuple[Any, Any]:
        """A bare client and a wrapped one, of the same options."""
        bare = self.bare.with_options(**options)
        wrapped = batchwrap.wrap(self.bare.with_options(**options), limits=LIMITS, repair=ALL)
        return bare, wrapped


@pytest.fixture(scope="module", params=["threads", "asyncio"])
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """Threads, and an asyncio loop."""
    with ExitStack() as closing, recorder() as server:
        portal = None
        if request.param != "threads":
            portal = closing.enter_context(start_blocking_portal(request.param))
        caller = Caller(closing, portal)
        bare = caller.closes(caller.client_type(base_url=server.url, api_key="key"))
        yield Side(caller, server, bare)


def outcome(make: Call, caller: Caller, client: Any) -> Any:
    """What a caller sees of a call: its result or its error."""
    try:
        return seen(make(caller, client))
    except Exception as error:
        return seen(error)


def both(side: Side, make: Call, clients: tuple[Any, Any] | None = None) -> tuple[Any, list[Asked]]:
    """Make a call on both; what is seen and what was sent must be equal. Returns the bare one's."""
    results, sent = [], []
    for client in clients or side.pair():
        results.append(outcome(make, side.caller, client))
        sent.append(side.server.take())
    assert sent[1] == sent[0]
    assert results[1] == results[0]
    return results[0], sent[0]


@pytest.mark.parametrize("name", CALLS)
def test_calls(side: Side, name: str) -> None:
    """The same request goes out, and the same result comes back."""
    result, sent = both(side, CALLS[name])
    assert sent
    failed = isinstance(result, dict) and "class" in result
    assert failed is (name == "no JSON"), result


@pytest.mark.parametrize("name", UPLOADS)
def test_uploads(side: Side, name: str) -> None:
    """A multipart upload arrives to the byte."""
    _, sent = both(side, lambda caller, client: UPLOADS[name]()(caller, client))
    assert any(b'{"messages": []}' in asked.body for asked in sent)


NEEDED: dict[str, dict[str, Any]] = {
    "chat.completions.create": {"messages": [USER]},
    "embeddings.create": {"input": "a"},
    "models.retrieve": {},
}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 418, 422, 429, 500, 503])
@pytest.mark.parametrize("path", NEEDED)
def test_errors(side: Side, path: str, status: int) -> None:
    """An error of the server has the same type, attributes and response."""
    if status == 413 and path.startswith("chat"):
        pytest.skip("repair tells it by its meaning: the model's context is too small")
    model = f"status-{status}"
    make = call(path, model=model, **NEEDED[path])
    result, sent = both(side, make, side.pair(max_retries=0))
    assert issubclass(result["class"], openai.APIStatusError)
    assert result["response"]["status"][0] == status
    assert len(sent) == 1


@pytest.mark.parametrize("path", NEEDED)
def test_retries_of_the_sdk(side: Side, path: str) -> None:
    """What is no refusal is retried by the SDK as often as without us."""
    make = call(path, model="status-500", **NEEDED[path])
    _, sent = both(side, make, side.pair(max_retries=2))
    counts = [dict(asked.headers)["x-stainless-retry-count"] for asked in sent]
    assert counts == [b"0", b"1", b"2"]


HANGING: dict[str, Call] = {
    "chat": call("chat.completions.create", model="hang", messages=[USER], timeout=0.2),
    "chat streamed": call(
        "chat.completions.create", model="hang", messages=[USER], stream=True, timeout=0.2
    ),
    "embeddings": call("embeddings.create", model="hang", input="a", timeout=0.2),
    "others": call("models.retrieve", model="hang", timeout=0.2),
}


@pytest.mark.parametrize("name", HANGING)
def test_timeouts(side: Side, name: str) -> None:
    """A time that a request sets for itself holds, and ends in the same error."""
    result, _ = both(side, HANGING[name], side.pair(max_retries=0))
    assert result["class"] is openai.APITimeoutError
    assert side.server.gone.wait(5)
    side.server.gone.clear()


@pytest.mark.parametrize("make", list(CALLS.values())[:3])
def test_no_connection(side: Side, make: Call) -> None:
    """Where nobody listens the error is the same."""
    clients = side.pair(base_url="http://127.0.0.1:9/v1", max_retries=0)
    result, _ = both(side, make, clients)
    assert result["class"] is openai.APIConnectionError


def test_everything_off(side: Side) -> None:
    """With all parts off a client is as good as bare."""
    wrapped = batchwrap.wrap(side.bare, batching=None, reminders=None, throttle=None, repair=None)
    for make in (CALLS["chat"], CALLS["chat streamed"], CALLS["responses"], CALLS["embeddings"]):
        both(side, make, (side.bare, wrapped))
