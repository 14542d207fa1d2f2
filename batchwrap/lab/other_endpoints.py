"""The other endpoints: models, embeddings, and an echo for pass-through tests."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from typing import Any

from batchwrap.lab.dialects import LabResponse, error
from batchwrap.lab.lab_exchange import LabExchange
from batchwrap.lab.rate_limits import RateLimitLedger
from batchwrap.lab.simulated_provider import SimulatedProvider

MODEL = "lab-model"
DIMENSIONS = 16


async def models(
    exchange: LabExchange, provider: SimulatedProvider, ledger: RateLimitLedger
) -> None:
    """List one model; requests may name any other model, too."""
    model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "batchwrap"}
    await exchange.respond(LabResponse(200, {"object": "list", "data": [model]}, {}))


async def embeddings(
    exchange: LabExchange, provider: SimulatedProvider, ledger: RateLimitLedger
) -> None:
    """Embed texts or tokens as unit vectors that depend on the input only."""
    body = exchange.json if isinstance(exchange.json, dict) else {}
    inputs = _inputs(body.get("input"))
    if inputs is None:
        wrong = error(400, "'input' is no text, list of texts, or tokens.", param="input")
        await exchange.respond(wrong)
        return
    exchange.prompt_tokens = sum(
        provider.tokens.count(item) if isinstance(item, str) else len(item) for item in inputs
    )
    model = body.get("model") or exchange.params.get("name", MODEL)
    refusal = exchange.admit(ledger, exchange.prompt_tokens)
    if refusal is not None:
        await exchange.respond(provider.voice.refusal(refusal, model, provider.time_scale))
        return
    data = [
        {"object": "embedding", "index": at, "embedding": _embedding(item, body)}
        for at, item in enumerate(inputs)
    ]
    usage = {"prompt_tokens": exchange.prompt_tokens, "total_tokens": exchange.prompt_tokens}
    answer = {"object": "list", "data": data, "model": model, "usage": usage}
    await exchange.respond(LabResponse(200, answer, exchange.limit_headers()))


async def echo(exchange: LabExchange, provider: SimulatedProvider, ledger: RateLimitLedger) -> None:
    """Send the body back to the byte, and each header with ``x-echo-`` before its name."""
    # `LabExchange.headers` joins repeated headers; a test of pass-through needs them as they came.
    headers = [(b"x-echo-" + name, value) for name, value in exchange.raw_headers]
    headers += [(k, v) for k, v in exchange.raw_headers if k == b"content-type"]
    await exchange.respond_exactly(200, headers, exchange.body)


async def unknown(
    exchange: LabExchange, provider: SimulatedProvider, ledger: RateLimitLedger
) -> None:
    """Answer any other path with 404."""
    await exchange.respond(error(404, "Unknown request URL.", code="unknown_url"))


def _inputs(value: Any) -> list[str | list[int]] | None:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value:
        return None
    if all(type(item) is int for item in value):
        return [value]
    whole = all(
        isinstance(item, str)
        or (isinstance(item, list) and item and all(type(token) is int for token in item))
        for item in value
    )
    return value if whole else None


def _embedding(item: str | list[int], body: dict[str, Any]) -> str | list[float]:
    dimensions = body.get("dimensions")
    size = dimensions if type(dimensions) is int and dimensions > 0 else DIMENSIONS
    # A hash in place of a model: equal inputs have equal vectors, in every process.
    digest = hashlib.shake_256(repr(item).encode(errors="surrogatepass")).digest(4 * size)
    numbers = [value / 2**31 for value in struct.unpack(f"<{size}i", digest)]
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    vector = [number / length for number in numbers]
    if body.get("encoding_format") == "base64":
        return base64.b64encode(struct.pack(f"<{size}f", *vector)).decode()
    return vector
