"""Chat completions: validates, admits, asks the model, and sends its turn at the set speed."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import Any

from batchwrap.lab.dialects import LabResponse, error
from batchwrap.lab.lab_exchange import ClientDisconnected, LabExchange
from batchwrap.lab.rate_limits import RateLimitLedger
from batchwrap.lab.reply_format import Completion, ReplyFragment, ReplyUsage, fragments, random_id
from batchwrap.lab.simulated_model import Raw, Reply
from batchwrap.lab.simulated_provider import SimulatedProvider
from batchwrap.lab.validate import check

logger = logging.getLogger("batchwrap.lab")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turn:
    """A turn that is about to be sent.

    Attributes:
        completion: writes it in the API's form.
        parts: the generated fragments, the same in each choice.
        finish_reason: the reason for its end.
        choices: the number of choices.
        first_s: when the first token is sent, in provider seconds since the start.
    """

    completion: Completion
    parts: list[ReplyFragment]
    finish_reason: str
    choices: int
    first_s: float

    def usage(self, prompt_tokens: int) -> ReplyUsage:
        thinking = sum(part.tokens for part in self.parts if part.kind == "reasoning")
        return ReplyUsage(
            prompt=prompt_tokens,
            completion=self.choices * sum(part.tokens for part in self.parts),
            reasoning=self.choices * thinking,
        )


async def complete(
    exchange: LabExchange, provider: SimulatedProvider, ledger: RateLimitLedger
) -> None:
    """Answer a request for a chat completion."""
    # In this order: an invalid request reserves nothing, as at real providers.
    refused = check(exchange.json)
    if refused is None:
        exchange.stream = bool(exchange.json.get("stream"))
        counted = await exchange.in_thread(provider.tokens.prompt, exchange.json)
        exchange.prompt_tokens = counted
        refused = _too_long(exchange, provider) or _admit(exchange, provider, ledger)
    first_s = provider.clock.now() + provider.ttft_s
    reply = refused or await ask(exchange, provider)
    if isinstance(reply, LabResponse):
        await exchange.respond(reply)
    elif isinstance(reply, Raw):
        await exchange.wait_until(first_s)
        await send_raw(exchange, reply)
    else:
        turn = _turn(exchange, provider, reply, first_s)
        await (_send_stream if exchange.stream else _send_plain)(exchange, provider, turn)


def _too_long(exchange: LabExchange, provider: SimulatedProvider) -> LabResponse | None:
    if exchange.prompt_tokens <= provider.context_window:
        return None
    return error(
        400,
        f"This model's maximum context length is {provider.context_window} tokens. "
        f"However, your messages resulted in {exchange.prompt_tokens} tokens. "
        "Please reduce the length of the messages.",
        code="context_length_exceeded",
        param="messages",
    )


def _admit(
    exchange: LabExchange, provider: SimulatedProvider, ledger: RateLimitLedger
) -> LabResponse | None:
    # The output that the request may have is reserved with its prompt, as Cerebras does.
    cap = _output_cap(exchange.json)
    output = provider.default_output if cap is None else cap
    tokens = exchange.prompt_tokens + _choices(exchange.json) * output
    refusal = exchange.admit(ledger, tokens)
    if refusal is None:
        return None
    return provider.voice.refusal(refusal, _model_name(exchange), provider.time_scale)


async def ask(exchange: LabExchange, provider: SimulatedProvider) -> Reply | Raw | LabResponse:
    """The model's reply; if the model fails, a 500 that says why and that no SDK retries."""
    try:
        reply = await exchange.in_thread(provider.model, exchange.json)
        if not isinstance(reply, (Reply, Raw)):
            raise TypeError(f"{reply!r} is no Reply or Raw")
    except ClientDisconnected:
        raise
    except Exception as failure:  # a model is the user's code and may raise anything
        logger.error("the lab's model failed", exc_info=failure)
        message = f"the lab's model failed: {type(failure).__name__}: {failure}"
        answer = error(500, message, code="lab_model_failed", kind="server_error")
        return replace(answer, headers={"x-should-retry": "false"})
    return reply


