"""Plays conversations with scripts: an agent, a wrapped client, a provider, and no socket."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import httpx2

import batchwrap
from batchwrap.adapters.clients import engine_of
from batchwrap.core.moves import ids
from batchwrap.drive.interpreter import Interpreter
from batchwrap.options import Batching, Scripts
from tests.core.apis import Api, Body, Message
from tests.core.harness import call
from tests.core.samples import EDIT_REQUEST, EDIT_USER
from tests.core.script_programs import World

FIELD = "batchwrap_script"
INTERPRETER = Interpreter()
OPTIONS = Batching(coalesce="never", scripts=Scripts())


def script(call_id: str, code: str) -> Message:
    """A model's call of a script."""
    return call(call_id, "run_script", {"code": code})


def says(*calls: Message, text: str | None = None) -> Message:
    """What a model says."""
    message: Message = {"role": "assistant", "content": text}
    return {**message, "tool_calls": list(calls)} if calls else message


@dataclass
class Provider:
    """A model that says one thing after the other, by how often it has spoken.

    Attributes:
        api: its API.
        turns: what it says.
        pieces: into how many pieces arguments are streamed.
        cut: the share of a stream's bytes behind which it breaks off; None: it does not.
        size: bytes in which a stream comes.
        refuses: whether it takes no request with something that batchwrap has added.
        requests: what it got.
        faults: what was wrong with some of these.
    """

    api: Api
    turns: Sequence[Message]
    pieces: int = 3
    cut: float | None = None
    size: int = 10_000
    refuses: bool = False
    requests: list[Body] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Its answer."""
        body: Body = json.loads(request.content)
        self.requests.append(body)
        fault = self.fault_in(body)
        if fault is not None:
            self.faults.append(fault)
            wrong = {"type": "invalid_request_error", "message": fault}
            return httpx2.Response(400, json={"type": "error", "error": wrong})
        spoken = sum(one["role"] == "assistant" for one in self.api.form.as_chat(body)["messages"])
        said = self.turns[spoken] if spoken < len(self.turns) else says(text="Done.")
        if not body.get("stream"):
            return httpx2.Response(200, json=self.api.answer(said))
        cuts = [_cut(one["function"]["arguments"], self.pieces) for one in _calls(said)]
        events = self.api.events(said, cuts)
        data = b"".join(_event(self.api, one) for one in events)
        data += b"data: [DONE]\n\n" if self.api.name == "chat" else b""
        data = data if self.cut is None else data[: int(self.cut * len(data))]
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, stream=_Bytes(data, self.size))

    def fault_in(self, body: Body) -> str | None:
        """What is wrong with a request."""
        if FIELD in json.dumps(body):
            return f"unknown field {FIELD}"
        if self.refuses and "run_script" in json.dumps(body.get("tools")):
            return "too many tools"
        return None if self.api.is_valid(body) else self.api.form.fault_in(body)


class _Bytes(httpx2.SyncByteStream):
    def __init__(self, data: bytes, size: int) -> None:
        self._data, self._size = data, size

    def __iter__(self) -> Any:
        for at in range(0, len(self._data), self._size):
            yield self._data[at : at + self._size]


def _event(api: Api, event: Body) -> bytes:
    name = api.format.event_name(event)
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(event)}\n\n".encode()


def _cut(text: str, count: int) -> list[str]:
    size = max(1, -(-len(text) // count))
    return [text[at : at + size] for at in range(0, len(text), size)] or [""]


def _calls(message: Message) -> list[Message]:
    return message.get("tool_calls") or []


@dataclass(frozen=True)
class Agent:
    """How an agent deals with what it gets.

    Attributes:
        streams: whether it asks for streams.
        takes: whether it runs all calls that it gets; or the first, and keeps that one only in its
            history; or the first, and says that it has skipped the others.
        ids: whether it keeps ids as they are, cuts them, or makes its own.
        keeps: whether it keeps fields of calls that it does not know.
        retries: whether it sends each request twice.
    """

    streams: bool = False
    takes: Literal["all", "first", "skips"] = "all"
    ids: Literal["kept", "cut", "own"] = "kept"
    keeps: bool = True
    retries: bool = False


@dataclass
class Play:
    """One conversation.

    Attributes:
        provider: answers what reaches it.
        agent: runs the calls.
        world: what its tools give.
        batching: the options.
        ran: the calls that it has run, with their ids and how they ended.
        history: the agent's.
        told: what it got, answer by answer.
    """

    provider: Provider
    agent: Agent
    world: World
    batching: Batching | None = OPTIONS
    ran: list[tuple[str, str, Any, str]] = field(default_factory=list)
    history: list[Message] = field(default_factory=lambda: [EDIT_USER])
    told: list[Message] = field(default_factory=list)
    model: str = "m"
    extra: Body = field(default_factory=dict)
    client: Any = None

    def __post_init__(self) -> None:
        if self.client is None:
            self.restart(self.batching)

    def restart(self, batching: Batching | None) -> None:
        """Go on in another process, with options of its own."""
        self.batching = batching
        bare = httpx2.Client(
            base_url="https://lab.example", transport=httpx2.MockTransport(self.provider)
        )
        self.client = batchwrap.wrap(bare, reminders=None, batching=self.batching, throttle=None)
        engine = engine_of(self.client)
        assert engine is not None
        engine.interpreter = INTERPRETER

    @property
    def api(self) -> Api:
        """The API that is spoken."""
        return self.provider.api

    @property
    def requests(self) -> list[Body]:
        """What has reached the provider."""
        return self.provider.requests

    @property
    def stats(self) -> Any:
        """What was counted."""
        return batchwrap.stats(self.client)

    def fork(self, world: World) -> Play:
        """The same conversation, which goes on with other results."""
        known = [(name, json.loads(text)) for _, name, text, _ in self.ran]
        ended = {key(*one): self.world.result(*one) for one in known}
        world = replace(world, known=(*self.world.known, *ended.items()))
        other = replace(self, world=world, history=deepcopy(self.history), ran=[*self.ran])
        other.told = [*self.told]
        return other

    def run(self, most: int = 400, until: Callable[[Play], bool] = lambda play: False) -> Play:
        """Go on until the model has no more to call."""
        for _ in range(most):
            goes_on = self.step()
            assert self.stats.internal_errors == 0
            if not goes_on or until(self):
                return self
        raise AssertionError("what is handed out comes again and again")

    def ask(self) -> Message:
        """The message that the agent gets for its history as it is."""
        chat = {**EDIT_REQUEST, "model": self.model, "messages": self.history, **self.extra}
        body = {**self.api.form.request(chat), **({"stream": True} if self.agent.streams else {})}
        response = self.client.post(self.api.form.path, json=body)
        response.raise_for_status()
        if not self.agent.streams:
            message = self.api.form.message(response.json())
        else:
            message = gathered(self.api, response.text)
        return {**message, "tool_calls": [_plain(one, self.agent) for one in _calls(message)]}

    def step(self) -> bool:
        """Ask, and run the calls; False: there are none."""
        message = self.ask()
        if self.agent.retries:
            again = self.ask()
            assert _said(again) == _said(message)
        self.told.append(message)
        calls = _calls(message)
        if not calls:
            self.history.append({k: v for k, v in message.items() if k != "tool_calls"})
            return False
        kept = calls if self.agent.takes != "first" else calls[:1]
        runs = calls if self.agent.takes == "all" else calls[:1]
        skipped = calls[1:] if self.agent.takes == "skips" else []
        if self.agent.ids == "own":
            for one in calls:
                one["id"] = f"own_{len(self.told)}_{one['id'][:12]}"
        results = {}
        for one in runs:
            name, text = one["function"]["name"], one["function"]["arguments"]
            status, content = self.answer(name, text)
            self.ran.append((one["id"], name, text, status))
            results[one["id"]] = content
        results |= {one["id"]: "Error: skipped, one call at a time" for one in skipped}
        self.history.append({**message, "tool_calls": kept})
        self.history += [
            {"role": "tool", "tool_call_id": one["id"], "content": results[one["id"]]}
            for one in [*runs, *skipped]
        ]
        return True

    def answer(self, name: str, arguments: str) -> tuple[str, Any]:
        """What one call gives."""
        known = {one["function"]["name"] for one in EDIT_REQUEST["tools"]}
        if name not in known:
            return "unknown", f"Error: there is no tool {name}"
        try:
            return self.world.result(name, json.loads(arguments))
        except ValueError:
            return "unknown", "Error: the arguments are no JSON"

    # What is known in the end.

    def calls_run(self) -> Counter[str]:
        """The calls of the agent's own tools that it ran."""
        known = [one for one in self.ran if one[3] != "unknown"]
        return Counter(key(name, text) for _, name, text, _ in known)

    @property
    def sent(self) -> list[Message]:
        """The conversation as it reached the provider last."""
        messages: list[Message] = self.api.form.as_chat(self.requests[-1])["messages"]
        return messages


