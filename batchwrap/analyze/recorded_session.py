"""The common form of a recorded session, without any text.

Every log format is converted to it, so memory grows with the number of calls, not with the texts.
"""

from __future__ import annotations

from dataclasses import dataclass

from batchwrap.core.limits.cost import Usage

NO_USAGE = Usage(0, 0)


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One recorded tool call.

    Attributes:
        number: its number among all calls of the session, from 0.
        group: the index of the turn that made it.
        kind: what it did: ``"read"``, ``"shell_search"``, …
        path: a label for the file, equal for the same file; None if it named none.
        argument_tokens: the size of its arguments.
        result_tokens: the size of its result.
        failed: whether its result looks like an error.
        known_from: the index of the first turn before which the path's name stood in the
            conversation; None if it stood nowhere.
        name: the name of the tool.
        own: whether batchwrap recognises the tool by itself; others have to be declared.
        as_text: whether the call, or its input, is text that the agent reads. batchwrap cannot
            batch such calls.
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
    """One recorded answer of the model, which is one round trip.

    Attributes:
        index: its number among the turns of its session, from 0.
        text_tokens: the size of its text and reasoning.
        calls: its calls.
        usage: the tokens of its request.
        estimated: whether the usage is an estimate, not the log's. An estimate assumes that the
            whole last prompt was cached.
        model: the model; empty if the log does not say.
        has_text: whether it has text for the user, and not only reasoning.
    """

    index: int
    text_tokens: int
    calls: tuple[RecordedCall, ...]
    usage: Usage = NO_USAGE
    estimated: bool = True
    model: str = ""
    has_text: bool = False


@dataclass(frozen=True, slots=True)
class Prompt:
    """A message that is neither the model's nor a result.

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
        id: its name within its file.
        source: the agent that wrote it, or the collection that it belongs to.
        script: its prompts and turns, in order.
        file: the file that contains it.
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
