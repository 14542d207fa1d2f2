"""Translations and repairs that change nothing.

They take the translator's place for endpoints without a format, and the repair's place for formats
that are not repaired, so the exchange has one way for all requests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from batchwrap.core.exchange.actions import Resend
from batchwrap.core.exchange.fast_path import as_it_came
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.exchange.provider_view import ProviderView
from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.formats.endpoints import Endpoint
from batchwrap.core.formats.format import Body, Piece, Place, Take
from batchwrap.core.moves.script_run import ScriptOutcome
from batchwrap.core.parse import parsed_object
from batchwrap.core.repair.faults import Fault


class NoRepair:
    """Leaves requests and answers as they are.

    Attributes:
        view: the request in the provider view, as it was sent.
        is_over: whether the answer has ended in an error.
    """

    measures = False

    def __init__(self) -> None:
        self.is_over = False
        self.view = ProviderView()

    def mended(self, body: Body) -> Body:
        """The request stays as it is."""
        return body

    def again(self, body: Body) -> Body:
        """The request stays as it is."""
        return body

    def whole(self, completion: Body) -> Body:
        """The answer stays as it is."""
        return completion

    def chunk(self, chunk: Body) -> list[Body] | None:
        """The event stays as it is."""
        return None

    def take_of(self, index: int, place: Place) -> Take:
        """Each piece goes out as it came."""
        return as_it_came

    def end(self, *, marked: bool | None) -> list[Body]:
        """Nothing is held back, so nothing is added at the end."""
        return []

    def check_size(self, tokens: int) -> None:
        """No size is checked; the provider refuses what is too large."""

    def read(self, content: bytes, *, accepted: bool) -> WholeBody:
        """The decoded answer, whose own bytes are handed out."""
        return WholeBody(parsed_object(content))

    def refusal(self, status: int, headers: Mapping[str, str], body: object) -> None:
        """Errors stay as they are."""

    def rebuilt(self, body: Body | None) -> None:
        """No call is looked for in an error."""

    def lost(self, fault: Fault) -> list[Body] | None:
        """An unreadable event stays as it is."""
        return None


class NoSalvage:
    """Keeps no account of a stream: nothing was translated, so nothing is missing."""

    def see(self, came: Body, made: list[Body] | None) -> None:
        """Every event goes out as it came."""

    def held(self, piece: Piece) -> bool:
        """Nothing is ever held."""
        return True

    def chunk(self, event: Body) -> list[Body] | None:
        """The event stays as it is."""
        return None

    def end(self) -> list[Body]:
        """Nothing is missing at the end."""
        return []


class Passthrough:
    """Changes nothing: the request goes out, and the answer is handed on, as it came."""

    asks_usage = False
    mends = False
    fits_forms = False
    reads_errors = False
    may_ask_again = False
    again = None
    repair = NoRepair()  # one for all requests: it keeps no state where nothing is translated
    is_guess = False
    script_due = None

    def names(self) -> Sequence[str]:
        """Nothing of it is remembered."""
        return ()

    def script_run(self) -> None:
        """Nothing was read, so no script was found."""

    def script_ran(self, outcome: ScriptOutcome) -> None:
        """Nobody asked for it."""

    def local_answer(self) -> None:
        """Only the provider answers."""

    def request(self) -> Body | None:
        """The request stays as it is."""
        return None

    def folded(self) -> None:
        """The request stays as it is."""

    def withdraw(self) -> Body | None:
        """Nothing was changed, so nothing is withdrawn."""
        return None

    def ask_again(self) -> Body | None:
        """Nothing was read, so nothing was misunderstood."""
        return None

    def ask_as_before(self) -> None:
        """Nothing was asked again."""

    def refused(self, error: Body) -> Resend:
        """The agent's own request goes out."""
        return Resend()

    def give_up(self) -> None:
        """Nothing was added, so nothing is switched off."""

    def takes_trial(self) -> bool:
        """Nothing was added that could be the cause."""
        return False

    def tried(self, *, accepted: bool) -> None:
        """Nothing was added, so nothing was tried without it."""

    def accepted(self) -> None:
        """Nothing was rewritten."""

    def response(self, completion: Body) -> None:
        """The answer stays as it is."""

    def response_ran(self, outcome: ScriptOutcome) -> None:
        """The answer stays as it is."""

    def chunk(self, chunk: Body) -> None:
        """The event stays as it is."""

    def chunk_ran(self, outcome: ScriptOutcome) -> list[Body]:
        """No event was held back."""
        return []

    def route_of(self, piece: Piece) -> None:
        """No piece is read."""

    def note(self, chunk: Body) -> None:
        """No local answer repeats anything of the chunk."""

    def commit(self) -> None:
        """Nothing was translated, so there is nothing to remember."""

    def end(self, chunk: Body | None, *, marked: bool | None = None) -> list[Body]:
        """Nothing is added at the end."""
        return []

    def outline(self) -> None:
        """Nothing of the answer was read."""


class OnlyThrottled(Passthrough):
    """A passthrough that counts, for endpoints whose requests are only throttled."""

    def __init__(self, endpoint: Endpoint, metrics: ExchangeMetrics) -> None:
        self._endpoint = endpoint
        self._metrics = metrics

    def request(self) -> Body | None:
        """The request stays as it is, and is counted."""
        self._metrics.add(f"only_throttled.{self._endpoint.name}")
        return None
