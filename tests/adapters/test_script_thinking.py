"""Scripts of a model that thinks: in Messages that is signed for all that the model was sent."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchwrap.adapters.clients import engine_of
from batchwrap.lab import Call, Reply
from batchwrap.options import Batching, Scripts
from tests.adapters.api_agents import Made, MessagesAgent
from tests.adapters.batching_models import scripted
from tests.core.script_play import INTERPRETER
from tests.core.script_programs import World, programs, run_plainly, text_of, worlds

pytest.importorskip("pydantic_monty")
BATCHING = Batching(scripts=Scripts())


class Runner(MessagesAgent):
    """An agent that asks for thinking, in a world."""

    def __init__(self, lab: Any, world: World, *, stream: bool) -> None:
        super().__init__(lab, stream=stream, batching=BATCHING)
        self.fields = {"thinking": {"type": "adaptive"}}
        self.world = world
        self._share()

    def forget(self) -> None:
        """Go on as in another process."""
        super().forget()
        self._share()

    def _share(self) -> None:
        engine = engine_of(self.client)
        assert engine is not None
        engine.interpreter = INTERPRETER

    def turn(self, answer: Any, calls: list[Made]) -> list[Any]:
        """A message of the model, and one with all results."""
        results = [
            {"type": "tool_result", "tool_use_id": call.call_id, **self._result(call)}
            for call in calls
        ]
        said = [{"role": "assistant", "content": answer["content"]}]
        return [*said, {"role": "user", "content": results}] if results else said

    def _result(self, call: Made) -> Any:
        if call.name == "run_script":
            return {"content": "there is no such tool", "is_error": True}
        status, content = self.world.result(call.name, call.arguments)
        return {"content": text_of(content), "is_error": status == "failed"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    codes=st.lists(programs(), min_size=1, max_size=3),
    world=worlds,
    stream=st.booleans(),
    events=st.lists(st.sampled_from(["", "", "forget", "retry", "person"]), max_size=8),
)
def test_what_was_thought_stays_valid(
    serve: Any, codes: list[str], world: World, stream: bool, events: list[str]
) -> None:
    """The provider takes every request, whatever is forgotten, and each call runs once."""
    replies = [
        Reply(calls=(Call("run_script", {"code": code}),), reasoning=f"Thought {number}.")
        for number, code in enumerate(codes)
    ]
    lab = serve(scripted(*replies))
    agent = Runner(lab, world, stream=stream)
    for event in [*events, *[""] * 200]:
        if event == "forget":
            agent.forget()
        elif event == "retry":
            agent.ask()
        elif event == "person" and len(agent.history) > 1:
            agent.history.append({"role": "user", "content": "Go on."})
        if not agent.step():
            break
    agent.close()
    assert {request.status for request in lab.journal} == {200}
    made = [one for code in codes for one in run_plainly(code, world).calls]
    ran = [one for one in agent.ran if one[0] != "run_script"]
    assert all(ran.count(one) <= made.count(one) for one in ran)
    sent = sorted((request.json["messages"] for request in lab.journal), key=len)
    for before, after in pairwise(sent):
        assert after[: len(before)] == before
