"""Clients of the proxy's other APIs: Responses and Anthropic's messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from batchwrap.lab import Lab, Reply
from tests.adapters.file_job import (
    MEANT,
    MESSAGES_TOOLS,
    TASK,
    WORK,
    blocks_in,
    folded_items,
    responses_job,
)

# litellm warns of itself.
pytestmark = pytest.mark.filterwarnings("default")
Ask = Callable[..., openai.OpenAI]


@pytest.mark.parametrize("stream", [False, True])
def test_responses(ask: Ask, lab: Lab, stream: bool) -> None:
    """Batches, waves and folds in `/v1/responses`."""
    create: Any = ask(WORK, Reply("done")).responses.create
    before = lab.round_trips

    def respond(**asked: Any) -> Any:
        answer = create(model="coder", **asked, stream=stream)
        return list(answer)[-1].response if stream else answer

    assert responses_job(respond).ran == MEANT
    assert [one.status for one in lab.journal[-2:]] == [200, 200]
    assert folded_items(lab.journal[-1].json) == ["multi_read", "multi_edit"]
    assert lab.round_trips - before == 2  # the second wave is answered locally


@pytest.mark.parametrize("stream", [False, True])
def test_messages(ask: Ask, lab: Lab, proxy: tuple[str, str], stream: bool) -> None:
    """The same in `/v1/messages`, whatever litellm makes of them for the provider."""
    ask(WORK, Reply("done"))
    url, key = proxy
    said, ran = [TASK], list[Any]()
    asked = {"model": "coder", "max_tokens": 50, "tools": MESSAGES_TOOLS, "stream": stream}
    before = len(lab.journal)
    while True:
        headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
        body = {**asked, "messages": said}
        response = httpx.post(f"{url}/v1/messages", json=body, headers=headers, timeout=60)
        assert response.status_code == 200, response.text
        content = blocks_in(response.text) if stream else response.json()["content"]
        made = [one for one in content if one["type"] == "tool_use"]
        if not made:
            break
        ran += [(one["name"], one["input"]) for one in made]
        results = [
            {"type": "tool_result", "tool_use_id": one["id"], "content": "done"} for one in made
        ]
        said = [
            *said,
            {"role": "assistant", "content": content},
            {"role": "user", "content": results},
        ]
    assert ran == MEANT
    assert len(lab.journal) - before == 2
