"""Rules for requests that belong to a kind of server and not to a provider. Data only.

These are self-hosted servers, gateways, and the chat templates that they apply. Each set of rules
has a descriptive name, by which it is chosen: ``Repair(provider="strict-template")``. The rules of
a provider are in its data file (`batchwrap.providers`).
"""

from __future__ import annotations

from collections.abc import Mapping

from batchwrap.core.provider import RequestRules

SERVERS: Mapping[str, RequestRules] = {
    "any": RequestRules(),
    # On every host that serves it. https://github.com/MoonshotAI/kimi-code/pull/2503
    "kimi-k2": RequestRules(developer=False),
    # Many local servers. https://github.com/can1357/oh-my-pi/issues/958
    "no-developer-role": RequestRules(developer=False),
    # https://github.com/mistralai/mistral-common/issues/324
    "no-null-content": RequestRules(null_content=False),
    # https://github.com/anomalyco/opencode/issues/31156
    "no-stream-options": RequestRules(stream_options=False),
    # chutes.ai, older vLLM: the table of hosts in
    # https://github.com/badlogic/pi-mono/blob/main/packages/ai/src/providers/openai-completions.ts
    "max_tokens-only": RequestRules(max_field="max_tokens"),
    # "System message must be at the beginning". https://github.com/vllm-project/vllm/issues/41114
    "strict-template": RequestRules(developer=False, system_first=True),
    # Templates that say "conversation roles must alternate".
    "strict-alternation": RequestRules(alternates=True),
    # Parallel calls are switched off there; see the table of "max_tokens-only".
    "single-call": RequestRules(single_calls=True),
}
