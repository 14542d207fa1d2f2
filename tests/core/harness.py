"""The pure core on a bench: one agent, one provider, no network."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.fast_path import FastPath
from batchwrap.core.exchange.memory import Memory
from batchwrap.core.exchange.passthrough import NoSalvage
from batchwrap.core.exchange.translator import Translator
from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import Look, ToolSpec
from batchwrap.core.model import UNKNOWN_MODEL
from batchwrap.core.moves.script_run import ScriptRun
from batchwrap.core.provider import UNKNOWN, Provider
from batchwrap.directives import Mode
from batchwrap.options import Options, Repair
from batchwrap.providers import rules_named
from tests.core.apis import CHAT, Api


def context_of(options: Options | None = None, **given: Any) -> Context:
    """A context of its own for one exchange, with a provider of which nothing is known."""
    plain: dict[str, Any] = {
        "options": options or Options(),
        "random_text": lambda length: "n" * length,
        "memory": Memory(),
        "metrics": ExchangeMetrics(),
        "provider": UNKNOWN,
        "now_s": 0.0,
    }
    return Context(**{**plain, **given})


def specs(*tools: dict[str, Any]) -> list[ToolSpec]:
    """Tools of a request, as batching sees them."""
    return CHAT_FORMAT.tools(list(tools))


def entries(messages: list[dict[str, Any]]) -> list[Entry]:
    """Messages, as the moves see them."""
    return CHAT_FORMAT.read(messages)


class Bench:
    """Makes translators that share one memory, with nonces that count up."""

    def __init__(
        self, options: Options | None = None, provider: Provider = UNKNOWN, api: Api = CHAT
    ) -> None:
        options = options or Options()
        if options.repair == Repair():  # of requests, that is tested on its own
            options = replace(options, repair=Repair(request=False))
        self.options = options
        self.provider = provider
        self.api = api
        self.memory = Memory()
        self.metrics = ExchangeMetrics()
        self.now_s = 0.0
        self.mode: Mode | None = None
        self.model = UNKNOWN_MODEL
        self._numbers = itertools.count()

    def translator(self, body: dict[str, Any]) -> Translator:
        """A translator for one exchange, with a request in the form of the API."""
        return Translator(self.context_with(self.memory), body, self.api.format)

    def context_with(self, memory: Memory) -> Context:
        """What one exchange gets, with this memory."""
        named = self.options.repair.provider if self.options.repair is not None else None
        return Context(
            options=self.options,
            random_text=lambda length: f"{next(self._numbers):0{length}}"[-length:],
            memory=memory,
            metrics=self.metrics,
            provider=self.provider,
            rules=rules_named(named) if named else None,
            now_s=self.now_s,
            model=self.model,
            mode=self.mode,
            clock=lambda: self.now_s,
        )

    def wire(self, body: dict[str, Any]) -> dict[str, Any]:
        """What goes out for a request, in the form of the API; valid wherever the agent's was."""
        own = self.api.form.request(body)
        sent = self.translator(own).request()
        assert sent is None or self.api.is_valid(sent) or not self.api.is_valid(own)
        return own if sent is None else sent

    def request(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """The request in the provider view; None if it stays as it is."""
        own = self.api.form.request(body)
        sent = self.translator(own).request()
        return None if sent is None else self.api.form.as_chat(sent)

    def sent(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The conversation as the provider gets it."""
        messages: list[dict[str, Any]] = self.api.form.as_chat(self.wire(body))["messages"]
        return messages

    def asked(self, body: dict[str, Any]) -> Translator:
        """A translator whose request was sent."""
        translator = self.translator(self.api.form.request(body))
        translator.request()
        return translator

    def ask(self, body: dict[str, Any], completion: dict[str, Any]) -> dict[str, Any]:
        """The completion in the agent view, for a request and the provider's answer."""
        answer = self.asked(body).response(completion)
        assert not isinstance(answer, ScriptRun)
        return answer or completion

    def say(
        self,
        body: dict[str, Any],
        message: dict[str, Any],
        pieces: list[list[str]] | None = None,
    ) -> dict[str, Any]:
        """The message that the agent gets where the model says one, whole or streamed."""
        if pieces is None:
            return self.api.form.message(self.ask(body, self.api.answer(message)))
        return self.api.gather(self.ask_streamed(body, self.api.events(message, pieces)))

    def local(self, body: dict[str, Any], *, stream: bool = False) -> dict[str, Any] | None:
        """The message that the agent gets without a round trip, if it gets one."""
        local = self.translator(self.api.form.request(body)).local_answer()
        if local is None:
            return None
        if stream:
            return self.api.gather(local.chunks(with_usage=False))
        return self.api.form.message(local.completion())

    def ask_streamed(
        self,
        body: dict[str, Any],
        chunks: list[dict[str, Any]],
        *,
        marked: bool | None = True,
        fast: bool = True,
    ) -> list[dict[str, Any]]:
        """The chunks in the agent view.

        Args:
            body: the agent's request.
            chunks: the provider's answer.
            marked: whether the stream ended with its end mark.
            fast: whether pieces of texts may take the fast path.
        """
        translator = self.asked(body)
        path = FastPath(self.api.format.piece_alone, translator.route_of, NoSalvage())
        out = []
        for chunk in chunks:
            write = path.take(chunk) if fast else Look.CLOSER
            if write is Look.CLOSER:
                path.close()
                new = translator.chunk(chunk)
            else:
                new = None if write is None else write(partial(dict, chunk))
            out += [chunk] if new is None else new
        return out + translator.end(chunks[-1] if chunks else None, marked=marked)

    def run(
        self,
        body: dict[str, Any],
        message: dict[str, Any],
        *,
        pieces: list[list[str]] | None = None,
        results: Callable[[dict[str, Any]], str] = lambda call: f"ran {call['id']}",
        style: str = "parallel",
    ) -> list[dict[str, Any]]:
        """The agent's history after it ran a whole turn, waves included.

        Args:
            body: the agent's request.
            message: the model's answer.
            pieces: stream it, the arguments of each call in these pieces.
            results: what a call of the agent's gives.
            style: ``"parallel"``: runs all calls that it gets; ``"first"``: runs the first of
                them, and keeps only that one in its history.
        """
        seen: dict[str, Any] | None = self.say(body, message, pieces)
        history = list(body["messages"])
        while seen is not None:
            if style == "first" and "tool_calls" in seen:
                seen = {**seen, "tool_calls": seen["tool_calls"][:1]}
            texts = {made["id"]: results(made) for made in seen.get("tool_calls") or ()}
            history += answer(seen, texts)
            assert len(history) < 10_000, "what is handed out comes again and again"
            seen = self.local({**body, "messages": history}, stream=pieces is not None)
        return history


def fragments(message: dict[str, Any], pieces: list[list[str]]) -> list[dict[str, Any]]:
    """The message as a stream, the arguments of call k in the given pieces."""
    chunks = [chunk({"role": "assistant", "content": message.get("content")})]
    for index, (made, cut) in enumerate(zip(message["tool_calls"], pieces, strict=True)):
        head = {**made, "index": index, "function": {**made["function"], "arguments": ""}}
        chunks.append(chunk({"tool_calls": [head]}))
        chunks += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
            for piece in cut
        ]
    return [*chunks, chunk({}, "tool_calls")]


def ran(history: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """The calls that the agent ran, in the order in which it got them."""
    functions = [
        made["function"]
        for message in history
        if message.get("role") == "assistant"
        for made in message.get("tool_calls") or ()
    ]
    return [(function["name"], json.loads(function["arguments"])) for function in functions]


def completion(message: dict[str, Any], finish_reason: str = "tool_calls") -> dict[str, Any]:
    """A plain completion with one choice."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
    }


def call(call_id: str, name: str, arguments: Any) -> dict[str, Any]:
    """A tool call; arguments that are not a text become JSON."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    """A streamed chunk with one choice."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }


def gather(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a careful client puts together from chunks, by index."""
    message: dict[str, Any] = {"content": "", "tool_calls": []}
    calls: dict[int, dict[str, Any]] = {}
    for piece in chunks:
        for choice in piece["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            for fragment in delta.get("tool_calls") or ():
                index = fragment["index"]
                if index not in calls:
                    calls[index] = call(fragment["id"], fragment["function"]["name"], "")
                calls[index]["function"]["arguments"] += fragment["function"].get("arguments", "")
            if choice.get("finish_reason"):
                message["finish_reason"] = choice["finish_reason"]
    message["tool_calls"] = [calls[index] for index in sorted(calls)]
    return message


def answer(message: dict[str, Any], results: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The agent's history after it ran every call of an assistant message."""
    calls = message.get("tool_calls") or []
    return [
        {"role": "assistant", **message},
        *(
            {
                "role": "tool",
                "tool_call_id": made["id"],
                "content": (results or {}).get(made["id"], f"text of {index}"),
            }
            for index, made in enumerate(calls)
        ),
    ]