def _turn(
    exchange: LabExchange, provider: SimulatedProvider, reply: Reply, first_s: float
) -> _Turn:
    body = exchange.json
    # Whatever the request allows, output ends where the context window does.
    room = provider.context_window - exchange.prompt_tokens
    cap = _output_cap(body)
    most = room if cap is None else min(cap, room)
    parts, finish_reason = fragments(reply, provider.tokens, provider.chunk_tokens, most)
    choices = _choices(body)
    completion = Completion(
        reply, model=_model_name(exchange), created=int(time.time()), choices=choices
    )
    return _Turn(
        completion=completion,
        parts=parts,
        finish_reason=finish_reason,
        choices=choices,
        first_s=first_s,
    )


def _output_cap(body: dict[str, Any]) -> int | None:
    return body.get("max_completion_tokens") or body.get("max_tokens")


def _choices(body: dict[str, Any]) -> int:
    return body.get("n") or 1


def _model_name(exchange: LabExchange) -> str:
    return str(exchange.json.get("model") or exchange.params.get("name", "lab"))


async def _send_plain(exchange: LabExchange, provider: SimulatedProvider, turn: _Turn) -> None:
    usage = turn.usage(exchange.prompt_tokens)
    generating_s = usage.completion / turn.choices / provider.tokens_per_s
    try:
        await exchange.wait_until(turn.first_s + generating_s)
    except ClientDisconnected:
        if generating_s:  # the part that was generated before the client left was used
            share = (provider.clock.now() - turn.first_s) / generating_s
            exchange.completion_tokens = int(usage.completion * min(1.0, max(0.0, share)))
        raise
    exchange.completion_tokens = usage.completion
    body = turn.completion.whole(turn.parts, turn.finish_reason, usage)
    await exchange.respond_bytes(200, _headers(exchange), body)


async def _send_stream(exchange: LabExchange, provider: SimulatedProvider, turn: _Turn) -> None:
    options = exchange.json.get("stream_options")
    wanted = isinstance(options, dict) and bool(options.get("include_usage"))
    asked = {"asked": wanted, "always": True, "never": False}[provider.include_usage]
    event, everyone = turn.completion.event, range(turn.choices)
    await exchange.wait_until(turn.first_s)
    await exchange.start_stream(_headers(exchange))
    # As at OpenAI: a chunk with the role, the pieces, a chunk with the finish reason, and at last
    # the usage in a chunk without choices.
    for choice in everyone:
        await exchange.write(event([turn.completion.opening(choice)], None, asked=asked))
    generated = 0
    for part in turn.parts:
        generated += part.tokens
        await exchange.wait_until(turn.first_s + generated / provider.tokens_per_s)
        exchange.completion_tokens = generated * turn.choices
        for choice in everyone:
            await exchange.write(event([turn.completion.piece(choice, part)], None, asked=asked))
    for choice in everyone:
        closing = turn.completion.closing(choice, turn.finish_reason)
        await exchange.write(event([closing], None, asked=asked))
    if asked:
        await exchange.write(event([], turn.usage(exchange.prompt_tokens), asked=True))
    await exchange.finish(b"data: [DONE]\n\n")


async def send_raw(exchange: LabExchange, raw: Raw) -> None:
    """Send exactly these bytes."""
    headers = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in raw.headers.items()]
    await exchange.start(raw.status, headers)
    for chunk in raw.chunks[:-1]:
        await exchange.write(chunk)
    # The entry must be there before the last bytes: then the client may read the journal.
    exchange.end(cancelled=False)
    for chunk in raw.chunks[-1:]:
        await exchange.write(chunk)
    if raw.close == "abrupt":
        await exchange.hang_up()
    else:
        await exchange.finish(b"")


def _headers(exchange: LabExchange) -> dict[str, str]:
    return {"x-request-id": random_id("req_", 24), **exchange.limit_headers()}
