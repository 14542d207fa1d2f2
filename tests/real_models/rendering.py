"""What llama.cpp's server makes of requests under a chat template."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import httpx2

from batchwrap.core.model import Effect, Order
from batchwrap.options import Placement
from benchmarks.llama_server import LlamaServer
from tests.real_models.chat_templates import model_of
from tests.real_models.conversations import PROMPTS, Body, Conversation, conversations, placed
from tests.strategies import READ_FILES

PLACEMENTS: tuple[Placement, ...] = ("append", "user", "system")
_CONTEXT = 16384
_WITHIN_S = 120
_NOTE = "[Reminder: batch your calls.]"


@dataclass(frozen=True)
class Rendered:
    """A conversation under a template.

    Attributes:
        conversation: it.
        bare: the prompts of its twin's requests; None for one that is refused.
        wrapped: the prompts of the requests in the provider view.
        refusals: what the server said to requests in the provider view that it refused.
    """

    conversation: Conversation
    bare: Sequence[str | None]
    wrapped: Sequence[str | None]
    refusals: Sequence[str]

    def __str__(self) -> str:
        return str(self.conversation)

    @property
    def losses(self) -> list[tuple[bool, int]]:
        """Of each request but the first: whether it begins a task, and the characters lost."""
        return _losses(self.conversation.wrapped, self.wrapped)

    @property
    def bare_losses(self) -> list[tuple[bool, int]]:
        """The same of its twin, as far as that was rendered."""
        return _losses(self.conversation.bare, self.bare) if len(self.bare) > 1 else []


@dataclass(frozen=True)
class Findings:
    """All that was found out under one template.

    Attributes:
        catalogue: the scenes, rendered; and reminders in each placement.
        answers: what the server said to whole requests with each list of tools: status and text.
        effects: what happens to messages that stand where a reminder could.
        takes_lists: whether the agent's own tools may have a list as a parameter.
    """

    catalogue: Sequence[Rendered]
    answers: Sequence[tuple[int, str]]
    effects: dict[Order, Effect]
    takes_lists: bool


class Renderer:
    """A server with a template.

    Args:
        server: it.
    """

    def __init__(self, server: LlamaServer) -> None:
        # The server closes connections that it finds idle, on a busy machine under a request.
        anew = httpx2.Limits(max_keepalive_connections=0)
        self._client = httpx2.Client(base_url=server.url, timeout=_WITHIN_S, limits=anew)
        self._known: dict[str, tuple[str | None, str]] = {}

    def prompt(self, body: Body) -> tuple[str | None, str]:
        """The prompt of a request; or None, and why there is none."""
        asked = {key: value for key, value in body.items() if key in ("messages", "tools")}
        key = json.dumps(asked)
        if key not in self._known:
            # Without the beginning of an answer, which no later prompt has.
            answer = self._client.post(
                "/apply-template", json={**asked, "add_generation_prompt": False}
            )
            is_rendered = answer.status_code == 200
            self._known[key] = (answer.json()["prompt"], "") if is_rendered else (None, answer.text)
        return self._known[key]

    def rendered(self, held: Conversation, *, whole: bool = False) -> Rendered:
        """A conversation; of its twin all requests, or only the last one."""
        bare = held.bare if whole else held.bare[-1:]  # which has all that the others have
        made = [self.prompt(body) for body in held.wrapped]
        return Rendered(
            held,
            [self.prompt(body)[0] for body in bare],
            [prompt for prompt, _ in made],
            [why for prompt, why in made if prompt is None],
        )

    def answer(self, body: Body) -> tuple[int, str]:
        """Ask for a whole answer of one token: template, parser, grammar, model and stream."""
        asked = {**body, "stream": True, "max_tokens": 1}
        answer = self._client.post("/v1/chat/completions", json=asked)
        return answer.status_code, answer.text

    def effect(self, bare: Sequence[Body], order: Order) -> Effect | None:
        """What happens to a message that stands in this order; None if nothing does.

        Args:
            bare: requests of a conversation without batchwrap; the first ends with the user's
                message, the second and third with results of the same turn.
            order: where it stands.
        """
        role = "system" if order == "late_system" else "user"
        at = 0 if order == "user_after_user" else 1
        messages = [body["messages"] for body in bare[: at + 2]]
        assert messages[-1][: len(messages[-2])] == messages[-2]
        note, before = {"role": role, "content": _NOTE}, messages[-2]
        noted = [*messages[:-2], [*before, note], [*before, note, *messages[-1][len(before) :]]]
        plain, made = (
            [self.prompt({**bare[0], "messages": some})[0] or "" for some in view]
            for view in (messages, noted)
        )
        if not all(plain):
            return None  # it refuses calls of tools, so there is nothing to compare with
        if not all(made):
            return "refused"
        if any(one in plain[-1] and one not in made[-1] for one in _thoughts(before)):
            return "reasoning"
        if _is_growing(plain) and not _is_growing(made):
            return "prefix"
        return None if _NOTE in made[-1] else "dropped"


def _is_growing(prompts: Sequence[str]) -> bool:
    return all(lost(prompt, before) == 0 for before, prompt in pairwise(prompts))


def _thoughts(messages: Sequence[Body]) -> Iterator[str]:
    return (one["reasoning_content"] for one in messages if one.get("reasoning_content"))


def _losses(bodies: Sequence[Body], prompts: Sequence[str | None]) -> list[tuple[bool, int]]:
    made = list(zip(map(_tasks, bodies), prompts, strict=True))
    return [
        (tasks > before, lost(prompt, earlier))
        for (before, earlier), (tasks, prompt) in pairwise(made)
        if earlier is not None and prompt is not None
    ]


def _tasks(body: Body) -> int:
    return sum(str(one.get("content")).startswith(PROMPTS) for one in body["messages"])


def lost(prompt: str, before: str) -> int:
    """How many characters of an earlier prompt a later one does not begin with."""
    pairs = enumerate(zip(prompt, before, strict=False))
    same = next((at for at, (one, other) in pairs if one != other), min(len(prompt), len(before)))
    return len(before) - same


def find_out(weights: Path, template: Path) -> Findings:
    """Render the whole catalogue under a template."""
    with LlamaServer(weights, template=template, context=_CONTEXT) as server:
        renderer = Renderer(server)
        held = conversations()
        catalogue = [renderer.rendered(one, whole=one is held[0]) for one in held]
        model = model_of(template)
        catalogue += [renderer.rendered(placed(one, model), whole=True) for one in PLACEMENTS]
        bare = placed("append", model).bare
        orders: tuple[Order, ...] = ("late_system", "user_after_tool", "user_after_user")
        effects = {order: renderer.effect(bare, order) for order in orders}
        accepted = [one for one in catalogue if one.bare[-1] is not None and not one.refusals]
        by_tools = {json.dumps(one.conversation.wrapped[-1].get("tools")): one for one in accepted}
        answers = [renderer.answer(one.conversation.wrapped[-1]) for one in by_tools.values()]
        found = {order: effect for order, effect in effects.items() if effect is not None}
        takes_lists = renderer.prompt({**held[0].bare[0], "tools": [READ_FILES]})[0] is not None
        return Findings(catalogue, answers, found, takes_lists or not accepted)
