"""The Responses API through OpenAI's own SDK, whose accumulator is the strictest reader."""

from __future__ import annotations

from typing import Any

import pytest

import batchwrap
from tests.adapters.batching_models import scripted
from tests.adapters.callers import Caller
from tests.adapters.file_job import MEANT, WORK, folded_items, responses_job

PATH = "/v1/responses"


def helped(caller: Caller, client: Any, **asked: Any) -> Any:
    """The final response of the streaming helper."""

    def whole() -> Any:
        with client.responses.stream(**asked) as stream:
            return stream.get_final_response()

    async def whole_async() -> Any:
        async with client.responses.stream(**asked) as stream:
            return await stream.get_final_response()

    return caller.run(whole_async if caller.is_async else whole)


@pytest.mark.parametrize("kind", ["openai", "azure"])
@pytest.mark.parametrize("streamed", [False, True])
def test_batches_and_waves(caller: Caller, serve: Any, kind: str, streamed: bool) -> None:
    """A batch becomes the agent's calls, what waits needs no round trip, and all is folded back."""
    lab = serve(scripted(WORK))
    client = batchwrap.wrap(caller.open(lab) if kind == "openai" else caller.open_azure(lab))

    def ask(**asked: Any) -> Any:
        asked = {"model": "gpt", **asked}
        if streamed:
            return helped(caller, client, **asked)
        return caller.run(client.responses.create, **asked)

    done = responses_job(ask)
    assert (done.ran, done.answers, len(lab.journal)) == (MEANT, 4, 2)
    assert done.last.output_text == "done"
    assert folded_items(lab.journal[1].json) == ["multi_read", "multi_edit"]
    assert batchwrap.stats(client).local_answers == 2
    address = ("/openai/responses", "api-version=2026-01") if kind == "azure" else (PATH, "")
    assert {(request.path, request.query) for request in lab.journal} == {address}
