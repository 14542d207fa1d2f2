"""Endpoints that generate in other forms: completions, responses, Anthropic's messages.

Simulated as far as limits and SDKs go: the model is asked with the request as it came, and says
its text. Messages and responses have tool calls, with the rules for them (`messages_rules`,
`responses_rules`); pictures and stored conversations are beyond it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import orjson

from batchwrap.lab import messages_rules, responses_rules
from batchwrap.lab.completions import ask, send_raw
from batchwrap.lab.dialects import LabResponse, error
from batchwrap.lab.lab_exchange import LabExchange
from batchwrap.lab.rate_limits import RateLimitLedger
from batchwrap.lab.reply_format import random_id
from batchwrap.lab.simulated_model import Call, Raw
from batchwrap.lab.simulated_provider import SimulatedProvider

Event = dict[str, Any]
_PIECE = 12  # characters of a call's input in one event


@dataclass(frozen=True, slots=True)
class _Said:
    """What the model said.

    Attributes:
        pieces: its text, as it comes in a stream.
        model: its name.
        answer_id: the answer's id; agents that join what has the same one need a fresh one.
        prompt, output: tokens.
        calls: its calls: id, name, arguments as JSON.
    """

    pieces: Sequence[str]
    model: str
    answer_id: str
    prompt: int
    output: int
    calls: Sequence[tuple[str, str, str]] = ()

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class _Form(ABC):
    """One endpoint's form.

    Attributes:
        prompt: the fields of a request that hold the prompt.
        cap: the field that caps the output.
        names_events: whether its events have names, and its streams no other end mark.
        call_prefix, prefix: how the ids of its calls and answers begin.
        counted: what stands beside the number where a prompt is only counted.
    """

    prompt: Sequence[str]
    cap: str
    names_events: bool
    call_prefix = "call_"
    counted: Mapping[str, Any] = MappingProxyType({})
    prefix = "cmpl-"

    def fault_in(self, body: dict[str, Any]) -> str | None:
        """What is wrong with a request; None: nothing is."""
        return None

    @abstractmethod
    def whole(self, said: _Said) -> dict[str, Any]:
        """The answer in one piece."""

    @abstractmethod
    def events(self, said: _Said) -> Iterator[Event]:
        """The answer as a stream."""


class _Completions(_Form):
    prompt = ("prompt",)
    cap = "max_tokens"
    names_events = False

    def _body(self, said: _Said, text: str, finish: str | None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "finish_reason": finish, "logprobs": None}
        common = {
            "id": said.answer_id,
            "object": "text_completion",
            "created": 0,
            "model": said.model,
        }
        return {**common, "choices": [choice]}

    def _usage(self, said: _Said) -> dict[str, int]:
        total = said.prompt + said.output
        return {
            "prompt_tokens": said.prompt,
            "completion_tokens": said.output,
            "total_tokens": total,
        }

    def whole(self, said: _Said) -> dict[str, Any]:
        return {**self._body(said, said.text, "stop"), "usage": self._usage(said)}

    def events(self, said: _Said) -> Iterator[Event]:
        for piece in said.pieces:
            yield self._body(said, piece, None)
        yield {**self._body(said, "", "stop"), "usage": self._usage(said)}


class _Responses(_Form):
    counted = MappingProxyType({"object": "response.input_tokens"})
    prefix = "resp_"
    prompt = ("instructions", "input")
    cap = "max_output_tokens"
    names_events = True

    def fault_in(self, body: dict[str, Any]) -> str | None:
        """What OpenAI's server would refuse."""
        return responses_rules.fault_in(body)

    def _output(self, said: _Said) -> list[dict[str, Any]]:
        part = {"type": "output_text", "text": said.text, "annotations": []}
        message = {
            "id": random_id("msg_", 24),
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }
        calls = [
            {
                "id": random_id("fc_", 24),
                "type": "function_call",
                "status": "completed",
                "call_id": one,
                "name": name,
                "arguments": given,
            }
            for one, name, given in said.calls
        ]
        return [*([message] if said.text or not calls else []), *calls]

    def whole(self, said: _Said) -> dict[str, Any]:
        usage = {
            "input_tokens": said.prompt,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": said.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": said.prompt + said.output,
        }
        return {
            **self._begun(said),
            "status": "completed",
            "output": self._output(said),
            "usage": usage,
        }

    def _begun(self, said: _Said) -> dict[str, Any]:
        return {
            "id": said.answer_id,
            "object": "response",
            "created_at": 0,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "model": said.model,
            "output": [],
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": None,
        }

    def events(self, said: _Said) -> Iterator[Event]:
        whole = self.whole(said)
        events: list[Event] = [{"type": "response.created", "response": self._begun(said)}]
        for index, item in enumerate(whole["output"]):
            place = {"item_id": item["id"], "output_index": index}
            is_call = item["type"] == "function_call"
            made = self._call(item, place) if is_call else self._message(item, place, said)
            empty: Event = {"arguments": ""} if is_call else {"content": []}
            begun = {**item, "status": "in_progress", **empty}
            added = {"type": "response.output_item.added", "output_index": index, "item": begun}
            done = {"type": "response.output_item.done", "output_index": index, "item": item}
            events += [added, *made, done]
        events.append({"type": "response.completed", "response": whole})
        for number, event in enumerate(events):
            yield {**event, "sequence_number": number}

    @staticmethod
    def _call(item: Event, place: Event) -> Iterator[Event]:
        given = item["arguments"]
        for at in range(0, len(given), _PIECE):
            delta = given[at : at + _PIECE]
            yield {"type": "response.function_call_arguments.delta", **place, "delta": delta}
        whole = {"arguments": given, "name": item["name"]}
        yield {"type": "response.function_call_arguments.done", **place, **whole}

    @staticmethod
    def _message(item: Event, place: Event, said: _Said) -> Iterator[Event]:
        place = {**place, "content_index": 0}
        [part] = item["content"]
        yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
        for piece in said.pieces:
            yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
        text = {"text": said.text, "logprobs": []}
        yield {"type": "response.output_text.done", **place, **text}
        yield {"type": "response.content_part.done", **place, "part": part}


