"""The common form of a recorded session: its shape, without a word of what was said.

Every format is read into this, so memory grows with the number of calls, never with texts.
"""

from __future__ import annotations

from dataclasses import dataclass

from batchwrap.core.limits.cost import Usage

NO_USAGE = Usage(0, 0)


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One recorded tool call.

    Attributes:
        number: its place among all calls of the session, from 0.
        group: index of the recorded turn that made it.
        kind: what it did: ``"read"``, ``"shell_search"``, …
        path: a label; the same one is the same file. None where none was named.
        argument_tokens: size of its arguments.
        result_tokens: size of its result.
        failed: its result reads like an error.
        known_from: index of the first turn that could know the path's name from what stood in
            the conversation before; None if it stood nowhere.
        name: the tool's name.
        own: whether batchwrap finds the tool by itself; others have to be declared.
        as_text: it is text that the agent reads, or its input is: no function, so nothing for
            batchwrap.
    """

    number: int
    group: int
    kind: str
    path: str | None
    argument_tokens: int
    result_tokens: int
    failed: bool
    known_from: int | None
    name: str = ""
    own: bool = False
    as_text: bool = False

    @property
    def known(self) -> bool:
        """Whether the path's name stood in the conversation before its turn."""
        return self.known_from is not None


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """One recorded answer of the model: a round trip.

    Attributes:
        index: its place among the turns of its session, from 0.
        text_tokens: size of what it said.
        calls: what it called.
        usage: its request's tokens.
        estimated: whether they are an estimate (then as if a cache kept the whole last prompt),
            and not what the log says.
        model: which model answered; empty where nobody knows.
    """

    index: int
    text_tokens: int
    calls: tuple[RecordedCall, ...]
    usage: Usage = NO_USAGE
    estimated: bool = True
    model: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A message that is not the model's and no result.

    Attributes:
        role: ``"user"``, ``"system"`` or ``"developer"``.
        tokens: its size.
    """

    role: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Session:
    """One recorded conversation.

    Attributes:
        id: its name, in its file.
        source: where it comes from: a collection or an agent.
        script: prompts and turns, in order.
        file: the file that it was read from.
    """

    id: str
    source: str
    script: tuple[Prompt | RecordedTurn, ...]
    file: str = ""

    @property
    def turns(self) -> list[RecordedTurn]:
        """The model's turns, by their index."""
        return [part for part in self.script if isinstance(part, RecordedTurn)]

    @property
    def calls(self) -> list[RecordedCall]:
        """All calls, by their number."""
        return [call for turn in self.turns for call in turn.calls]
