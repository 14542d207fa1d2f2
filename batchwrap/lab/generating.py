"""The endpoints that generate in other forms: completions, responses, Anthropic's messages.

The model gets the request as it came and answers with a `Reply`, which is written in the form of
the endpoint (`api_forms`). Responses and messages have tool calls and the API's rules for them;
messages also have signed thinking. Images and stored conversations are not simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import orjson

from batchwrap.lab.api_forms import messages_rules
from batchwrap.lab.api_forms.api_form import ScriptedAnswer, ScriptedCall
from batchwrap.lab.api_forms.messages_form import MessagesForm
from batchwrap.lab.api_forms.responses_form import ResponsesForm
from batchwrap.lab.cloud_messages import FRAMES, HostedForm, framed
from batchwrap.lab.completions import ask, send_raw
from batchwrap.lab.dialects import LabResponse, error
from batchwrap.lab.lab_exchange import LabExchange
from batchwrap.lab.rate_limits import RateLimitLedger
from batchwrap.lab.reply_format import random_id
from batchwrap.lab.simulated_model import Raw, Reply
from batchwrap.lab.simulated_provider import SimulatedProvider

Event = dict[str, Any]
_PIECE = 12  # the number of characters of a call's input in one event


class _Form(Protocol):
    """The form of an endpoint's requests and answers."""

    def fault_in(self, request: dict[str, Any]) -> str | None:
        """What is wrong with a request; None if it is valid."""

    def whole(self, said: ScriptedAnswer) -> dict[str, Any]:
        """The body of a whole answer."""

    def events(self, said: ScriptedAnswer) -> Iterator[Event]:
        """The events of a streamed answer."""


