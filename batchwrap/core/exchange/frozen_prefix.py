"""The frozen prefix of a conversation: the part whose provider view does not change any more.

Each request brings the whole conversation again. What was rewritten for the request before is
looked up here instead of done again, so the work grows with what is new. The prefix also keeps
decisions that do not follow from the conversation alone: they are made once and then replayed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchwrap.core.exchange.offer_choice import OfferChoice
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import Body, Format
from batchwrap.core.formats.sameness import Conversation
from batchwrap.core.recent import Recent
from batchwrap.core.reminders.schedule import Walk
from batchwrap.core.repair.request.validity import Checked
from batchwrap.core.tools.tool_set import ToolSet


@dataclass(frozen=True, slots=True, repr=False)
class FrozenPrefix:
    """The beginning of a conversation, in both views.

    Attributes:
        source: its items in the agent view.
        following: the items of the entry behind them, where a turn of the model begins.
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
    following: list[Any] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    made: list[Entry] = field(default_factory=list)
    said: Conversation = field(default_factory=Conversation)
    tools: object = None
    tool_set: ToolSet | None = None
    choice: OfferChoice | None = None
    walk: Walk | None = None
    is_bound: bool = False
    checked: Checked = field(default_factory=lambda: Checked([]))

    def begins(self, items: list[Any]) -> bool:
        """Whether a conversation begins with it, and the same turn of the model follows.

        Another fork may have been cut off within a turn. There the model has read that the other
        calls of that turn did not run, which is wrong where these calls or their results follow.
        """
        end = len(self.source)
        behind = end + len(self.following)
        return items[end:behind] == self.following and items[:end] == self.source


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
        if known is not None and known.begins(items):
            return known
    return NOTHING


def keep_prefix(
    frozen: FrozenPrefix, form: Format, kept: Recent[str, FrozenPrefix], now_s: float
) -> None:
    """Remember a frozen prefix under the newest id in it; without an id it cannot be found."""
    keys = (form.key_of(item) for item in reversed(frozen.source))
    key = next((key for key in keys if key), None)
    if key is not None:
        kept.put(key, frozen, now_s)
