"""The interface between the moves and an API: what a `Format` does for the moves.

The moves work on entries, calls and tools, and only a format knows the JSON of an API. To add an
API, write a folder with a `Format` and give it to its endpoint (`endpoints`).

    body --items--> [item] --read--> [Entry] -- the moves --> [Entry] --write--> [item] --> body
    answer, or event --deltas--> [Delta] -- the moves --> [Fragment] --writer--> answer, or events

What the moves did not change is passed on as the same object, so the driver can send the original
bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Literal, Protocol

from batchwrap.core.formats.api_errors import ApiError
from batchwrap.core.formats.calls import Call, Fragment
from batchwrap.core.formats.entries import Entry, Role

Body = dict[str, Any]
# The text that a piece belongs to: the index of a call, whose arguments it is; None: the choice's
# text; a name: another text of the choice, such as reasoning content, which only the repair reads.
Place = int | str | None
# The index of the choice, the text, and what is new of it.
Piece = tuple[int, Place, str]


class Look(Enum):
    """Returned by a `Take` for a piece that the fast path cannot handle (`exchange/fast_path`)."""

    CLOSER = auto()


# What to do with a piece of a text. None: it goes out unchanged. A list: these calls go out in its
# place. `Look.CLOSER`: the piece was not processed, and its event must be read in full.
Taken = Sequence[Fragment] | Literal[Look.CLOSER] | None
# Processes the next piece of a text, as long as the stream holds nothing but pieces of this text.
Take = Callable[[str], Taken]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ToolSpec:
    """A function among a request's tools.

    Attributes:
        name: its name.
        parameters: the JSON schema of its arguments, as the agent sent it.
        description: the agent's description of it.
    """

    name: str
    parameters: Any
    description: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a request, besides its conversation.

    Attributes:
        tools: the names of all tools, functions or not.
        choice: the request's tool choice; None if the model may choose freely.
        is_forced: whether the tool choice names the tools that the model must or may call.
        parallel: whether the model may make several calls in one answer; None if not specified.
        is_one_answer: whether it asks for one answer, and not for several alternatives.
        thinks: whether it turns thinking on or off; None if not specified.
    """

    tools: frozenset[str] = frozenset()
    choice: object = None
    is_forced: bool = False
    parallel: bool | None = None
    is_one_answer: bool = True
    thinks: bool | None = None


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Delta:
    """What an answer, or one event of a stream, adds to one choice.

    Attributes:
        choice: the index of the choice; always 0 in APIs without alternatives.
        fragments: fragments of tool calls.
        text: the text of a complete answer; None for an event.
        is_over: whether it completes the choice.
        is_cut: whether the choice ended because the model ran out of output tokens.
        is_bound: whether it holds something that belongs to the calls as the model wrote them,
            such as signed thinking. Such calls are not merged with others.
        is_tied: whether it holds something that belongs to the following call, such as reasoning.
            In a complete answer: whether it does so after a call. Providers refuse it without that
            following call, so from there on no call waits for others.
        ended: the index of a call that it completes; None if it does not say.
    """

    choice: Any = 0
    fragments: Sequence[Fragment] = ()
    text: str | None = None
    is_over: bool = False
    is_cut: bool = False
    is_bound: bool = False
    is_tied: bool = False
    ended: int | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Local:
    """A local answer: calls that are handed out without a round trip to the provider.

    Attributes:
        calls: the calls in order.
        answer_id: random characters for the answer's id.
        head: the fields that it repeats from the model's answer (`Format.head`).
        usage: the usage that it reports, in the provider's form; None for zero.
    """

    calls: Sequence[Fragment]
    answer_id: str
    head: Mapping[str, Any] = field(default_factory=dict)
    usage: Any = None


class Binding(Protocol):
    """Handles parts with a signature over everything before them: tools, instructions, messages.

    Any later change to what was signed makes the part invalid. So the provider view of a signed
    conversation must follow from the request alone, in every process, and must never change.
    """

    def is_refused(self, answer: Body) -> bool:
        """Whether an error says that something before a signed part was changed."""

    def unbound(self, body: Body) -> Body | None:
        """The request with a setting by which the provider drops parts that are no longer valid.

        Returns:
            None unless the client has opted in to that setting.
        """


