"""The seam between the moves and the APIs: what a format does for them.

The moves know entries, calls and tools; a format knows JSON. Whoever adds an API writes a folder
with one `Format`, and the endpoint that has it (`endpoints`).

    body --items--> [item] --read--> [Entry] -- the moves --> [Entry] --write--> [item] --> body
    answer, or event --deltas--> [Delta] -- the moves --> [Fragment] --writer--> answer, or events
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Literal, Protocol

from batchwrap.core.formats.api_errors import ApiError
from batchwrap.core.formats.calls import Call, Fragment
from batchwrap.core.formats.entries import Entry, Role

Body = dict[str, Any]
# The choice, which call (None: it is the choice's text), and what is new.
Piece = tuple[int, int | None, str]


class Look(Enum):
    """What a piece needs that is more than a piece of what was begun."""

    CLOSER = auto()


# What becomes of a piece of a text that was begun. None: it goes out as it came. A list: the
# calls that go out in its place. `Look.CLOSER`: it was not taken in, and is still to be read.
Taken = Sequence[Fragment] | Literal[Look.CLOSER] | None
# Takes in the next piece of a text, as long as no event comes but its pieces.
Take = Callable[[str], Taken]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ToolSpec:
    """One of a request's functions.

    Attributes:
        name: its name.
        parameters: the JSON schema of its arguments, as the agent sent it.
        description: what the agent says that it does.
    """

    name: str
    parameters: Any
    description: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a request asks for, besides its messages.

    Attributes:
        tools: the names of all of its tools, functions or not.
        choice: its choice of tools; None where the model is free.
        is_forced: whether it names the tools that the model must, or may, call.
        parallel: whether the model may make several calls in one answer; None: it does not say.
        is_one_answer: whether it asks for one answer, not for several to choose from.
        thinks: whether it turns thinking on or off; None: it does not say.
    """

    tools: frozenset[str] = frozenset()
    choice: object = None
    is_forced: bool = False
    parallel: bool | None = None
    is_one_answer: bool = True
    thinks: bool | None = None


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Delta:
    """What an answer, or one event of a stream, adds to one of its choices.

    Attributes:
        choice: which one; answers of most APIs have one.
        fragments: of tool calls.
        text: what a whole answer says; None for an event.
        is_over: whether the choice is complete with it.
        is_cut: whether that is because the model ran out of output tokens.
        is_bound: whether it holds something that belongs to the calls as the model wrote them,
            such as signed thinking; they are merged with no others then.
        ended: the index of a call that is complete with it; None: it does not say.
    """

    choice: Any = 0
    fragments: Sequence[Fragment] = ()
    text: str | None = None
    is_over: bool = False
    is_cut: bool = False
    is_bound: bool = False
    ended: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Local:
    """An answer that hands out calls without a round trip.

    Attributes:
        calls: what it hands out, in order.
        answer_id: so many random characters for its id.
        head: what it repeats of the model's answer.
        usage: what it reports, as the provider wrote it; None for zero.
    """

    calls: Sequence[Fragment]
    answer_id: str
    head: Mapping[str, Any] = field(default_factory=dict)
    usage: Any = None


class Binding(Protocol):
    """What an API signs for all that stands before it: tools, instructions, what was said.

    Whatever is written in other words there later makes it invalid. So what is made of a
    conversation must follow from the request alone, in every process, and stay as it is.
    """

    def is_refused(self, answer: Body) -> bool:
        """Whether an error says that something before a signed part was changed."""

    def unbound(self, body: Body) -> Body | None:
        """The request, of which the provider leaves out what is signed for other words.

        None where the client has not said that it takes that.
        """


class StreamWriter(Protocol):
    """Reads and writes the events of one streamed answer; it may keep count of their indices.

    Attributes:
        is_numbered: whether events have numbers that may be others for the agent.
    """

    is_numbered: bool

    def deltas(self, event: Body) -> list[Delta]:
        """What an event adds, choice by choice."""

    def rewritten(
        self, event: Body, calls: Sequence[Sequence[Fragment] | None]
    ) -> list[Body] | None:
        """The events for one that came; None: the event itself.

        Args:
            event: it.
            calls: for each `Delta` of it the calls that stand there now; None: as they came.
        """

    def passes(self, event: Body, piece: Piece) -> bool:
        """Whether an event with a single piece goes out as it came, if its piece stays as it is.

        It is taken note of then. Only asked where events are numbered.
        """

    def continued(self, event: Body, calls: Sequence[Fragment]) -> list[Body]:
        """The events for one that held a single piece of a call's arguments."""

    def left(
        self, event: Body | None, calls: Sequence[tuple[Any, Sequence[Fragment]]]
    ) -> list[Body]:
        """The events at the end of a stream.

        Args:
            event: any of the stream, whose other fields the new ones take over; None: none came.
            calls: (choice, calls that are left) of choices that were not finished.
        """

    def broken_off(self, error: ApiError) -> list[Body]:
        """The events that report a stream whose answer is not complete; none where it is.

        None for an API that `core.repair` knows, which reports it.
        """


class Salvage(Protocol):
    """The rest of a stream whose translation was broken off: what the agent has not got yet."""

    def see(self, came: Body, made: list[Body] | None) -> None:
        """An event came, and these went out for it; None: the event itself."""

    def held(self, piece: Piece) -> bool:
        """A piece came of which nothing went out; False: it was not taken in, `see` needs more."""

    def chunk(self, event: Body) -> list[Body] | None:
        """The events for one that is not translated, behind what is owed; None: as it came."""

    def end(self) -> list[Body]:
        """What is owed at the end of the stream."""