class _Messages(_Form):
    prefix = "msg_"
    call_prefix = "toolu_"
    prompt = ("system", "messages")
    cap = "max_tokens"
    names_events = True

    def fault_in(self, body: dict[str, Any]) -> str | None:
        """What Anthropic's server would refuse."""
        return messages_rules.fault_in(body)

    def _body(self, said: _Said, output: int, *content: dict[str, Any]) -> dict[str, Any]:
        usage = {
            "input_tokens": said.prompt,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": output,
        }
        return {
            "id": said.answer_id,
            "type": "message",
            "role": "assistant",
            "model": said.model,
            "content": list(content),
            "stop_reason": self._reason(said) if content else None,
            "stop_sequence": None,
            "usage": usage,
        }

    @staticmethod
    def _reason(said: _Said) -> str:
        return "tool_use" if said.calls else "end_turn"

    def whole(self, said: _Said) -> dict[str, Any]:
        texts = [{"type": "text", "text": said.text}] if said.text or not said.calls else []
        calls = [
            {"type": "tool_use", "id": one, "name": name, "input": orjson.loads(given)}
            for one, name, given in said.calls
        ]
        return self._body(said, said.output, *texts, *calls)

    def events(self, said: _Said) -> Iterator[Event]:
        yield {"type": "message_start", "message": self._body(said, 1)}
        has_text = bool(said.text or not said.calls)
        if has_text:
            deltas = [{"type": "text_delta", "text": piece} for piece in said.pieces]
            yield from self._block(0, {"type": "text", "text": ""}, deltas)
        for index, (one, name, given) in enumerate(said.calls, start=int(has_text)):
            block = {"type": "tool_use", "id": one, "name": name, "input": {}}
            pieces = [given[at : at + _PIECE] for at in range(0, len(given), _PIECE)]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
            yield from self._block(index, block, deltas)
        ended = {"stop_reason": self._reason(said), "stop_sequence": None}
        yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": said.output}}
        yield {"type": "message_stop"}

    @staticmethod
    def _block(index: int, block: Event, deltas: Sequence[Event]) -> Iterator[Event]:
        yield {"type": "content_block_start", "index": index, "content_block": block}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}


