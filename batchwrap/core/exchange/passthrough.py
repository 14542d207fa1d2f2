"""What stands in the translator's place where nothing is translated."""

from __future__ import annotations

from collections.abc import Mapping

from batchwrap.core.exchange.actions import Resend
from batchwrap.core.exchange.fast_path import as_it_came
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.exchange.provider_view import ProviderView
from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.formats.endpoints import Endpoint
from batchwrap.core.formats.format import Body, Piece, Take
from batchwrap.core.moves.script_run import ScriptOutcome
from batchwrap.core.parse import parsed_object
from batchwrap.core.repair.faults import Fault


class NoRepair:
    """Leaves requests and answers as they are.

    Attributes:
        view: what was sent in the request's place.
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

    def take_of(self, index: int, place: int | None) -> Take:
        """Each piece goes out as it came."""
        return as_it_came

    def end(self, *, marked: bool | None) -> list[Body]:
        """Nothing is left."""
        return []

    def check_size(self, tokens: int) -> None:
        """How large is too large is the provider's to say."""

    def read(self, content: bytes, *, accepted: bool) -> WholeBody:
        """The answer, to look at."""
        return WholeBody(parsed_object(content))

    def refusal(self, status: int, headers: Mapping[str, str], body: object) -> None:
        """Errors are left alone."""

    def rebuilt(self, body: Body | None) -> None:
        """Errors withhold nothing that could be told."""

    def lost(self, fault: Fault) -> list[Body] | None:
        """What cannot be read stays as it is."""
        return None


class NoSalvage:
    """Keeps no account: nothing was translated, so nothing is owed."""

    def see(self, came: Body, made: list[Body] | None) -> None:
        """What came went out."""

    def held(self, piece: Piece) -> bool:
        """Nothing is ever held."""
        return True

    def chunk(self, event: Body) -> list[Body] | None:
        """The event stays as it is."""
        return None

    def end(self) -> list[Body]:
        """Nothing is owed."""
        return []


class Passthrough:
    """Changes nothing: the request goes out, and the answer is handed on, as it came."""

    asks_usage = False
    mends = False
    fits_forms = False
    reads_errors = False
    may_ask_again = False
    again = None
    repair = NoRepair()
    is_guess = False
    script_due = None

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

    def withdraw(self) -> None:
        """Nothing was added, so nothing is taken back."""

    def ask_again(self) -> Body | None:
        """Nothing was read, so nothing was misunderstood."""
        return None

    def refused(self, error: Body) -> Resend:
        """What was changed goes out as the agent wrote it."""
        return Resend()

    def give_up(self) -> None:
        """Nothing was added, so nothing is switched off."""

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
        """Nothing is read."""

    def note(self, chunk: Body) -> None:
        """No event is taken out."""

    def commit(self) -> None:
        """Nothing was translated, so there is nothing to remember."""

    def end(self, chunk: Body | None, *, marked: bool | None = None) -> list[Body]:
        """Nothing is added at the end."""
        return []


class OnlyThrottled(Passthrough):
    """The same for an endpoint whose requests are only held back by limits."""

    def __init__(self, endpoint: Endpoint, metrics: ExchangeMetrics) -> None:
        self._endpoint = endpoint
        self._metrics = metrics

    def request(self) -> Body | None:
        """The request stays as it is, and is counted."""
        self._metrics.add(f"only_throttled.{self._endpoint.name}")
        return None