# What a derived id keeps of the provider's own, and whether it is a derived one.
OriginOf = Callable[[str], tuple[str, bool]]


class Format(Protocol):
    """One API.

    Attributes:
        is_repaired: whether `core.repair` knows its requests and answers.
        leaves: what it leaves as it is, for a warning; empty where that is nothing.
        items_key: the field of a request that lists its conversation.
        end_mark: the payload of the event that ends a stream; None: it ends without one.
        carries_scripts: whether fields that the API does not know may stand at a call in the
            agent's history, so that a program can travel there.
        binding: knows the parts of a conversation that are signed for what stands before them;
            None: there are none.
    """

    is_repaired: bool
    leaves: str
    items_key: str
    end_mark: bytes | None
    carries_scripts: bool
    binding: Binding | None

    # Requests.

    def may_rewrite(self, body: Body) -> bool:
        """Whether a request may be written in other words at all."""

    def declined(self, body: Body, helper: str) -> Body | None:
        """The error at which a helper of an SDK asks in a form that may be rewritten; else None.

        Args:
            body: what it asks.
            helper: how it names itself.
        """

    def is_kept(self, body: Body) -> bool:
        """Whether a request, or what follows from its answer, can be taken by one account only."""

    def is_continued(self, body: Body) -> bool:
        """Whether a request continues an answer by its id, and does not repeat its calls."""

    def understands(self, body: object, known: int = 0) -> bool:
        """Whether a request has the shape that batchwrap translates; so many items are known to."""

    def items(self, body: Body) -> list[Any]:
        """The items of a conversation: messages, or what the API has in their place."""

    def with_items(self, body: Body, items: list[Any]) -> Body:
        """A copy of the request with another conversation."""

    def read(self, items: Sequence[Any]) -> list[Entry]:
        """The entries of some items, from the beginning of one on."""

    def write(self, entries: Sequence[Entry]) -> list[Any]:
        """The items of some entries; those that nobody changed are the same objects."""

    def key_of(self, item: object) -> str | None:
        """The id of the last tool call in an item of the model's; None where it has none."""

    def said(self, role: Role, text: str | None, calls: Sequence[Call] = ()) -> Entry:
        """An entry that is made here."""

    def settings(self, body: Body) -> Settings:
        """What a request asks for, besides its conversation."""

    # Tools.

    def tool_items(self, body: Body) -> object:
        """The request's tools as they stand there."""

    def tools(self, listed: object) -> list[ToolSpec]:
        """The functions among them."""

    def definition(self, tool: ToolSpec) -> object:
        """A function as a request lists it."""

    def with_tools(
        self,
        body: Body,
        added: Sequence[Any],
        hides: Callable[[str], bool],
        runs: Mapping[str, Iterable[str]],
    ) -> Body:
        """A copy of the request with more tools.

        Args:
            body: the request.
            added: definitions.
            hides: whether one of the agent's tools, by its name, is left out; never one that the
                request forces.
            runs: the tools that each new one runs, by name: it is allowed where all of them are.
        """

    # Answers.

    def deltas(self, answer: Body) -> list[Delta]:
        """What a whole answer says, choice by choice."""

    def piece_alone(self, event: Body) -> Piece | None:
        """What an event adds that holds one piece of a text, or of arguments, and nothing else."""

    def with_calls(self, answer: Body, calls: Sequence[Sequence[Fragment]]) -> Body:
        """The answer with other calls in each choice; the same object where they are the same."""

    def stream(self) -> StreamWriter:
        """Writes the events of one answer."""

    def salvage(self, origin_of: OriginOf) -> Salvage:
        """Keeps account of one stream."""

    def event_name(self, event: Body) -> str | None:
        """What stands in the `event:` line of an event; None: it has no such line."""

    def is_silent(self, event: Body) -> bool:
        """Whether an event says nothing to the agent but who speaks."""

    def head(self, answer: Body) -> Mapping[str, Any]:
        """What local answers repeat of an answer, or of an event."""

    def usage(self, answer: Body) -> Any:
        """The usage that an answer or an event reports, as it came; None: none."""

    def cached(self, usage: Any) -> tuple[int, int] | None:
        """(tokens out of the prompt cache, tokens of the prompt); None where one is not told."""

    def timing(self, answer: Body) -> tuple[float | None, float | None]:
        """(output tokens, seconds of generating them) that an answer or an event reports."""

    def local(self, answer: Local) -> Body:
        """A local answer as a whole."""

    def local_events(self, answer: Local, *, with_usage: bool) -> list[Body]:
        """A local answer as a stream; usage only where it was asked for."""

    # Streams whose usage only batchwrap has asked for.

    def wants_usage(self, body: Body) -> bool | None:
        """Whether a stream is to tell its usage; None: the request does not say, but could."""

    def with_usage(self, body: Body) -> Body:
        """The request that asks for the usage of its stream."""

    def is_empty(self, event: Body) -> bool:
        """Whether an event holds nothing of an answer but, maybe, its usage."""


def is_signed(form: Format, entries: Sequence[Entry], *, thinks: bool) -> bool:
    """Whether something in a conversation, or in its answer, is signed for all that is sent.

    Args:
        form: its format.
        entries: it.
        thinks: whether the model thinks before it answers.
    """
    return form.binding is not None and (thinks or any(entry.is_bound for entry in entries))
