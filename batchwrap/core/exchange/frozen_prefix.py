"""A conversation as far as it is frozen: how it is written never changes any more.

Each request brings the whole conversation again. What was rewritten for the request before
is looked up, not done again, so the work grows with what is new. It also keeps decisions
that rest on more than the conversation: once taken, they are replayed.
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
        entries: what these say.
        made: the same in the provider view, with reminders.
        said: the conversation that `source` is.
        tools: the tools as they stood in the request.
        tool_set: what followed from them.
        choice: what the conversation is offered.
        walk: what the schedule of reminders has seen; None where nothing is offered.
        is_bound: whether it was written for a conversation of which parts are signed.
        checked: whether `made` is known to need no mending.
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
    """The longest frozen beginning of a conversation that is known."""
    items = form.items(body)
    for item in reversed(items):
        key = form.key_of(item)
        known = kept.get(key, now_s) if key else None
        if known is not None and items[: len(known.source)] == known.source:
            return known
    return NOTHING


def keep_prefix(
    frozen: FrozenPrefix, form: Format, kept: Recent[str, FrozenPrefix], now_s: float
) -> None:
    """Remember how a conversation begins."""
    keys = (form.key_of(item) for item in reversed(frozen.source))
    key = next((key for key in keys if key), None)
    if key is not None:
        kept.put(key, frozen, now_s)