class StreamWriter(Protocol):
    """Reads and writes the events of one streamed answer, and keeps track of their indices.

    Attributes:
        is_numbered: whether events hold indices, which differ between the two views once a call
            was expanded.
    """

    is_numbered: bool

    def deltas(self, event: Body) -> list[Delta]:
        """What an event adds to each choice."""

    def rewritten(
        self, event: Body, calls: Sequence[Sequence[Fragment] | None]
    ) -> list[Body] | None:
        """The events that replace an event.

        Args:
            event: the event from the provider.
            calls: for each `Delta` of the event, the calls that replace its own; None if they stay.

        Returns:
            None if the event goes out unchanged.
        """

    def passes(self, event: Body, piece: Piece) -> bool:
        """Whether an event with a single, unchanged piece can go out unchanged, and record it.

        Called only if `is_numbered`.
        """

    def continued(self, event: Body, calls: Sequence[Fragment]) -> list[Body]:
        """The events that replace an event with a single piece of a call's arguments."""

    def left(
        self, event: Body | None, calls: Sequence[tuple[Any, Sequence[Fragment]]]
    ) -> list[Body]:
        """The events for calls that remain at the end of a stream.

        Args:
            event: any event of the stream, to copy its other fields from; None if there was none.
            calls: (choice, remaining calls) of the choices that were not finished.
        """

    def broken_off(self, error: ApiError) -> list[Body]:
        """The events that report an incomplete answer.

        Returns:
            An empty list if the answer is complete, or if `core.repair` reports it for this API.
        """


class Salvage(Protocol):
    """Completes a stream after an error in batchwrap's translation (`exchange/guard`).

    It records what the provider has sent and what the agent has received, and so knows the rest.
    """

    def see(self, came: Body, made: list[Body] | None) -> None:
        """Record an event and the events that went out for it; None for the event itself."""

    def held(self, piece: Piece) -> bool:
        """Record a piece for which nothing went out.

        Returns:
            False if the piece alone is not enough, and `see` must be called with the event.
        """

    def chunk(self, event: Body) -> list[Body] | None:
        """The events for a later, untranslated event, after everything that is still missing.

        Returns:
            None if the event goes out unchanged.
        """

    def end(self) -> list[Body]:
        """The events that are still missing at the end of the stream."""


# Returns the part of the provider's id that a derived id holds, and whether the id is derived.
OriginOf = Callable[[str], tuple[str, bool]]


