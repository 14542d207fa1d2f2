"""A translation whose own errors fail no request.

If a request cannot be translated, it goes out with its earlier batches folded, which calls no
function of the user's; if that fails, too, the agent's own bytes go out. If an answer cannot be
translated, it is handed out as it came. If a part of a stream was translated before the error, the
format's `salvage` ends the stream so that it says nothing untrue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from batchwrap.core.exchange.actions import Resend
from batchwrap.core.exchange.fast_path import FastPath, Route
from batchwrap.core.exchange.guard import Guard
from batchwrap.core.exchange.outline import Outline
from batchwrap.core.exchange.passthrough import NoSalvage, Passthrough
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.exchange.translation import Translation
from batchwrap.core.formats.format import Body, Format, Piece, Salvage
from batchwrap.core.moves import ids
from batchwrap.core.moves.deliver import LocalAnswer
from batchwrap.core.moves.script_run import ScriptOutcome, ScriptRun
from batchwrap.core.repair.faults import Fault

T = TypeVar("T")


_PLAIN = Passthrough()


def _none(event: Body) -> None:
    """Never a piece: an event of an unknown format goes through `chunk`."""


class GuardedTranslation:
    """A translation inside a guard.

    Args:
        make: makes the translation.
        guard: the guard of the request.
        form: the format of the request; None if it is not translated.

    Attributes:
        mends: whether the events of streams are repaired.
        fits_forms: whether an answer is converted to the form that was asked for.
        reads_errors: whether errors inside streams are read.
        fast_path: handles the pieces of texts. It is not guarded: its caller guards many pieces
            at once, and calls `break_off` after an error.
    """

    def __init__(self, make: Callable[[], Translation], guard: Guard, form: Format | None) -> None:
        self._guard = guard
        self._form = form
        self._inner: Translation = _PLAIN
        self._salvage: Salvage | None = None
        self._made: list[Body] = []  # what went out for it
        self._paused: Body | None = None  # the event of a stream that waits for a script
        self._is_broken = False  # whether the translation of a stream was broken off
        self.mends = self.fits_forms = self.reads_errors = False
        piece_alone = _none if form is None else form.piece_alone
        self.fast_path = FastPath(piece_alone, self._route_of, self)
        with guard.step("begin"):
            self._inner = inner = make()
            self.mends, self.fits_forms = inner.mends, inner.fits_forms
            self.reads_errors = inner.reads_errors

    def _account(self) -> Salvage:
        """The account of the stream, made when it is first needed, inside the guard."""
        if self._salvage is None:
            form = self._form
            self._salvage = NoSalvage() if form is None else form.salvage(ids.origin_of)
        return self._salvage

    def _guarded(self, step: str, do: Callable[[Translation], T]) -> T:
        """The translation's result; if it raises, the result of one that changes nothing."""
        with self._guard.step(step):
            return do(self._inner)
        return do(_PLAIN)

    @property
    def script_due(self) -> ScriptRun | None:
        """The script that a stream waits for: nothing more of it may come before `chunk_ran`."""
        if self._paused is None:
            return None
        return self._guarded("script", lambda inner: inner.script_due)

    def names(self) -> Sequence[str]:
        """The names under which other processes may have kept what this one needs."""
        return self._guarded("memory", lambda inner: inner.names())

    def script_run(self) -> ScriptRun | None:
        """The script that has to be run before the request can be answered, or sent."""
        return self._guarded("script", lambda inner: inner.script_run())

    def script_ran(self, outcome: ScriptOutcome) -> None:
        """The script of the history that had to be run has this outcome."""
        self._guarded("script", lambda inner: inner.script_ran(outcome))

    def local_answer(self) -> LocalAnswer | None:
        """The answer that needs no round trip; None if the provider has to be asked."""
        with self._guard.step("local_answer"):
            return self._inner.local_answer()
        return None

    def request(self) -> Body | None:
        """The request in the provider view; None if it stays as it is."""
        with self._guard.step("request"):
            return self._inner.request()
        with self._guard.step("fold"):
            return self._inner.folded()
        return self.withdraw()

    def withdraw(self) -> Body | None:
        """The agent's own request, which goes out; None: its bytes, as they are."""
        return self._guarded("withdraw", lambda inner: inner.withdraw())

    @property
    def asks_usage(self) -> bool:
        """Whether a stream may be asked for its usage."""
        return self._guarded("request", lambda inner: inner.asks_usage)

    @property
    def measures(self) -> bool:
        """Whether the size of the request is checked against the model's context."""
        with self._guard.step("size"):
            return self._inner.repair.measures
        return False

    @property
    def may_ask_again(self) -> bool:
        """Whether the model can be asked again, since the agent has nothing of the answer yet."""
        return not self._is_broken and self._guarded("again", lambda inner: inner.may_ask_again)

    @property
    def asks_again(self) -> bool:
        """Whether the answer was not understood, and the model is to be asked again."""
        return not self._is_broken and self._inner.again is not None

    def ask_again(self) -> Body | None:
        """The request that asks again, in the provider view; None: the agent's own."""
        self._salvage = None
        self.fast_path.close()
        return self._guarded("again", lambda inner: inner.ask_again())

    def ask_as_before(self) -> None:
        """The provider did not take that request, and is asked as it was before."""
        self._guarded("again", lambda inner: inner.ask_as_before())

    def check_size(self, tokens: int) -> None:
        """Report a prompt of this many tokens if it is larger than the model's context.

        Raises:
            ContextLimitExceeded: the options say that such a prompt is not sent.
        """
        self._guarded("size", lambda inner: inner.repair.check_size(tokens))

    @property
    def is_over(self) -> bool:
        """Whether the answer has ended in an error."""
        return not self._is_broken and self._guarded("end", lambda inner: inner.repair.is_over)

    @property
    def is_guess(self) -> bool:
        """Whether the view is a guess: the conversation may have begun in another one."""
        return self._guarded("refused", lambda inner: inner.is_guess)

    def refused(self, error: Body) -> Resend | None:
        """What to send after the provider refused the request; None to hand its error out."""
        return self._guarded("refused", lambda inner: inner.refused(error))

    def give_up(self) -> None:
        """Switch the refused rewrite off for this model: its own request was accepted."""
        self._guarded("refused", lambda inner: inner.give_up())

    def takes_trial(self) -> bool:
        """Whether the agent's own request is sent after a server error, to find its cause."""
        return self._guarded("refused", lambda inner: inner.takes_trial())

    def tried(self, *, accepted: bool) -> None:
        """The agent's own request was sent after a server error; whether it was accepted."""
        self._guarded("refused", lambda inner: inner.tried(accepted=accepted))

    def accepted(self) -> None:
        """The provider has accepted the rewritten request."""
        self._guarded("refused", lambda inner: inner.accepted())

    def response(self, completion: Body) -> Body | ScriptRun | None:
        """A plain completion in the agent view, or the script in it that has to be run first.

        None if it stays as it is.

        Raises:
            Broken: the completion cannot be used.
        """
        with self._guard.step("response"):
            return self._inner.response(completion)
        return None

    def response_ran(self, outcome: ScriptOutcome) -> Body | ScriptRun | None:
        """The same as `response`, once the script that had to be run has this outcome."""
        return self._guarded("response", lambda inner: inner.response_ran(outcome))

    def read(self, content: bytes, *, accepted: bool) -> WholeBody:
        """Decode a body, in whatever form it came."""
        return self._guarded("read", lambda inner: inner.repair.read(content, accepted=accepted))

    def rebuilt(self, body: Body | None) -> Body | None:
        """The completion inside an error (a refused call); None if there is none."""
        return self._guarded("refusal", lambda inner: inner.repair.rebuilt(body))

    def refusal(self, status: int, headers: Mapping[str, str], body: object) -> Fault | None:
        """The fault behind an error status; None if errors are not repaired."""
        return self._guarded("refusal", lambda inner: inner.repair.refusal(status, headers, body))

    def _route_of(self, piece: Piece) -> Route | None:
        """The route of the next pieces of a text; None if events must be read whole."""
        return None if self._is_broken else self._inner.route_of(piece)

    def chunk(self, chunk: Body) -> list[Body] | None:
        """The chunks of the agent view for one chunk of a stream; None if it stays as it is."""
        # Routes hold as long as only pieces come; any other event may change who reads what.
        self.fast_path.close()
        if not self._is_broken:
            with self._guard.step("chunk"):
                made = self._inner.chunk(chunk)
                if self._inner.script_due is None:
                    self.see(chunk, made)
                else:
                    self._paused, self._made = chunk, [*(made or ())]
                return made
            self.break_off()
        with self._guard.step("salvage"):
            return self._account().chunk(chunk)
        return None

    def chunk_ran(self, outcome: ScriptOutcome) -> list[Body]:
        """The chunks that waited for a script, once it has this outcome."""
        chunk, self._paused = self._paused, None
        with self._guard.step("chunk"):
            made = self._inner.chunk_ran(outcome)
            self._made += made
            if self._inner.script_due is not None:
                self._paused = chunk
            elif chunk:
                self.see(chunk, self._made)
            return made
        self.break_off()
        with self._guard.step("salvage"):
            made_up = self._account().chunk(chunk) if chunk else self._account().end()
            return [chunk] if made_up is None and chunk else made_up or []
        return []

    def held(self, piece: Piece) -> bool:
        """Record a piece of which nothing goes out; False if `see` must get its whole event."""
        with self._guard.step("salvage"):
            return self._account().held(piece)
        return True

    def see(self, chunk: Body, made: list[Body] | None) -> None:
        """Record what is handed out for a chunk."""
        with self._guard.step("salvage"):
            self._account().see(chunk, made)

    def lost(self, fault: Fault) -> list[Body] | None:
        """The chunks to hand out for an unreadable event; None for the event itself."""
        self.fast_path.close()
        if not self._is_broken:
            with self._guard.step("chunk"):
                return self._inner.repair.lost(fault)
            self.break_off()
        return None

    def break_off(self) -> None:
        """Stop translating a stream, and remember what was handed out of it."""
        self.fast_path.close()
        self._paused = None
        if not self._is_broken:
            self._is_broken, self.mends = True, False
            self._guarded("commit", lambda inner: inner.commit())

    def note(self, chunk: Body) -> None:
        """Remember the parts of a chunk that local answers repeat."""
        self._guarded("chunk", lambda inner: inner.note(chunk))

    def end(self, chunk: Body | None, *, marked: bool | None) -> list[Body]:
        """The chunks to hand out at the end of a stream."""
        self.fast_path.close()
        if not self._is_broken:
            with self._guard.step("end"):
                left = self._inner.end(chunk, marked=marked)
                self._paused = None if self._inner.script_due is None else {}
                return left
            self.break_off()
        with self._guard.step("salvage"):
            return self._account().end()
        return []

    def outline(self) -> Outline | None:
        """The answer in names and sizes; None if it was not translated."""
        return self._guarded("observe", lambda inner: inner.outline())
