"""Where a session is played: the real library between a real SDK and a provider over HTTP.

A bare client changes nothing on the way, so its session can be played without a network:
the agent asks the model itself, and the prompts are counted as the provider counts them.
`Stage.play` with ``wrapped=False`` plays it over HTTP all the same, to show that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

import openai
import orjson

import batchwrap
from batchwrap import lab
from batchwrap.lab.api_forms import API_FORMS, ApiForm
from benchmarks import toolbox
from benchmarks.actors import Agent, Message, Play, ScriptedModel
from benchmarks.filler import FillerTokens, spelled_out

DEFAULT = batchwrap.Reminders()
BATCHING = batchwrap.Batching(tools={"bash": "sequential"})


@dataclass(frozen=True, slots=True)
class Played:
    """What a session cost.

    Attributes:
        round_trips: requests that reached the provider.
        prompt_tokens: of all of them, with schemas and reminders.
        requests: requests of the agent, those answered locally included.
        faults: what went wrong: a call that came twice, too early, changed, or never.
        reminders: how many were given.
        reminder_tokens: what they took up in all requests (a rough estimate).
    """

    round_trips: int
    prompt_tokens: int
    requests: int
    faults: tuple[str, ...]
    reminders: int = 0
    reminder_tokens: int = 0


@dataclass(slots=True)
class Stage:
    """A provider and a client. Use it in a ``with`` block.

    The scripted models and the agents speak chat completions; what travels is in the form of
    the API, both ways.

    Args:
        format: the API that is spoken.
        full_text: send the filler at full length.
        thinks: whether the model thinks before each answer. In Messages that is signed for all
            that was sent, and the agent sends it back.
    """

    format: str = "chat"
    full_text: bool = False
    thinks: bool = False
    tokens: FillerTokens = field(default_factory=lambda: FillerTokens("o200k_base"))
    _model: ScriptedModel | None = None
    _provider: lab.Lab = field(init=False)
    _client: openai.OpenAI = field(init=False)

    def __enter__(self) -> Self:
        self._provider = lab.Lab(
            self._answer,
            tokens_per_s=math.inf,
            ttft_s=0,
            context_window=100_000_000,
            chunk_tokens=1_000_000,
        )
        self._provider.start()
        self._client = openai.OpenAI(base_url=self._provider.base_url, api_key="any")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()
        self._provider.stop()

    def play(
        self,
        play: Play,
        cooperation: float | Callable[[Message], float],
        *,
        wrapped: bool = True,
        batching: batchwrap.Batching = BATCHING,
        reminders: batchwrap.Reminders | None = DEFAULT,
    ) -> Played:
        """Play a session over HTTP, with a model that cooperates in this share of its runs."""
        client = self._client
        if wrapped:
            client = batchwrap.wrap(client, batching=batching, reminders=reminders)
        options: dict[str, Any] = {"tools": toolbox.TOOLS}
        if play.style == "serial":
            options["parallel_tool_calls"] = False
        self._model = ScriptedModel(play, cooperation)
        self._provider.reset()
        agent = Agent(play)
        thought: list[list[Message]] = []

        def complete(messages: list[Message]) -> Message:
            asked = {"model": "m", "messages": messages, **options}
            body = self._form.request(spelled_out(asked) if self.full_text else asked)
            if self.thinks:
                body = _with_thinking(body, thought)
            # By `post`, since the SDK's own look at each message takes five times as long as
            # all the rest of the request.
            answer: Any = client.post(
                self._form.path.removeprefix("/v1"), body=body, cast_to=object
            )
            if self.thinks:
                blocks = answer["content"]
                thought.append([block for block in blocks if block["type"] == "thinking"])
            return self._form.message(answer)

        agent.work(complete)
        entries = [entry for entry in self._provider.journal if entry.status == 200]
        # Counted alike for all APIs, so that the same conversation has the same size in each.
        counted = sum(self.tokens.prompt(self._form.as_chat(entry.json)) for entry in entries)
        faults = [*agent.faults, *_left_over(agent)]
        seen = batchwrap.stats(client).directives.get("m", {}) if wrapped else {}
        return Played(
            len(self._provider.journal),
            counted,
            agent.requests,
            tuple(faults),
            sum(counts.get("given", 0) for counts in seen.values()),
            sum(counts.get("tokens", 0) for counts in seen.values()),
        )

    @property
    def _form(self) -> ApiForm:
        """How the API writes its requests and answers."""
        return API_FORMS[self.format]

    def _answer(self, request: Message) -> lab.Reply:
        assert self._model is not None
        reply = self._model(self._form.as_chat(request))
        if self.thinks:
            reply = replace(reply, reasoning="Hm.")
        if not self.full_text:
            return reply
        calls = tuple(lab.Call(call.name, spelled_out(call.arguments)) for call in reply.calls)
        return replace(reply, text=spelled_out(reply.text), calls=calls)


def play_bare(play: Play) -> Played:
    """A session with a bare client, without HTTP."""
    model, counted = ScriptedModel(play, 0), 0
    agent = Agent(play)

    def complete(messages: list[Message]) -> Message:
        nonlocal counted
        counted += play.tokens.prompt({"messages": messages, "tools": toolbox.TOOLS})
        reply = model({"messages": messages, "tools": toolbox.TOOLS})
        calls = [
            {
                "id": f"call_{agent.requests}_{place}",
                "type": "function",
                "function": {"name": c.name, "arguments": orjson.dumps(c.arguments).decode()},
            }
            for place, c in enumerate(reply.calls)
        ]
        return {"content": reply.text, "tool_calls": calls}

    agent.work(complete)
    faults = (*agent.faults, *_left_over(agent))
    return Played(agent.requests, counted, agent.requests, faults)


def _with_thinking(body: Message, thought: list[list[Message]]) -> Message:
    """A request in Messages with what the model thought before each of its turns."""
    turns = iter(thought)
    messages = [
        {**message, "content": [*next(turns), *message["content"]]}
        if message["role"] == "assistant"
        else message
        for message in body["messages"]
    ]
    return {**body, "messages": messages, "thinking": {"type": "adaptive"}}


def _left_over(agent: Agent) -> list[str]:
    return [f"call {number} was never run" for number in agent.never_run]
