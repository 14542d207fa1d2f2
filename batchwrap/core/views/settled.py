"""A conversation as far as it is settled: how it is written never changes any more.

Each request brings the whole conversation again. What was rewritten for the request before
is looked up, not done again, so the work grows with what is new. It also keeps decisions
that rest on more than the conversation: once taken, they are replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from batchwrap.core import chat
from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.memory import Memory
from batchwrap.core.reminders.schedule import Walk
from batchwrap.core.views.choice import Choice
from batchwrap.core.views.kit import Kit


@dataclass(frozen=True, slots=True)
class Settled:
    """The beginning of a conversation, in both views.

    Attributes:
        source: its messages in the agent view.
        made: the same in the provider view, with reminders.
        hasher: has taken in `source`.
        kit: what the tools were.
        choice: what the conversation is offered.
        walk: what the schedule of reminders has seen; None where nothing is offered.
    """

    source: list[chat.Message] = field(default_factory=list)
    made: list[chat.Message] = field(default_factory=list)
    hasher: Any = field(default_factory=lambda: blake2b(digest_size=16))
    kit: Kit | None = None
    choice: Choice | None = None
    walk: Walk | None = None


NOTHING = Settled()


def find_settled(body: chat.Body, memory: Memory, now_s: float) -> Settled:
    """The longest settled beginning of a conversation that is known."""
    messages: Any = body.get("messages")
    for message in reversed(messages) if isinstance(messages, list) else ():
        key = _key(message)
        known = memory.settled.get(key, now_s) if key else None
        if known is not None and messages[: len(known.source)] == known.source:
            return known
    return NOTHING


def keep_settled(settled: Settled, memory: Memory, now_s: float) -> None:
    """Remember how a conversation begins."""
    key = next((key for message in reversed(settled.source) if (key := _key(message))), None)
    if key is not None:
        memory.settled.put(key, settled, now_s)


def digest(body: chat.Body, length: int, settled: Settled) -> bytes:
    """What must be the same for a local answer: the first messages, model, tools and choice."""
    messages = body["messages"]
    known = settled if len(settled.source) <= length else NOTHING
    hasher = taken_in(known.hasher, messages[len(known.source) : length])
    rest = [body.get("model"), body.get("tools"), body.get("tool_choice")]
    hasher.update(fingerprint(rest))
    done: bytes = hasher.digest()
    return done


def taken_in(hasher: Any, messages: Sequence[chat.Message]) -> Any:
    """A copy of the hasher that has taken in some more messages."""
    new = hasher.copy()
    for message in messages:
        new.update(fingerprint(message))
    return new


def _key(message: object) -> str | None:
    """The id of an assistant message's last tool call."""
    calls = chat.tool_calls(message) if isinstance(message, dict) else []
    found = calls[-1].get("id") if calls else None
    return found if isinstance(found, str) else None