class _CompletionsForm:
    """The legacy completions API: a text is continued, without messages and calls."""

    def fault_in(self, request: dict[str, Any]) -> str | None:
        return None

    def _body(self, said: ScriptedAnswer, text: str, finish: str | None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "finish_reason": finish, "logprobs": None}
        common = {
            "id": said.answer_id,
            "object": "text_completion",
            "created": 0,
            "model": said.model,
        }
        return {**common, "choices": [choice]}

    def _usage(self, said: ScriptedAnswer) -> dict[str, int]:
        total = said.prompt + said.output
        return {
            "prompt_tokens": said.prompt,
            "completion_tokens": said.output,
            "total_tokens": total,
        }

    def whole(self, said: ScriptedAnswer) -> dict[str, Any]:
        return {**self._body(said, "".join(said.texts), "stop"), "usage": self._usage(said)}

    def events(self, said: ScriptedAnswer) -> Iterator[Event]:
        for piece in said.texts:
            yield self._body(said, piece, None)
        yield {**self._body(said, "", "stop"), "usage": self._usage(said)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Endpoint:
    """One endpoint.

    Attributes:
        form: the form of its requests and answers.
        prompt: the fields of a request that contain the prompt.
        cap: the field that caps the output.
        names_events: whether its events have names, and its streams therefore no end mark.
        has_frames: whether it streams in frames of AWS, whatever the request says.
        prefix, call_prefix: the prefixes of the ids of its answers and calls.
        counted: the other fields of the answer to a request that only counts the prompt.
        signs: makes the signature of thinking; None if answers contain no thinking.
    """

    form: _Form
    prompt: Sequence[str]
    cap: str = "max_tokens"
    names_events: bool = True
    has_frames: bool = False
    prefix: str
    call_prefix: str = "call_"
    counted: Mapping[str, Any] = field(default_factory=dict)
    signs: Callable[[dict[str, Any], str], str] | None = None


async def _understood(endpoint: _Endpoint, exchange: LabExchange) -> bool:
    """Whether a request is valid; if not, the error was sent."""
    body = exchange.json
    if not isinstance(body, dict):
        await exchange.respond(error(400, "The body is no JSON object."))
        return False
    if (fault := endpoint.form.fault_in(body)) is not None:
        told = {"type": "invalid_request_error", "message": fault, "param": None, "code": None}
        await exchange.respond(LabResponse(400, {"type": "error", "error": told}, {}))
        return False
    return True


def _prompt_tokens(endpoint: _Endpoint, exchange: LabExchange, provider: SimulatedProvider) -> int:
    # Roughly, by the JSON: these APIs publish no rule for counting, and limits need none.
    prompt = orjson.dumps([exchange.json.get(name) for name in endpoint.prompt]).decode()
    return provider.tokens.count(prompt)


async def _count(
    endpoint: _Endpoint,
    exchange: LabExchange,
    provider: SimulatedProvider,
    ledger: RateLimitLedger,
) -> None:
    """Answer with the number of the prompt's tokens, and generate nothing."""
    if await _understood(endpoint, exchange):
        counted = {"input_tokens": _prompt_tokens(endpoint, exchange, provider)}
        await exchange.respond(LabResponse(200, {**endpoint.counted, **counted}, {}))


async def _generate(
    endpoint: _Endpoint,
    exchange: LabExchange,
    provider: SimulatedProvider,
    ledger: RateLimitLedger,
) -> None:
    if not await _understood(endpoint, exchange):
        return
    body = exchange.json
    exchange.stream = endpoint.has_frames or bool(body.get("stream"))
    exchange.prompt_tokens = _prompt_tokens(endpoint, exchange, provider)
    cap = body.get(endpoint.cap)
    output = cap if isinstance(cap, int) else provider.default_output
    refusal = exchange.admit(ledger, exchange.prompt_tokens + output)
    model = str(body.get("model") or exchange.params.get("name") or "lab")
    if refusal is not None:
        await exchange.respond(provider.voice.refusal(refusal, model, provider.time_scale))
        return
    reply = await ask(exchange, provider)
    if isinstance(reply, LabResponse):
        await exchange.respond(reply)
    elif isinstance(reply, Raw):
        await send_raw(exchange, reply)
    else:
        said = _said(endpoint, reply, model, exchange.prompt_tokens, provider)
        if endpoint.signs is not None and reply.reasoning:
            signature = endpoint.signs(body, reply.reasoning)
            said = replace(said, thinking=reply.reasoning, signature=signature)
        await _send(endpoint, said, exchange, provider)


def _said(
    endpoint: _Endpoint, reply: Reply, model: str, prompt_tokens: int, provider: SimulatedProvider
) -> ScriptedAnswer:
    """A reply with its ids, cut into the pieces in which it is streamed."""
    pieces = provider.tokens.split(reply.text, provider.chunk_tokens)
    output = sum(tokens for _, tokens in pieces)
    calls: list[ScriptedCall] = []
    for call in reply.calls:
        text = call.arguments
        text = text if isinstance(text, str) else orjson.dumps(text).decode()
        output += provider.tokens.count(text)
        call_id = call.id or random_id(endpoint.call_prefix, 24)
        cut = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
        calls.append(ScriptedCall(call_id, call.name, cut))
    # An answer has at least one part, so a reply without text and calls has an empty text.
    texts = [[text for text, _ in pieces]] if reply.text or not calls else []
    answer_id = random_id(endpoint.prefix, 24)
    return ScriptedAnswer([*texts, *calls], model, prompt_tokens, output, answer_id)


async def _send(
    endpoint: _Endpoint, said: ScriptedAnswer, exchange: LabExchange, provider: SimulatedProvider
) -> None:
    """Send an answer, whole or in pieces, at the speed of the provider."""
    first_s = provider.clock.now() + provider.ttft_s
    if not exchange.stream:
        await exchange.wait_until(first_s + said.output / provider.tokens_per_s)
        exchange.completion_tokens = said.output
        await exchange.respond(
            LabResponse(200, endpoint.form.whole(said), exchange.limit_headers())
        )
        return
    await exchange.wait_until(first_s)
    kind = {"content-type": FRAMES} if endpoint.has_frames else {}
    await exchange.start_stream({**exchange.limit_headers(), **kind})
    pieces = len(said.texts)
    # The time is spread over the pieces of the text; calls and the end come with the last piece.
    a_piece_s = said.output / max(1, pieces) / provider.tokens_per_s
    for number, event in enumerate(endpoint.form.events(said)):
        await exchange.wait_until(first_s + min(number, pieces) * a_piece_s)
        await exchange.write(framed(event) if endpoint.has_frames else _line(endpoint, event))
    exchange.completion_tokens = said.output
    await exchange.finish(b"" if endpoint.names_events else b"data: [DONE]\n\n")


def _line(endpoint: _Endpoint, event: Event) -> bytes:
    name = f"event: {event['type']}\n" if endpoint.names_events else ""
    return name.encode() + b"data: " + orjson.dumps(event) + b"\n\n"


_COMPLETIONS = _Endpoint(
    form=_CompletionsForm(), prompt=("prompt",), names_events=False, prefix="cmpl-"
)
_RESPONSES = _Endpoint(
    form=ResponsesForm(),
    prompt=("instructions", "input"),
    cap="max_output_tokens",
    prefix="resp_",
    counted={"object": "response.input_tokens"},
)
_MESSAGES = _Endpoint(
    form=MessagesForm(),
    signs=messages_rules.signed,
    prompt=("system", "messages"),
    prefix="msg_",
    call_prefix="toolu_",
)
_HOSTED = replace(_MESSAGES, form=HostedForm())
completions = partial(_generate, _COMPLETIONS)
responses = partial(_generate, _RESPONSES)
messages = partial(_generate, _MESSAGES)
hosted_messages = partial(_generate, _HOSTED)
framed_messages = partial(_generate, replace(_HOSTED, has_frames=True))
count_responses = partial(_count, _RESPONSES)
count_messages = partial(_count, _MESSAGES)
