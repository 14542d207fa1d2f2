"""What is chosen when a conversation begins, and kept in it: what is offered, and the cap.

It rests on what was measured in conversations before. So it is taken once and remembered
under a digest of the conversation's start; where that is forgotten, the options decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

from batchwrap.core.exchange.model_observations import ModelObservations
from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.sameness import Conversation
from batchwrap.core.moves import ids
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
    entries: Sequence[Entry],
    model: object,
    batching: Batching,
    kept: Recent[bytes, OfferChoice],
    observations: ModelObservations,
    directives: Iterable[str] = (),
) -> OfferChoice:
    """The choice for the conversation that a request to a model belongs to.

    Args:
        entries: of the request.
        model: its model.
        batching: what the user allows.
        kept: choices of conversations that have begun.
        observations: what models turned out to do.
        directives: ids of those that reminders may give.
    """
    start = start_of(entries)
    by_options = OfferChoice(batching.offer, batching.max_items)
    if wants_one_tool(entries[:start]):
        return replace(by_options, offer="never")
    key = _digest(entries[:start], model)
    if start == len(entries):
        adapted = _adapted(by_options, observations, model)
        ignored = observations.ignored(model, directives)
        kept.put(key, replace(adapted, ignored=ignored))
    return kept.get(key) or by_options


@dataclass(frozen=True, slots=True)
class BoundChoice:
    """What a conversation is offered of which parts are signed for all that was sent before.

    Attributes:
        choice: it.
        is_guess: whether neither the history nor a memory says what was offered before.
    """

    choice: OfferChoice
    is_guess: bool = False


def choose_bound(
    entries: Sequence[Entry],
    model: object,
    batching: Batching,
    kept: Recent[bytes, OfferChoice],
    *,
    may_begin: bool,
    otherwise: bool = False,
) -> BoundChoice:
    """The choice for a conversation that must be offered the same for ever, in every process.

    It follows from the options and the history alone. Where the model was offered multi-tools, each
    of its turns with calls shows an id of ours; before the first of them, a memory tells.

    Args:
        entries: of the request.
        model: its model.
        batching: what the user allows.
        kept: choices of conversations that have begun.
        may_begin: whether a conversation that begins now is offered anything.
        otherwise: whether a guess was wrong.
    """
    start = start_of(entries)
    by_options = OfferChoice(batching.offer, batching.max_items)
    key = _digest(entries[:start], model)
    known = None if otherwise else kept.get(key)
    shown, is_guess = _shows_offer(entries), False
    if wants_one_tool(entries[:start]):
        shown = False
    elif start == len(entries):
        shown = may_begin
    elif shown is None and known is not None:
        shown = known.offer != "never"
    elif shown is None:
        is_guess = any(entry.is_bound for entry in entries)
        shown = otherwise or (may_begin and not is_guess)
    chosen = by_options if shown else replace(by_options, offer="never")
    kept.put(key, chosen)
    return BoundChoice(chosen, is_guess)


def _shows_offer(entries: Sequence[Entry]) -> bool | None:
    """Whether a history shows that its model was offered multi-tools; None: it cannot tell.

    The first calls beside or behind what is signed decide: what came before may have been sent
    in any words.
    """
    signed = next((at for at, entry in enumerate(entries) if entry.is_bound), 0)
    first = next((entry for entry in entries[signed:] if entry.calls), None)
    if first is not None:
        return _is_marked(first)
    return True if any(map(_is_marked, entries[:signed])) else None


def _is_marked(entry: Entry) -> bool:
    return any(ids.decode(call.call_id) is not None for call in entry.calls)


def _adapted(choice: OfferChoice, observations: ModelObservations, model: object) -> OfferChoice:
    """Steps back for a model that stumbles over multi-calls, and the cap that it earned."""
    step = _LADDER.index(choice.offer) + observations.steps_back(model)
    return OfferChoice(
        _LADDER[min(step, len(_LADDER) - 1)],
        min(choice.most, observations.most_items(model, choice.most)),
    )


def start_of(entries: Sequence[Entry]) -> int:
    """How many entries stand before the first one of the model."""
    places = (place for place, entry in enumerate(entries) if entry.role == "model")
    return next(places, len(entries))


def _digest(entries: Sequence[Entry], model: object) -> bytes:
    said = Conversation()
    for entry in entries:
        said.take(entry)
    return blake2b(fingerprint(model), key=said.digest, digest_size=16).digest()
