"""The interfaces through which an exchange translates a request and repairs its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from batchwrap.core.exchange.actions import Resend
from batchwrap.core.exchange.fast_path import Route
from batchwrap.core.exchange.outline import Outline
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import Body, Piece
from batchwrap.core.moves.deliver import LocalAnswer
from batchwrap.core.moves.script_run import ScriptOutcome, ScriptRun
from batchwrap.core.repair.faults import Fault


class Repairs(Protocol):
    """Puts answers into the shape that SDKs read."""

    @property
    def measures(self) -> bool:
        """Whether the size of the request is checked against the model's context."""

    @property
    def is_over(self) -> bool:
        """Whether the answer has ended in an error."""

    def check_size(self, tokens: int) -> None:
        """Report a prompt of this many tokens if it is larger than the model's context.

        Raises:
            ContextLimitExceeded: the options say that such a prompt is not sent.
        """

    def read(self, content: bytes, *, accepted: bool) -> WholeBody:
        """Decode a body, in whatever form it came."""

    def refusal(self, status: int, headers: Mapping[str, str], body: object) -> Fault | None:
        """The fault behind an error status; None if errors are not repaired."""

    def rebuilt(self, body: Body | None) -> Body | None:
        """The completion inside an error (a refused call); None if there is none."""

    def lost(self, fault: Fault) -> list[Body] | None:
        """The chunks to hand out for an unreadable event; None for the event itself."""


class Translation(Protocol):
    """Translates one request into the provider view, and its answer back."""

    @property
    def repair(self) -> Repairs:
        """The repair of its answer."""

    @property
    def asks_usage(self) -> bool:
        """Whether a stream may be asked for its usage."""

    @property
    def mends(self) -> bool:
        """Whether the events of streams are repaired."""

    @property
    def fits_forms(self) -> bool:
        """Whether an answer is converted to the form that was asked for, stream or whole."""

    @property
    def reads_errors(self) -> bool:
        """Whether errors inside streams are read."""

    @property
    def may_ask_again(self) -> bool:
        """Whether the model can be asked again, since the agent has nothing of the answer yet."""

    @property
    def again(self) -> Sequence[Entry] | None:
        """The entries to add to a request that asks again; None if the answer was understood."""

    @property
    def script_due(self) -> ScriptRun | None:
        """The script that a stream waits for: nothing more of it may come before `chunk_ran`."""

    def names(self) -> Sequence[str]:
        """The names under which other processes may have kept what this one needs."""

    def script_run(self) -> ScriptRun | None:
        """The script that has to be run before the request can be answered, or sent."""

    def script_ran(self, outcome: ScriptOutcome) -> None:
        """The script of the history that had to be run has this outcome."""

    def local_answer(self) -> LocalAnswer | None:
        """The answer that needs no round trip; None if the provider has to be asked."""

    def request(self) -> Body | None:
        """The request in the provider view; None if it stays as it is."""

    def folded(self) -> Body | None:
        """The request with its earlier batches folded and nothing added; None if unchanged."""

    def withdraw(self) -> Body | None:
        """The agent's own request, which goes out; None: its bytes, as they are."""

    def ask_again(self) -> Body | None:
        """The request that asks again. The next answer belongs to it, and is handed out."""

    def ask_as_before(self) -> None:
        """The provider did not take that request, and is asked as it was before."""

    @property
    def is_guess(self) -> bool:
        """Whether the view is a guess: the conversation may have begun in another one."""

    def refused(self, error: Body) -> Resend | None:
        """What to send after the provider refused the request; None to hand its error out."""

    def give_up(self) -> None:
        """Switch the refused rewrite off for this model: its own request was accepted."""

    def takes_trial(self) -> bool:
        """Whether the agent's own request is sent after a server error, to find its cause."""

    def tried(self, *, accepted: bool) -> None:
        """The agent's own request was sent after a server error; whether it was accepted."""

    def accepted(self) -> None:
        """The provider has accepted the rewritten request."""

    def response(self, completion: Body) -> Body | ScriptRun | None:
        """A plain completion in the agent view; None if it stays as it is.

        Where it holds a script, that has to be run first; `response_ran` then goes on.

        Raises:
            Broken: the completion cannot be used.
        """

    def response_ran(self, outcome: ScriptOutcome) -> Body | ScriptRun | None:
        """The same as `response`, once the script that had to be run has this outcome."""

    def chunk(self, chunk: Body) -> list[Body] | None:
        """The chunks of the agent view for one chunk of a stream; None if it stays as it is."""

    def chunk_ran(self, outcome: ScriptOutcome) -> list[Body]:
        """The chunks that waited for a script, once it has this outcome."""

    def route_of(self, piece: Piece) -> Route | None:
        """The route of the next pieces of a text; None if events must be read whole."""

    def note(self, chunk: Body) -> None:
        """Remember the parts of a chunk that local answers repeat."""

    def commit(self) -> None:
        """Remember all turns as far as they were handed out."""

    def end(self, chunk: Body | None, *, marked: bool | None = None) -> list[Body]:
        """The chunks to hand out at the end of a stream."""

    def outline(self) -> Outline | None:
        """The answer in names and sizes, as far as it was read; None if it was not translated."""
