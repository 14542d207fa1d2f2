"""How far one exchange has come: what goes out, and what is known of its newest answer."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchwrap.core.exchange.actions import Head
from batchwrap.core.formats.format import Body
from batchwrap.core.limits import cost
from batchwrap.core.limits.cost import NOTHING
from batchwrap.core.limits.headers import Observation
from batchwrap.core.repair.faults import Fault


@dataclass(slots=True, repr=False)
class RequestProgress:
    """The request.

    Attributes:
        agents: as the agent wrote it.
        changed: what goes out in its place; None while that is the same.
        unasked: what went out before the model was asked again.
        has_asked: whether it was asked again.
        is_plain: whether it goes out as the agent wrote it, since the provider refused ours.
        asked_usage: whether only we have asked for the usage of the stream.
        estimated: prompt tokens, raw; 0 where they were not counted.
        reserved: what it may cost.
        minimum: the part of it that the request itself names.
        headroom: what it may cost beyond, where estimates are not good.
        is_out: whether it was sent, and not answered yet.
        pause_s: how long to wait before it is sent again.
    """

    agents: Body
    changed: Body | None = None
    unasked: Body | None = None
    has_asked: bool = False
    is_plain: bool = False
    asked_usage: bool = False
    estimated: int = 0
    reserved: cost.Cost = field(default_factory=lambda: cost.Cost(1))
    minimum: cost.Cost = field(default_factory=lambda: cost.Cost(1))
    headroom: cost.Cost = NOTHING
    is_out: bool = False
    pause_s: float = 0.0

    @property
    def sent(self) -> Body:
        """What goes out."""
        return self.agents if self.changed is None else self.changed


@dataclass(slots=True, repr=False)
class AnswerProgress:
    """The newest answer.

    Attributes:
        head: its status and headers; of status 0 before there is one.
        now_unix_s: when it came, by the provider's clock.
        observations: what its headers say about limits.
        is_accepted: whether the provider did what it was asked.
        is_read: whether the driver reads it as a whole.
        openings: types of a stream's first events that were held back.
        last_chunk: the newest chunk of a stream.
        said: the completion, or the newest chunk with choices; empty without one.
        usage: what it reports.
        broken: what is wrong with it, if it cannot be used.
        is_rebuilt: whether it was an error that held a call.
        waiting: a whole answer that waits for a script.
    """

    head: Head
    now_unix_s: float = 0.0
    observations: list[Observation] = field(default_factory=list)
    is_accepted: bool = False
    is_read: bool = False
    openings: list[object] = field(default_factory=list)
    last_chunk: Body | None = None
    said: Body = field(default_factory=dict)
    usage: cost.Usage | None = None
    broken: Fault | None = None
    is_rebuilt: bool = False
    waiting: WholeBody | None = None


@dataclass(frozen=True, slots=True, repr=False)
class WholeBody:
    """What the bytes of a whole answer hold.

    Attributes:
        completion: the JSON object; None if it is none.
        other: what it is in its place: a text, or another JSON value.
        is_rebuilt: whether the object was put together from another form.
        is_withheld: whether it is a call that an error withheld.
        fault: what is wrong with it, if it cannot be used.
    """

    completion: Body | None
    other: object = None
    is_rebuilt: bool = False
    is_withheld: bool = False
    fault: Fault | None = None
