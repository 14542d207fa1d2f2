"""Nothing that batchwrap adds may fail a request that would have succeeded without it."""

from __future__ import annotations

import json
import math
from typing import Any

import openai
import pytest

import batchwrap
from batchwrap.lab import Lab, Raw, Reply
from tests.adapters.conversation import TOOLS, USER

END = Reply("Fine.")


def strict(request: dict[str, Any]) -> Reply | Raw:
    """A provider that knows the agent's own tools only."""
    names = [tool["function"]["name"] for tool in request.get("tools", ())]
    if "multi_read" not in names:
        return END
    body = json.dumps({"error": {"message": "unknown tool multi_read", "type": "invalid"}})
    return Raw(400, {"content-type": "application/json"}, (body.encode(),))


@pytest.mark.parametrize("stream", [False, True])
def test_once_as_the_agent_wrote_it(stream: bool) -> None:
    """A rewritten request that is refused is sent plain; what then works is remembered."""
    with (
        Lab(strict, tokens_per_s=math.inf, ttft_s=0) as lab,
        openai.OpenAI(base_url=lab.base_url, api_key="k", max_retries=0) as bare,
    ):
        client = batchwrap.wrap(bare)
        for model in ("m", "m", "other"):
            answer: Any = client.chat.completions.create(
                model=model,
                messages=[USER],  # type: ignore[list-item]
                tools=TOOLS,  # type: ignore[arg-type]
                stream=stream,
            )
            parts = (chunk.choices[0].delta.content or "" for chunk in answer) if stream else ()
            assert "".join(parts) or answer.choices[0].message.content == "Fine."
        assert [(entry.json["model"], entry.status) for entry in lab.journal] == [
            *(("m", 400), ("m", 200)),
            ("m", 200),
            *(("other", 400), ("other", 200)),
        ]
        assert batchwrap.stats(client).failed_open == 2


def test_the_agents_own_mistake() -> None:
    """A request that is refused either way reaches the caller with the provider's own words."""
    body = b'{"error": {"message": "no such model", "type": "invalid"}}'
    refused = Raw(400, {"content-type": "application/json"}, (body,))
    with (
        Lab(lambda _: refused, tokens_per_s=math.inf, ttft_s=0) as lab,
        openai.OpenAI(base_url=lab.base_url, api_key="k", max_retries=0) as bare,
    ):
        client = batchwrap.wrap(bare)
        for _ in range(2):
            with pytest.raises(openai.BadRequestError, match="no such model"):
                client.chat.completions.create(model="m", messages=[USER], tools=TOOLS)  # type: ignore[arg-type, list-item]
        sent = [len(entry.json["tools"]) for entry in lab.journal]
        assert sent == [5, 2, 5, 2], "our part was not the reason, so it stays on"