async def _understood(form: _Form, exchange: LabExchange) -> bool:
    """Whether a request is one of the API; if not, it is told what is wrong."""
    body = exchange.json
    if not isinstance(body, dict):
        await exchange.respond(error(400, "The body is no JSON object."))
        return False
    if (fault := form.fault_in(body)) is not None:
        told = {"type": "invalid_request_error", "message": fault, "param": None, "code": None}
        await exchange.respond(LabResponse(400, {"type": "error", "error": told}, {}))
        return False
    return True


def _prompt_tokens(form: _Form, exchange: LabExchange, provider: SimulatedProvider) -> int:
    prompt = orjson.dumps([exchange.json.get(name) for name in form.prompt]).decode()
    return provider.tokens.count(prompt)


async def _count(
    form: _Form, exchange: LabExchange, provider: SimulatedProvider, ledger: RateLimitLedger
) -> None:
    """Count the prompt's tokens, and generate nothing."""
    if await _understood(form, exchange):
        counted = {"input_tokens": _prompt_tokens(form, exchange, provider)}
        await exchange.respond(LabResponse(200, {**form.counted, **counted}, {}))


async def _generate(
    form: _Form, exchange: LabExchange, provider: SimulatedProvider, ledger: RateLimitLedger
) -> None:
    if not await _understood(form, exchange):
        return
    body = exchange.json
    exchange.stream = bool(body.get("stream"))
    exchange.prompt_tokens = _prompt_tokens(form, exchange, provider)
    cap = body.get(form.cap)
    output = cap if isinstance(cap, int) else provider.default_output
    refusal = exchange.admit(ledger, exchange.prompt_tokens + output)
    model = str(body.get("model") or "lab")
    if refusal is not None:
        await exchange.respond(provider.voice.refusal(refusal, model, provider.time_scale))
        return
    reply = await ask(exchange, provider)
    if isinstance(reply, LabResponse):
        await exchange.respond(reply)
    elif isinstance(reply, Raw):
        await send_raw(exchange, reply)
    else:
        pieces = provider.tokens.split(reply.text, provider.chunk_tokens)
        output = sum(tokens for _, tokens in pieces)
        calls = [
            (one.id or random_id(form.call_prefix, 24), one.name, _json(one)) for one in reply.calls
        ]
        output += sum(provider.tokens.count(given) for _, _, given in calls)
        texts = [text for text, _ in pieces]
        said = _Said(
            texts, model, random_id(form.prefix, 24), exchange.prompt_tokens, output, calls
        )
        await _send(form, said, exchange, provider)


def _json(call: Call) -> str:
    given = call.arguments
    return given if isinstance(given, str) else orjson.dumps(given).decode()


async def _send(
    form: _Form, said: _Said, exchange: LabExchange, provider: SimulatedProvider
) -> None:
    """Send it, the whole at once or piece by piece, at the set speed."""
    first_s = provider.clock.now() + provider.ttft_s
    if not exchange.stream:
        await exchange.wait_until(first_s + said.output / provider.tokens_per_s)
        exchange.completion_tokens = said.output
        await exchange.respond(LabResponse(200, form.whole(said), exchange.limit_headers()))
        return
    await exchange.wait_until(first_s)
    await exchange.start_stream(exchange.limit_headers())
    a_piece_s = said.output / max(1, len(said.pieces)) / provider.tokens_per_s
    for number, event in enumerate(form.events(said)):
        await exchange.wait_until(first_s + min(number, len(said.pieces)) * a_piece_s)
        name = f"event: {event['type']}\n" if form.names_events else ""
        await exchange.write(name.encode() + b"data: " + orjson.dumps(event) + b"\n\n")
    exchange.completion_tokens = said.output
    await exchange.finish(b"" if form.names_events else b"data: [DONE]\n\n")


completions = partial(_generate, _Completions())
responses = partial(_generate, _Responses())
messages = partial(_generate, _Messages())
count_responses = partial(_count, _Responses())
count_messages = partial(_count, _Messages())
