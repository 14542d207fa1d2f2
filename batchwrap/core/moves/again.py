"""Asks the model again if its multi-call was not understood, within the same request of the agent.

The agent never offered a multi-tool, so it should not have to refuse one. As long as nothing of an
answer was handed out, batchwrap sends the answer back with an explanation, and the model answers
once more. The agent's history never holds the answer that was not understood, so it is put back
from memory where it stood: before the answer that came in its place, in all later requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import Format
from batchwrap.core.formats.sameness import Prefixes
from batchwrap.core.parse import is_object
from batchwrap.core.recent import Recent

_NO_NAME = re.compile(r"[^a-zA-Z0-9_-]")


def asked_again(
    form: Format, said: str | None, calls: Sequence[Call], problems: Mapping[str, str]
) -> list[Entry] | None:
    """The entries that are added to the request: the answer, and a result for each of its calls.

    Args:
        form: the format of the request.
        said: the text of the answer.
        calls: its calls.
        problems: what is wrong with each call, by its id.

    Returns:
        None if a call has no id, or not one of its own, so that no result could name it.
    """
    if not all(problems) or len(problems) != len(calls):
        return None
    shown = {one.call_id: _valid(one) for one in calls}
    answer = form.said("model", said, list(shown.values()))
    told = (answer.result(shown[one], [[problem]], []) for one, problem in problems.items())
    return [answer, *told]


@dataclass(frozen=True, slots=True, repr=False)
class Attempts:
    """The entries that were added to requests, by the answers that came in their place.

    An answer is found by the conversation before it and by its first call. Of two equal answers at
    one place the newest counts.

    Attributes:
        kept: the entries by the digests of their answers.
        entries: of the request.
        prefixes: the digests of the conversation at each place.
        now_s: the time.
    """

    kept: Recent[bytes, tuple[Entry, ...]]
    entries: Sequence[Entry]
    prefixes: Prefixes
    now_s: float

    def before(self, place: int) -> Sequence[Entry]:
        """What was asked again before an entry of the history; mostly nothing."""
        entry = self.entries[place]
        if not len(self.kept) or entry.role != "model" or entry.says_nothing:
            return ()
        first = entry.calls[0] if entry.calls else None
        return self.kept.get(self._key(place, first), self.now_s) or ()

    def keep(self, first: Call | None, added: Sequence[Entry]) -> None:
        """Remember what was asked again before the answer to the request.

        Args:
            first: the first call of the answer, as the agent got it; None if it has none.
            added: the entries that were added to the request; empty if none were.
        """
        if not added and not len(self.kept):
            return
        key = self._key(len(self.entries), first)
        if added or self.kept.get(key, self.now_s):
            self.kept.put(key, tuple(added), self.now_s)

    def _key(self, place: int, first: Call | None) -> bytes:
        form = type(self.entries[0]).__name__ if self.entries else ""  # entries are written by one
        said = fingerprint([form, *(() if first is None else first.canonical)])
        conversation = self.prefixes.before(place).digest
        return blake2b(said, key=conversation, digest_size=16).digest()


def _valid(call: Call) -> Call:
    """The call with a name and arguments that every provider accepts in a history.

    OpenAI refuses the dot in `multi_tool_use.parallel`, although its own models write it
    (https://github.com/prefect-archive/ControlFlow/pull/107).
    """
    arguments = call.arguments if is_object(call.arguments) else "{}"
    name = _NO_NAME.sub("_", call.name)
    return replace(call, name=name, arguments=arguments, is_whole=True, source=None)
