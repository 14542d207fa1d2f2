"""The frozen prefix of a conversation: the part whose provider view does not change any more.

Each request brings the whole conversation again. What was rewritten for the request before is
looked up here instead of done again, so the work grows with what is new. The prefix also keeps
decisions that do not follow from the conversation alone: they are made once and then replayed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchwrap.core.exchange.offer_choice import OfferChoice
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import Body, Format
from batchwrap.core.formats.sameness import Conversation
from batchwrap.core.moves import ids
from batchwrap.core.recent import Recent
from batchwrap.core.reminders.schedule import Walk
from batchwrap.core.repair.request.validity import Checked
from batchwrap.core.tools.tool_set import ToolSet


@dataclass(frozen=True, slots=True, repr=False)
class FrozenPrefix:
    """The beginning of a conversation, in both views.

    Attributes:
        source: its items in the agent view.
        entries: these items, as the format reads them.
        made: the entries of the provider view, with reminders.
        said: the digest of the conversation so far.
        tools: the request's tools, as they were in it.
        tool_set: what follows from these tools.
        choice: what the conversation is offered.
        walk: the state of the reminder schedule; None if nothing is offered.
        is_bound: whether the conversation is bound, that is, has signed parts.
        checked: what is known of `made`, which has no more to be repaired.
    """

    source: list[Any] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    made: list[Entry] = field(default_factory=list)
    said: Conversation = field(default_factory=Conversation)
    tools: object = None
    tool_set: ToolSet | None = None
    choice: OfferChoice | None = None
    walk: Walk | None = None
    is_bound: bool = False
    checked: Checked = field(default_factory=lambda: Checked([]))


NOTHING = FrozenPrefix()


def find_prefix(
    body: Body, form: Format, kept: Recent[str, FrozenPrefix], now_s: float
) -> FrozenPrefix:
    """The longest known frozen prefix of a conversation; `NOTHING` if none is known."""
    items = form.items(body)
    # The key is an id in an item, so it only points to a candidate: the items themselves decide.
    for item in reversed(items):
        key = form.key_of(item)
        known = kept.get(key, now_s) if key else None
        is_same = known is not None and items[: len(known.source)] == known.source
        if known is not None and is_same and not _cuts_turn(known, items, form):
            return known
    return NOTHING


def _cuts_turn(known: FrozenPrefix, items: Sequence[Any], form: Format) -> bool:
    """Whether the conversation goes on with calls of the turn at which a known prefix ends.

    Then it was frozen in a fork, in which these calls had not run and the model had been told so.
    """
    ended = _turn_in(map(form.key_of, reversed(known.source)))
    following = items[len(known.source) :]
    return ended is not None and ended == _turn_in(map(form.key_of, following))


def _turn_in(keys: Iterable[str | None]) -> str | None:
    """The nonce of the turn that the first id belongs to; None if it is the provider's own."""
    derived = ids.decode(next(filter(None, keys), None))
    return derived.turn if derived is not None else None


def keep_prefix(
    frozen: FrozenPrefix, form: Format, kept: Recent[str, FrozenPrefix], now_s: float
) -> None:
    """Remember a frozen prefix under the newest id in it; without an id it cannot be found."""
    keys = (form.key_of(item) for item in reversed(frozen.source))
    key = next((key for key in keys if key), None)
    if key is not None:
        kept.put(key, frozen, now_s)
