"""The choice of what a conversation is offered, and of its cap: made at its beginning and kept.

The choice depends on observations from earlier conversations. If it changed within a conversation,
so would the prompt's prefix. So it is made once and remembered under a digest of the conversation's
start. If it was forgotten, the options decide.
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
        most: the largest number of items that the schema of a multi-tool allows.
        ignored: the ids of directives that the model does not follow.
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
    """The choice for the conversation that a request belongs to.

    Args:
        entries: the entries of the request.
        model: its model.
        batching: the user's options.
        kept: the choices of conversations that have begun.
        observations: what models have done.
        directives: the ids of the directives that reminders may give.
    """
    start = start_of(entries)
    by_options = OfferChoice(batching.offer, batching.max_items)
    if wants_one_tool(entries[:start]):
        return replace(by_options, offer="never")
    key = _digest(entries[:start], model)
    # Only the first request of a conversation, which has no answer yet, makes the choice.
    if start == len(entries):
        adapted = _adapted(by_options, observations, model)
        ignored = observations.ignored(model, directives)
        kept.put(key, replace(adapted, ignored=ignored))
    return kept.get(key) or by_options


@dataclass(frozen=True, slots=True)
class BoundChoice:
    """What a bound conversation is offered: one with parts that are signed over all before them.

    Attributes:
        choice: the choice.
        is_guess: whether neither the history nor the memory says what was offered before.
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
    """The choice for a bound conversation, which must be offered the same in every process.

    It follows from the options and the history alone. If the model was offered multi-tools, each of
    its turns with calls shows an id of ours. Before the first such turn, the memory is asked.

    Args:
        entries: the entries of the request.
        model: its model.
        batching: the user's options.
        kept: the choices of conversations that have begun.
        may_begin: whether a conversation that begins now is offered anything.
        otherwise: whether the provider has refused the guess, so that the other choice is right.
    """
    start = start_of(entries)
    by_options = OfferChoice(batching.offer, batching.max_items)
    key = _digest(entries[:start], model)
    known = None if otherwise else kept.get(key)
    # In the order of certainty: the system prompt, the first request, ids in the history, the
    # memory; otherwise it is a guess, if anything is signed yet.
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
    """Whether a history shows that its model was offered multi-tools; None if it shows nothing.

    The first calls in or after the first signed entry decide: what came before it is not bound.
    """
    signed = next((at for at, entry in enumerate(entries) if entry.is_bound), 0)
    first = next((entry for entry in entries[signed:] if entry.calls), None)
    if first is not None:
        return _is_marked(first)
    return True if any(map(_is_marked, entries[:signed])) else None


def _is_marked(entry: Entry) -> bool:
    return any(ids.decode(call.call_id) is not None for call in entry.calls)


def _adapted(choice: OfferChoice, observations: ModelObservations, model: object) -> OfferChoice:
    """The choice, reduced for a model that makes malformed multi-calls, with the model's cap."""
    step = _LADDER.index(choice.offer) + observations.steps_back(model)
    return OfferChoice(
        _LADDER[min(step, len(_LADDER) - 1)],
        min(choice.most, observations.most_items(model, choice.most)),
    )


def start_of(entries: Sequence[Entry]) -> int:
    """The number of entries before the model's first one."""
    places = (place for place, entry in enumerate(entries) if entry.role == "model")
    return next(places, len(entries))


def _digest(entries: Sequence[Entry], model: object) -> bytes:
    said = Conversation()
    for entry in entries:
        said.take(entry)
    return blake2b(fingerprint(model), key=said.digest, digest_size=16).digest()
