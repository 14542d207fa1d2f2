"""A plain tool-calling agent, as people write it, without any knowledge of batchwrap.

It asks the model, runs every tool call of the answer in order, sends the results back, and ends
with the first answer without calls. `run` and `arun` differ only in awaiting.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI
    from openai.types.chat import ChatCompletionChunk

Message = dict[str, Any]
ExtraTools = Mapping[str, tuple[dict[str, Any], Callable[..., str]]]
OnTurn = Callable[[int, Message], None]
OnRequest = Callable[[dict[str, Any]], None]


class Tools(Protocol):
    """The tools of the agent, for example a `batchwrap.tools.Workspace`."""

    def schemas(self) -> list[dict[str, Any]]:
        """The tools as the request declares them."""

    def call(self, name: str, arguments: str) -> str:
        """Run a tool on the model's JSON arguments."""


@dataclass(frozen=True, slots=True)
class AgentResult:
    """The result of a run.

    Attributes:
        text: the model's last answer.
        turns: the number of answers.
        tool_calls: the number of calls that were run.
        messages: the whole conversation.
        seconds: the time from the first request to the last answer.
        finished: False if `max_turns` ended the run.
    """

    text: str
    turns: int
    tool_calls: int
    messages: list[Message]
    seconds: float
    finished: bool


def run(
    client: OpenAI,
    *,
    model: str,
    prompt: str,
    workspace: Tools,
    system: str,
    stream: bool,
    extra_tools: ExtraTools | None = None,
    max_turns: int = 60,
    on_turn: OnTurn | None = None,
    on_request: OnRequest | None = None,
) -> AgentResult:
    """Let the model work on a prompt until it answers without a tool call.

    Args:
        client: talks to the model.
        model: its name.
        prompt: the user's message.
        workspace: the tools.
        system: the system prompt.
        stream: ask for streamed answers.
        extra_tools: more tools, by name: the schema, and a function that is called with the
            decoded arguments and returns the result.
        max_turns: the largest number of answers.
        on_turn: called with the number of a turn, from 1, and the model's message, before its
            calls are run.
        on_request: called with each request before it is sent. What it raises ends the run.

    Returns:
        The result of the run.
    """
    loop = _Loop(prompt, system, model, workspace, extra_tools or {})
    while loop.goes_on(max_turns):
        if on_request is not None:
            on_request(loop.request())
        if stream:
            answer = _Answer()
            with client.chat.completions.create(**loop.request(), stream=True) as chunks:
                for chunk in chunks:
                    answer.add(chunk)
            loop.take(answer.message(), on_turn)
        else:
            completion = client.chat.completions.create(**loop.request())
            loop.take(completion.choices[0].message.model_dump(exclude_none=True), on_turn)
    return loop.result()


async def arun(
    client: AsyncOpenAI,
    *,
    model: str,
    prompt: str,
    workspace: Tools,
    system: str,
    stream: bool,
    extra_tools: ExtraTools | None = None,
    max_turns: int = 60,
    on_turn: OnTurn | None = None,
    on_request: OnRequest | None = None,
) -> AgentResult:
    """`run` for async clients. Tools block, and run one after the other, as in `run`."""
    loop = _Loop(prompt, system, model, workspace, extra_tools or {})
    while loop.goes_on(max_turns):
        if on_request is not None:
            on_request(loop.request())
        if stream:
            answer = _Answer()
            chunks = await client.chat.completions.create(**loop.request(), stream=True)
            async with chunks:
                async for chunk in chunks:
                    answer.add(chunk)
            loop.take(answer.message(), on_turn)
        else:
            completion = await client.chat.completions.create(**loop.request())
            loop.take(completion.choices[0].message.model_dump(exclude_none=True), on_turn)
    return loop.result()


class _Loop:
    """The loop without the requests, which differ between `run` and `arun`."""

    def __init__(
        self, prompt: str, system: str, model: str, workspace: Tools, extra: ExtraTools
    ) -> None:
        self._model, self._workspace, self._extra = model, workspace, extra
        self._schemas = [*workspace.schemas(), *(schema for schema, _ in extra.values())]
        self._messages: list[Message] = [
            {"role": "system", "content": system},
            {"role": "user", "content": prompt},
        ]
        self._turns = 0
        self._finished = False
        self._started = time.perf_counter()

    def goes_on(self, max_turns: int) -> bool:
        return not self._finished and self._turns < max_turns

    def request(self) -> dict[str, Any]:
        return {"model": self._model, "messages": self._messages, "tools": self._schemas}

    def take(self, message: Message, on_turn: OnTurn | None) -> None:
        self._turns += 1
        self._finished = not message.get("tool_calls")
        self._messages.append(message)
        if on_turn is not None:
            on_turn(self._turns, message)
        for call in message.get("tool_calls", []):
            text = self._run_tool(call["function"]["name"], call["function"]["arguments"])
            self._messages.append({"role": "tool", "tool_call_id": call["id"], "content": text})

    def result(self) -> AgentResult:
        answers = [message for message in self._messages if message["role"] == "assistant"]
        return AgentResult(
            text=answers[-1].get("content", "") if answers else "",
            turns=self._turns,
            tool_calls=sum(message["role"] == "tool" for message in self._messages),
            messages=self._messages,
            seconds=time.perf_counter() - self._started,
            finished=self._finished,
        )

    def _run_tool(self, name: str, arguments: str) -> str:
        if name not in self._extra:
            return self._workspace.call(name, arguments)
        try:
            return self._extra[name][1](**json.loads(arguments or "{}"))
        except (TypeError, ValueError) as error:
            return f"Error: {error}"


@dataclass(slots=True)
class _Answer:
    """Joins the chunks of a streamed answer to a message."""

    text: str = ""
    calls: dict[int, Message] = field(default_factory=dict)

    def add(self, chunk: ChatCompletionChunk) -> None:
        for choice in chunk.choices:  # the chunk with the usage has none
            self.text += choice.delta.content or ""
            for part in choice.delta.tool_calls or []:
                empty = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
                call = self.calls.setdefault(part.index, empty)
                call["id"] = part.id or call["id"]
                if part.function is not None:
                    call["function"]["name"] += part.function.name or ""
                    call["function"]["arguments"] += part.function.arguments or ""

    def message(self) -> Message:
        message: Message = {"role": "assistant"}
        if self.text:
            message["content"] = self.text
        if self.calls:
            message["tool_calls"] = [call for _, call in sorted(self.calls.items())]
        return message
