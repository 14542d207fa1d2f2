"""The fast path of nearly all events of a stream: pieces of a text, or of a call's arguments.

    event --piece_alone--> piece --take--> as it came, or the calls that it completes

While a text is being written, nothing around it changes: only another kind of event does that. So
the repair, the reader of the choice and the writer of the stream are asked once who takes in the
pieces of a text (`Route`), and the pieces go there directly until any other event comes. That
event, and a piece that has to be looked at closer, is read by `Exchange.chunk`. Nothing of it was
taken in before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, Protocol

from batchwrap.core.formats.calls import Fragment
from batchwrap.core.formats.format import Body, Look, Piece, StreamWriter, Take, Taken

# Makes the events that go out in the place of one, of what makes that one exactly as it came.
Write = Callable[[Callable[[], Body]], list[Body]]


class Route:
    """Where the pieces of one text go.

    Args:
        place: the index of the call whose arguments it is; None: it is the choice's text.
        take: takes in its next piece.
        stream: writes its events.
    """

    __slots__ = ("passes", "place", "take", "write")

    def __init__(self, place: int | None, take: Take, stream: StreamWriter) -> None:
        self.place = place
        self.take = take
        self.write = stream.continued
        self.passes = stream.passes if stream.is_numbered else None


def as_it_came(text: str) -> None:
    """Takes in a piece that nobody reads."""


def repaired(repair: Take, read: Take) -> Take:
    """Takes in a piece by both: it is read as far as the repair hands it on."""
    if repair is as_it_came:
        return read
    if read is as_it_came:
        return repair

    def take(text: str) -> Taken:
        taken = repair(text)
        return read(text) if taken is None else taken

    return take


class StreamAccount(Protocol):
    """Keeps account of what the agent has got; no mistake of its own keeps anything back."""

    def held(self, piece: Piece) -> bool:
        """A piece came of which nothing went out; False: it was not taken in."""

    def see(self, came: Body, made: list[Body] | None) -> None:
        """An event came, and these go out for it; None: the event itself."""


class FastPath:
    """Takes in the pieces of one stream.

    Args:
        piece_alone: the piece that an event is; None: it is more.
        begin: finds the route of a piece, and of those that follow; None where it has none yet.
        account: what is told of the pieces that do not go out as they came.
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
        self._routes: dict[int, Route] = {}  # by choice: a text ends where another one begins

    def take(self, event: Body) -> Write | Literal[Look.CLOSER] | None:
        """Take in an event of the stream, if it is a piece; its numbers may be rounded.

        Returns:
            None: it goes out as it came. `Look.CLOSER`: it was not taken in. Else what makes the
            events that go out in its place.
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
        """The events for a piece that does not go out as it came."""
        if not calls and self._account.held(piece):
            return []
        came = original()
        made = route.write(came, calls) if calls else []
        self._account.see(came, made)
        return made

    def close(self) -> None:
        """Another event comes."""
        self._routes = {}
