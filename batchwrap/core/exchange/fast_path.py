"""The fast path for most events of a stream: pieces of a text, or of a call's arguments.

    event --piece_alone--> piece --take--> as it came, or the calls that it completes

While a text is being written, only another kind of event can change the state around it. So the
repair, the reader of the choice and the writer of the stream are asked once who takes the pieces
of that text (`Route`), and the pieces go there directly until any other event comes. That event,
and a piece that must be read more closely, goes to `Exchange.chunk` whole: the fast path has taken
nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, Protocol

from batchwrap.core.formats.calls import Fragment
from batchwrap.core.formats.format import Body, Look, Piece, Place, StreamWriter, Take, Taken

# Makes the events that replace one. Its argument parses that one exactly; the fast path's own copy
# may have rounded numbers.
Write = Callable[[Callable[[], Body]], list[Body]]


class Route:
    """Where the pieces of one text go.

    Args:
        place: the text: the choice's own, its reasoning content, or a call's arguments.
        take: takes the next piece.
        stream: writes the events.
        handed_out: called when calls go out.
    """

    __slots__ = ("handed_out", "passes", "place", "take", "write")

    def __init__(
        self, place: Place, take: Take, stream: StreamWriter, handed_out: Callable[[], None]
    ) -> None:
        self.place = place
        self.take = take
        self.handed_out = handed_out
        self.write = stream.continued
        self.passes = stream.passes if stream.is_numbered else None


def as_it_came(text: str) -> None:
    """Take a piece that nobody reads; it goes out as it came."""


def repaired(repair: Take, read: Take) -> Take:
    """Combine two takers: the reader gets a piece only if the repair hands it on."""
    if repair is as_it_came:
        return read
    if read is as_it_came:
        return repair

    def take(text: str) -> Taken:
        taken = repair(text)
        return read(text) if taken is None else taken

    return take


class StreamAccount(Protocol):
    """Records what the agent has got of a stream. Its own errors hold nothing back."""

    def held(self, piece: Piece) -> bool:
        """Record a piece of which nothing goes out; False if `see` must get its whole event."""

    def see(self, came: Body, made: list[Body] | None) -> None:
        """Record an event and what goes out for it; None for the event itself."""


class FastPath:
    """Takes the pieces of one stream.

    Args:
        piece_alone: returns the piece of an event that holds nothing else; None for any other.
        begin: returns the route of a piece and of those that follow; None if there is none yet.
        account: records the pieces that do not go out as they came.
    """

    __slots__ = ("_account", "_begin", "_piece_alone", "_routes")

    def __init__(
        self,
        piece_alone: Callable[[Body], Piece | None],
        begin: Callable[[Piece], Route | None],
        account: StreamAccount,
    ) -> None:
        self._piece_alone = piece_alone
        self._begin = begin
        self._account = account
        self._routes: dict[int, Route] = {}  # by choice, which writes one text at a time

    def take(self, event: Body) -> Write | Literal[Look.CLOSER] | None:
        """Take an event of the stream, if it is a piece; its numbers may be rounded.

        Returns:
            None if it goes out as it came; `Look.CLOSER` if it was not taken and must go through
            `Exchange.chunk`; otherwise a function that makes the events that replace it.
        """
        piece = self._piece_alone(event)
        if piece is None:
            return Look.CLOSER
        index, place, text = piece
        route = self._routes.get(index)
        if route is None or route.place != place:
            route = self._begin(piece)
            if route is None:
                return Look.CLOSER
            self._routes[index] = route
        if route.passes is not None and not route.passes(event, piece):
            return Look.CLOSER
        taken = route.take(text)
        if taken is None or taken is Look.CLOSER:
            return taken
        return partial(self._written, route, taken, piece)

    def _written(
        self,
        route: Route,
        calls: Sequence[Fragment],
        piece: Piece,
        original: Callable[[], Body],
    ) -> list[Body]:
        """The events that replace a piece."""
        if not calls and self._account.held(piece):
            return []
        came = original()
        made: list[Body] = []
        if calls:
            made = route.write(came, calls)
            route.handed_out()
        self._account.see(came, made)
        return made

    def close(self) -> None:
        """Forget all routes, since another kind of event has come."""
        self._routes = {}
