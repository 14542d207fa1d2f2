"""One case for each provider: what its data file has to lead to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is seen of one provider from outside.

    Attributes:
        name: of its data file.
        host: of its API; empty where the host tells nothing.
        model: a model's name as litellm writes it; empty where that tells nothing.
        headers: of an answer of its.
        limits: what they say: kind, amount, and period in seconds.
        refusal: a body with the status 429, or with `status`.
        status: of the refusal.
        means: the kind of the refusal.
        developer: the role in which a message of the role "developer" is sent.
        telemetry: its name in spans and metrics, where the host tells who it is.
    """

    name: str
    host: str = ""
    model: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    limits: Sequence[tuple[str, float, float | None]] = ()
    refusal: Mapping[str, Any] = field(default_factory=dict)
    status: int = 429
    means: str = "bucket"
    developer: str = "developer"
    telemetry: str = ""


_REQUESTS = {"x-ratelimit-limit-requests": "50", "x-ratelimit-remaining-requests": "49"}
_TOKENS = {"x-ratelimit-limit-tokens": "9000", "x-ratelimit-remaining-tokens": "8000"}

CASES = [
    Case(
        name="anthropic",
        host="api.anthropic.com",
        model="anthropic/claude-opus-5-5",
        headers={
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
        },
        limits=[("requests", 50, 60)],
        telemetry="anthropic",
    ),
    Case(
        name="azure",
        host="mine.openai.azure.com",
        model="azure/gpt-4.1",
        headers=_TOKENS,
        limits=[("tokens", 9_000, 60)],
        telemetry="azure.ai.openai",
    ),
    Case(name="bedrock"),
    Case(
        name="cerebras",
        host="api.cerebras.ai",
        model="cerebras/gpt-oss-120b",
        headers={
            "x-ratelimit-limit-requests-day": "14400",
            "x-ratelimit-remaining-requests-day": "14399",
        },
        limits=[("requests", 14_400, 86_400)],
        refusal={"code": "queue_exceeded"},
        means="overloaded",
        developer="system",
        telemetry="cerebras",
    ),
    Case(
        name="cloudflare",
        host="api.cloudflare.com",
        model="cloudflare/@cf/openai/gpt-oss-120b",
        refusal={"success": False, "errors": [{"code": 3036}]},
        means="final",
        telemetry="cloudflare",
    ),
    Case(
        name="deepseek",
        host="api.deepseek.com",
        model="deepseek/deepseek-flash",
        developer="system",
        telemetry="deepseek",
    ),
    Case(
        name="fireworks",
        host="api.fireworks.ai",
        model="fireworks_ai/glm",
        headers={
            "x-ratelimit-limit-tokens-prompt": "600",
            "x-ratelimit-remaining-tokens-prompt": "500",
        },
        limits=[("input_tokens", 600, 60)],
        telemetry="fireworks",
    ),
    Case(
        name="gemini",
        host="generativelanguage.googleapis.com",
        model="gemini/gemini-3.5-flash",
        refusal={"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}},
        telemetry="gcp.gemini",
    ),
    Case(
        name="groq",
        host="api.groq.com",
        model="groq/gpt-oss-20b",
        headers=_REQUESTS | _TOKENS,
        limits=[("requests", 50, 86_400), ("tokens", 9_000, 60)],
        status=498,
        means="overloaded",
        telemetry="groq",
    ),
    Case(
        name="mistral",
        host="api.mistral.ai",
        model="mistral/mistral-small",
        headers={
            "x-ratelimit-limit-req-minute": "4",
            "x-ratelimit-remaining-req-minute": "3",
            "x-ratelimit-limit-tokens-month": "0",
            "x-ratelimit-remaining-tokens-month": "0",
        },
        limits=[("requests", 4, 60), ("tokens", 0, 2_592_000)],
        developer="system",
        telemetry="mistral_ai",
    ),
    Case(
        name="moonshot",
        host="api.moonshot.ai",
        model="moonshot/kimi-k2",
        headers={"x-ratelimit-limit": "3", "x-ratelimit-remaining": "2"},
        developer="system",
        telemetry="moonshot_ai",
    ),
    Case(
        name="nvidia",
        host="integrate.api.nvidia.com",
        model="nvidia_nim/qwen3",
        telemetry="nvidia",
    ),
    Case(
        name="openai",
        host="eu.api.openai.com",
        model="openai/gpt-5",
        headers=_TOKENS,
        limits=[("tokens", 9_000, 60)],
        refusal={"error": {"code": "insufficient_quota"}},
        means="final",
        telemetry="openai",
    ),
    Case(
        name="openrouter",
        host="openrouter.ai",
        model="openrouter/openai/gpt-5",
        headers={"x-ratelimit-limit": "20", "x-ratelimit-remaining": "19"},
        limits=[("requests", 20, None)],
        telemetry="openrouter",
    ),
    Case(
        name="qwen",
        host="ws1.ap-southeast-1.maas.aliyuncs.com",
        model="dashscope/qwen-plus",
        refusal={"error": {"code": "insufficient_quota"}},
        telemetry="qwen",
    ),
    Case(
        name="sambanova",
        host="api.sambanova.ai",
        model="sambanova/deepseek-r1",
        headers=_REQUESTS,
        limits=[("requests", 50, 60)],
        telemetry="sambanova",
    ),
    Case(
        name="together",
        host="api.together.xyz",
        model="together_ai/glm",
        headers={"x-tokenlimit-limit": "1000", "x-tokenlimit-remaining": "900"},
        limits=[("tokens", 1_000, None)],
        telemetry="together",
    ),
    Case(name="vllm", model="hosted_vllm/qwen3"),
    Case(
        name="xai",
        host="api.x.ai",
        model="xai/grok-4.5",
        headers=_TOKENS,
        limits=[("tokens", 9_000, 60)],
        telemetry="x_ai",
    ),
    Case(
        name="zai",
        host="api.z.ai",
        model="zai/glm-5",
        refusal={"error": {"code": "1302"}},
        means="concurrency",
        telemetry="zai",
    ),
]
