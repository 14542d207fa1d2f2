"""What an exchange asks of whoever translates it, and of whoever repairs its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from batchwrap.core.exchange.actions import Resend
from batchwrap.core.exchange.fast_path import Route
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.formats.format import Body, Piece
from batchwrap.core.moves.deliver import LocalAnswer
from batchwrap.core.moves.script_run import ScriptOutcome, ScriptRun
from batchwrap.core.repair.faults import Fault


class Repairs(Protocol):
    """Puts answers into the shape that SDKs read."""

    @property
    def measures(self) -> bool:
        """Whether the size of the request matters."""

    @property
    def is_over(self) -> bool:
        """Whether the answer has ended in an error."""

    def check_size(self, tokens: int) -> None:
        """Note that a prompt of so many tokens is larger than the model's context, if it is.

        Raises:
            ContextLimitExceeded: so much is not sent.
        """

    def read(self, content: bytes, *, accepted: bool) -> WholeBody:
        """What a body holds, in whatever form."""

    def refusal(self, status: int, headers: Mapping[str, str], body: object) -> Fault | None:
        """What an answer with an error status means; None where errors are left alone."""

    def rebuilt(self, body: Body | None) -> Body | None:
        """The completion that an error withholds; None if it withholds none."""

    def lost(self, fault: Fault) -> list[Body] | None:
        """What to hand out for an event that cannot be read; None: the event itself."""


class Translation(Protocol):
    """Translates one request into the provider view, and its answer back."""

    @property
    def repair(self) -> Repairs:
        """Repairs its answer."""

    @property
    def asks_usage(self) -> bool:
        """Whether a stream may be asked for its usage."""

    @property
    def mends(self) -> bool:
        """Whether streams are put into shape."""

    @property
    def fits_forms(self) -> bool:
        """Whether answers come in the form that was asked for, stream or whole."""

    @property
    def reads_errors(self) -> bool:
        """Whether errors inside of streams are read."""

    @property
    def may_ask_again(self) -> bool:
        """Whether the model can still be asked again: the agent has got nothing of the answer."""

    @property
    def again(self) -> Body | None:
        """The request that asks again; None where the answer was understood."""

    @property
    def script_due(self) -> ScriptRun | None:
        """The script that a stream waits for: nothing more of it may come before `chunk_ran`."""

    def script_run(self) -> ScriptRun | None:
        """The script that has to be run before the request can be answered, or sent."""

    def script_ran(self, outcome: ScriptOutcome) -> None:
        """The script of the history that had to be run has this outcome."""

    def local_answer(self) -> LocalAnswer | None:
        """What the agent gets without a round trip, if anything is due."""

    def request(self) -> Body | None:
        """The request in the provider view; None if it stays as it is."""

    def folded(self) -> Body | None:
        """The request with its earlier batches folded, and nothing else; None if it has none."""

    def withdraw(self) -> None:
        """Nothing of what was made of the request goes out."""

    def ask_again(self) -> Body | None:
        """The request that asks again. Whatever comes next is the answer to it, and counts."""

    @property
    def is_guess(self) -> bool:
        """Whether the conversation may have begun in another view."""

    def refused(self, error: Body) -> Resend | None:
        """The provider did not take the request: what goes out next; None: its error counts."""

    def give_up(self) -> None:
        """The agent's own request was understood: this model gets no more of that rewrite."""

    def response(self, completion: Body) -> Body | ScriptRun | None:
        """A plain completion in the agent view; None if it stays as it is.

        Where it holds a script, that has to be run first; `response_ran` then goes on.

        Raises:
            Broken: it cannot be used.
        """

    def response_ran(self, outcome: ScriptOutcome) -> Body | ScriptRun | None:
        """The same as `response`, once the script that had to be run has this outcome."""

    def chunk(self, chunk: Body) -> list[Body] | None:
        """The chunks of the agent view for one chunk of a stream; None if it stays as it is."""

    def chunk_ran(self, outcome: ScriptOutcome) -> list[Body]:
        """The chunks that waited for a script, once it has this outcome."""

    def route_of(self, piece: Piece) -> Route | None:
        """Who takes in the next pieces of a text; None where more is to be read than those."""

    def note(self, chunk: Body) -> None:
        """Remember what local answers repeat of a chunk."""

    def commit(self) -> None:
        """Remember all turns as far as they have been handed out."""

    def end(self, chunk: Body | None, *, marked: bool | None = None) -> list[Body]:
        """What is left at the end of a stream."""
