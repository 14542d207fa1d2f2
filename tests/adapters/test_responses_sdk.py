"""The Responses API through OpenAI's own SDK, whose accumulator is the strictest reader."""

from __future__ import annotations

from typing import Any

import pytest

import batchwrap
from batchwrap.lab import Call, Reply
from tests.adapters.batching_models import edit, files, scripted
from tests.adapters.callers import Caller
from tests.strategies import EDIT_FILE, READ_FILE

TOOLS = [{"type": "function", **one["function"]} for one in (READ_FILE, EDIT_FILE)]
PATHS = [{"path": "a.py"}, {"path": "b.py"}]
EDITS = [edit("a.py", "1"), edit("a.py", "2")]


def helped(caller: Caller, client: Any, **asked: Any) -> Any:
    """The final response of the streaming helper."""

    def whole() -> Any:
        with client.responses.stream(**asked) as stream:
            return stream.get_final_response()

    async def whole_async() -> Any:
        async with client.responses.stream(**asked) as stream:
            return await stream.get_final_response()

    return caller.run(whole_async if caller.is_async else whole)


@pytest.mark.parametrize("streamed", [False, True])
def test_batches_and_waves(caller: Caller, serve: Any, streamed: bool) -> None:
    """A batch becomes the agent's calls, what waits needs no round trip, and all is folded back."""
    calls = (Call("multi_read", files(*PATHS)), Call("multi_edit", files(*EDITS)))
    lab = serve(scripted(Reply("Working.", calls=calls)))
    client = batchwrap.wrap(caller.open(lab))
    given: list[Any] = [{"role": "user", "content": "Mend a.py and b.py."}]
    ran, answers = [], 0
    while True:
        asked: Any = {"model": "gpt", "tools": TOOLS, "input": given, "store": False}
        answer = (
            helped(caller, client, **asked)
            if streamed
            else caller.run(client.responses.create, **asked)
        )
        answers += 1
        made = [item for item in answer.output if item.type == "function_call"]
        given = [*given, *(item.to_dict() for item in answer.output)]
        if not made:
            break
        ran += [(one.name, one.arguments) for one in made]
        given += [
            {"type": "function_call_output", "call_id": one.call_id, "output": "done"}
            for one in made
        ]
    assert [name for name, _ in ran] == ["read_file"] * 2 + ["edit_file"] * 2
    assert answer.output_text == "done"
    assert (answers, len(lab.journal)) == (4, 2)
    folded = [i for i in lab.journal[1].json["input"] if i.get("type") == "function_call"]
    assert [item["name"] for item in folded] == ["multi_read", "multi_edit"]
    assert batchwrap.stats(client).local_answers == 2