def key(name: str, arguments: Any) -> str:
    """A call as a text that can be compared."""
    value = json.loads(arguments) if isinstance(arguments, str) else arguments
    return json.dumps([name, value], sort_keys=True)


def _said(message: Message) -> Any:
    return [one["function"] for one in _calls(message)]


def _plain(one: Message, agent: Agent) -> Message:
    known = ("id", "type", "function")
    kept = dict(one) if agent.keeps else {name: one[name] for name in known if name in one}
    if agent.ids == "cut":
        kept["id"] = "".join(c for c in kept["id"] if c.isalnum())[:9]
    return kept


def gathered(api: Api, text: str) -> Message:
    """The message of a stream; of one that broke off, its whole calls."""
    lines = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: {")]
    events = [json.loads(line) for line in lines if _is_json(line)]
    is_broken = len(events) < len(lines) or any(
        "error" in one or one.get("type") == "error" for one in events
    )
    message = api.gather([one for one in events if "error" not in one])
    if api.name == "chat":
        _with_fields(message, events)
    if is_broken:
        return {**message, "tool_calls": [one for one in _calls(message) if _is_whole(one)]}
    return message


def _with_fields(message: Message, events: list[Body]) -> None:
    for event in events:
        for choice in event.get("choices") or ():
            for part in choice["delta"].get("tool_calls") or ():
                rest = {k: v for k, v in part.items() if k not in ("index", "id", "function")}
                message["tool_calls"][part["index"]].update(rest)


def _is_whole(one: Message) -> bool:
    return _is_json(one["function"]["arguments"])


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def told(play: Play) -> dict[str, str]:
    """What the model was told of each of its calls, by their ids."""
    return {
        one["tool_call_id"]: text_in(one["content"]) for one in play.sent if one["role"] == "tool"
    }


def text_in(content: Any) -> str:
    """A content as a text."""
    if isinstance(content, str) or content is None:
        return content or ""
    return "\n".join(one.get("text", "[image]") for one in content)


def has_our_ids(body: Body, api: Api) -> bool:
    """Whether any call in a request has an id of ours."""
    messages = api.form.as_chat(body)["messages"]
    return any(ids.decode(one["id"]) for m in messages for one in m.get("tool_calls") or ())