class Format(Protocol):
    """Reads and writes the requests and answers of one API.

    Attributes:
        is_repaired: whether `core.repair` repairs its requests and answers.
        leaves: the requests that are never translated, as the end of a warning; empty if there are
            none.
        items_key: the field of a request that lists its conversation.
        end_mark: the payload of the event that ends a stream; None if there is no such event.
        carries_scripts: whether fields that the API does not know may stand at a call in the
            agent's history, so that a program can travel there.
        binding: handles signed parts of a conversation; None if the API signs nothing.
    """

    is_repaired: bool
    leaves: str
    items_key: str
    end_mark: bytes | None
    carries_scripts: bool
    binding: Binding | None

    # Requests.

    def may_rewrite(self, body: Body) -> bool:
        """Whether batchwrap may rewrite a request.

        Not if the provider would then store the provider view of a conversation.
        """

    def declined(self, body: Body, helper: str) -> Body | None:
        """The error that makes a helper of an SDK use a form that batchwrap can translate.

        Args:
            body: the helper's request.
            helper: the name that the helper sends in a header.

        Returns:
            The body of the error; None if the request is sent.
        """

    def is_kept(self, body: Body) -> bool:
        """Whether only one account can send a request or continue its answer.

        So it is if the provider stores something for that account, such as a file.
        """

    def is_continued(self, body: Body) -> bool:
        """Whether a request continues a stored answer by its id and does not repeat its calls."""

    def understands(self, body: object, known: int = 0) -> bool:
        """Whether a request has the shape that batchwrap translates.

        Args:
            body: the request.
            known: how many of its first items are known to have that shape.
        """

    def items(self, body: Body) -> list[Any]:
        """The items of a conversation: its messages, or what the API has in their place."""

    def with_items(self, body: Body, items: list[Any]) -> Body:
        """A copy of the request with other items."""

    def read(self, items: Sequence[Any]) -> list[Entry]:
        """The entries of a list of items, which begins where a request or an earlier list ended."""

    def write(self, entries: Sequence[Entry]) -> list[Any]:
        """The items of a list of entries; the items of unchanged entries are the same objects."""

    def key_of(self, item: object) -> str | None:
        """The id of the last tool call in an item; None if it holds no call of the model's."""

    def said(self, role: Role, text: str | None, calls: Sequence[Call] = ()) -> Entry:
        """A new entry with a text and calls."""

    def settings(self, body: Body) -> Settings:
        """The settings of a request."""

    # Tools.

    def tool_items(self, body: Body) -> object:
        """The request's tools in the form of the API."""

    def tools(self, listed: object) -> list[ToolSpec]:
        """The functions in a list of tools that the agent runs itself."""

    def definition(self, tool: ToolSpec) -> object:
        """A function in the form in which requests list it."""

    def with_tools(
        self,
        body: Body,
        added: Sequence[Any],
        hidden: Set[str],
        runs: Mapping[str, Iterable[str]],
    ) -> Body:
        """A copy of the request with more tools.

        Args:
            body: the request.
            added: the definitions of the new tools.
            hidden: the names of the agent's tools that are left out. None is left out if the
                request's tool choice names tools.
            runs: for each new tool, by name, the tools that it runs. If the tool choice is a list
                of allowed tools, a new tool is allowed if all the tools that it runs are.
        """

    # Answers.

    def deltas(self, answer: Body) -> list[Delta]:
        """The content of a complete answer, choice by choice; empty if the answer is an error."""

    def piece_alone(self, event: Body) -> Piece | None:
        """The single piece of a text or of arguments that an event holds.

        Returns:
            None if the event holds anything else, too.
        """

    def with_calls(self, answer: Body, calls: Sequence[Sequence[Fragment]]) -> Body:
        """The answer with other calls in each choice; the same object if the calls are equal."""

    def stream(self) -> StreamWriter:
        """A new writer for the events of one answer."""

    def salvage(self, origin_of: OriginOf) -> Salvage:
        """A new record of one stream."""

    def event_name(self, event: Body) -> str | None:
        """The text of an event's `event:` line; None if it has no such line."""

    def is_silent(self, event: Body) -> bool:
        """Whether an event holds nothing that the agent could act on or show."""

    def head(self, answer: Body) -> Mapping[str, Any]:
        """The fields of an answer, or of an event, that local answers repeat."""

    def usage(self, answer: Body) -> Any:
        """The usage that an answer or an event reports, in the API's form; None if it has none."""

    def cached(self, usage: Any) -> tuple[int, int] | None:
        """(prompt tokens from the cache, all prompt tokens); None unless both are reported."""

    def timing(self, answer: Body) -> tuple[float | None, float | None]:
        """(output tokens, seconds of generation) that an answer or an event reports."""

    def local(self, answer: Local) -> Body:
        """A local answer as a complete answer of the API."""

    def local_events(self, answer: Local, *, with_usage: bool) -> list[Body]:
        """A local answer as a stream; with its usage if the request asks for it."""

    # Streams whose usage batchwrap requests, and the agent does not.

    def wants_usage(self, body: Body) -> bool | None:
        """Whether a request asks for the usage of its stream; None if it does not say."""

    def with_usage(self, body: Body) -> Body:
        """The request, with the setting that asks for the usage of its stream."""

    def is_empty(self, event: Body) -> bool:
        """Whether an event holds nothing of an answer, except perhaps its usage."""


def is_signed(form: Format, entries: Sequence[Entry], *, thinks: bool) -> bool:
    """Whether a conversation or its answer holds a signature over everything before it.

    Args:
        form: the conversation's format.
        entries: the conversation.
        thinks: whether the model thinks before it answers.
    """
    return form.binding is not None and (thinks or any(entry.is_bound for entry in entries))
