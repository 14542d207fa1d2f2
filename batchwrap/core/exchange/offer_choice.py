"""What is chosen when a conversation begins, and kept in it: what is offered, and the cap.

It rests on what was measured in conversations before. So it is taken once and remembered
under a digest of the conversation's start; where that is forgotten, the options decide.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

from batchwrap.core.exchange.model_observations import ModelObservations
from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats import chat
from batchwrap.core.formats.sameness import Conversation
from batchwrap.core.recent import Recent
from batchwrap.core.tools.offer import wants_one_tool
from batchwrap.options import Batching

Offer = Literal["alongside", "instead", "never"]
_LADDER: tuple[Offer, ...] = ("instead", "alongside", "never")


@dataclass(frozen=True, slots=True)
class OfferChoice:
    """What a conversation is offered.

    Attributes:
        offer: as in `Batching.offer`.
        most: items that the schema of a multi-tool allows.
        ignored: ids of the directives that the model has not followed.
    """

    offer: Offer
    most: int
    ignored: frozenset[str] = frozenset()


def choose(
    body: chat.Body,
    batching: Batching,
    kept: Recent[bytes, OfferChoice],
    observations: ModelObservations,
    directives: Iterable[str] = (),
) -> OfferChoice:
    """The choice for the conversation that a request belongs to; `directives` are ids."""
    start = start_of(body["messages"])
    by_options = OfferChoice(batching.offer, batching.max_items)
    if wants_one_tool(body["messages"][:start]):
        return replace(by_options, offer="never")
    key = _digest(body, start)
    if start == len(body["messages"]):
        adapted = _adapted(by_options, observations, body.get("model"))
        ignored = observations.ignored(body.get("model"), directives)
        kept.put(key, replace(adapted, ignored=ignored))
    return kept.get(key) or by_options


def _adapted(choice: OfferChoice, observations: ModelObservations, model: object) -> OfferChoice:
    """Steps back for a model that stumbles over multi-calls, and the cap that it earned."""
    step = _LADDER.index(choice.offer) + observations.steps_back(model)
    return OfferChoice(
        _LADDER[min(step, len(_LADDER) - 1)],
        min(choice.most, observations.most_items(model, choice.most)),
    )


def start_of(messages: list[chat.Message]) -> int:
    """How many messages stand before the first one of the model."""
    roles = (place for place, m in enumerate(messages) if m.get("role") == "assistant")
    return next(roles, len(messages))


def _digest(body: chat.Body, start: int) -> bytes:
    said = Conversation()
    for message in body["messages"][:start]:
        said.take(message)
    return blake2b(fingerprint(body.get("model")), key=said.digest, digest_size=16).digest()
