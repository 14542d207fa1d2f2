"""Plays a session: an agent, the translator, and what the provider sees of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from batchwrap.core.exchange.memory import Memory
from tests.core.apis import as_json
from tests.core.harness import Bench, answer
from tests.core.samples import EDIT_REQUEST, EDIT_USER
from tests.strategies import Step

Message = dict[str, Any]


@dataclass(slots=True)
class PlayedStep:
    """A turn that was played.

    Attributes:
        step: it.
        sent: the items of the request that it answers, as they went out.
        got: the answers that the agent got of it, the first and the local ones.
        ran: the calls that it ran, in order, each with its result.
        was_lost: whether nothing of a stream that was cut could be used.
    """

    step: Step
    sent: list[Any]
    got: list[Message] = field(default_factory=list)
    ran: list[tuple[tuple[str, Any], str]] = field(default_factory=list)
    was_lost: bool = False


class Player:
    """Plays a session.

    Attributes:
        bench: the translator, with the API that is spoken.
        history: the agent's.
        played: the turns.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.history: list[Message] = [EDIT_USER]
        self.played: list[PlayedStep] = []

    @property
    def body(self) -> Message:
        """The agent's next request."""
        return {**EDIT_REQUEST, "messages": self.history}

    @property
    def sent(self) -> list[Message]:
        """What the provider would get for it."""
        return self.bench.sent(self.body)

    def play(self, session: list[Step]) -> Player:
        """Play all of it."""
        for step in session:
            self._play(step)
        return self

    def _play(self, step: Step) -> None:
        sent = self.bench.api.format.items(self.bench.wire(self.body))
        played = PlayedStep(step, sent)
        self.played.append(played)
        if step.retries:
            assert self.bench.api.format.items(self.bench.wire(self.body)) == sent
        answered = self._answer(step)
        if step.cut is not None and not answered.get("tool_calls"):
            played.was_lost = True
            return
        message: Message | None = answered
        while message is not None:
            assert len(played.got) < 1_000, "what is handed out comes again and again"
            self._run(played, message)
            if step.forgets == "amid" and len(played.got) == 1:
                self.bench.memory = Memory()
            message = self._local(step)
        if step.forgets == "behind":
            self.bench.memory = Memory()
        if step.then:
            role = {"person": "user", "note": "system"}[step.then]
            self.history = [*self.history, {"role": role, "content": f"Go on, {len(self.played)}."}]

    def _answer(self, step: Step) -> Message:
        """The model's answer as the agent gets it; of a stream that is cut, its whole calls."""
        if step.pieces is None or step.cut is None:
            return self.bench.say(self.body, step.message, step.pieces)
        events = self.bench.api.events(step.message, step.pieces)
        cut = events[: int(step.cut * (len(events) - 1))]
        message = self.bench.api.gather(self.bench.ask_streamed(self.body, cut, marked=False))
        whole = [one for one in message.get("tool_calls") or () if _is_whole(one)]
        return {**message, "tool_calls": whole}

    def _run(self, played: PlayedStep, message: Message) -> None:
        step = played.step
        calls = message.get("tool_calls") or []
        calls = calls[:1] if step.takes == "first" else calls
        message = {**message, "tool_calls": calls} if calls else message
        played.got.append(message)
        results = {}
        for one, made in zip(calls, as_json(message), strict=True):
            name = f"result-{len(self.played)}-{len(played.ran)}."
            if len(played.ran) in step.fails:
                denied = "The user doesn't want to proceed with this tool use."
                name = f"{denied} {name}" if step.denies else f"Error: {name}"
            results[one["id"]] = name
            played.ran.append((made, name))
        self.history = [*self.history, *answer(message, results)]

    def _local(self, step: Step) -> Message | None:
        stream = step.pieces is not None
        local = self.bench.local(self.body, stream=stream)
        if step.retries:
            again = self.bench.local(self.body, stream=stream)
            assert again == local
        return local


def _is_whole(call: Message) -> bool:
    try:
        json.loads(call["function"]["arguments"])
    except ValueError:
        return False
    return True
