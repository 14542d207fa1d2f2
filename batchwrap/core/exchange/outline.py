"""An answer in names and sizes: what the model said, and what the agent got. No contents.

A model may call a tool that does not exist, and may write anything into its name. So only names
that stand in the request are shown, and their number and length are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats.sameness import Conversation
from batchwrap.stats import OTHER_TOOLS

MOST_NAMES = 16
UNKNOWN_TOOL = "(unknown tool)"
LONGEST_NAME = 64  # the longest that OpenAI and Anthropic allow

# The name of a tool, how many calls of it there are, and the characters of their arguments.
Calls = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, repr=False)
class Outline:
    """The calls of one answer.

    Attributes:
        conversation: names the conversation by a digest of its beginning; empty if the request
            was not understood.
        said: the model's own calls, by tool; empty for a local answer.
        got: the calls that the agent got, by tool.
        held: how many calls wait for a later request of the agent.
    """

    conversation: str
    said: Calls
    got: Calls
    held: int

    @property
    def facts(self) -> Mapping[str, Any]:
        """The same as fields of an event; empty ones are None."""
        return {
            "conversation": self.conversation or None,
            "said": self.said or None,
            "got": self.got or None,
            "held": self.held or None,
        }


def named(conversation: Conversation, model: object) -> str:
    """A short name for a conversation with a model: a digest of how it begins."""
    return blake2b(fingerprint(model), key=conversation.beginning, digest_size=6).hexdigest()


def by_tool(calls: Iterable[tuple[str, int]], is_known: Callable[[str], bool]) -> Calls:
    """Calls by tool, in the order in which their tools were first called.

    Args:
        calls: the name of the tool and the characters of the arguments, for each call.
        is_known: whether a name is that of a tool in the request.
    """
    found: dict[str, tuple[int, int]] = {}
    for name, chars in calls:
        shown = readable(name, LONGEST_NAME) if is_known(name) else UNKNOWN_TOOL
        key = shown if shown in found or len(found) < MOST_NAMES else OTHER_TOOLS
        known, known_chars = found.get(key, (0, 0))
        found[key] = known + 1, known_chars + chars
    return tuple((name, count, chars) for name, (count, chars) in found.items())


def readable(name: str, longest: int) -> str:
    """A name that somebody else has chosen, cut, and with half surrogates escaped.

    Agents and providers write these, and no encoder takes them.
    """
    return name[:longest].encode(errors="backslashreplace").decode()
