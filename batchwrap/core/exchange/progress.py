"""The data of one exchange: the request that goes out, and its newest answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

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
        agents: the request as the agent wrote it.
        changed: what goes out instead; None for the agent's own.
        unasked: what went out before the model was asked again.
        has_asked: whether the model was asked again.
        is_plain: whether the agent's own request goes out since the provider refused ours.
        suspicion: what our changes have caused if it is accepted; None if that tells nothing.
        asked_usage: whether we have asked for the stream's usage and the agent has not.
        estimated: prompt tokens before corrections; 0 if they were not counted.
        reserved: the cost that is reserved.
        minimum: the part of the cost that the request itself names.
        headroom: the cost beyond that if the estimates are too low.
        is_out: whether the request was sent and not answered yet.
        sent_s: when it was sent, by the clock of the context.
        pause_s: seconds to wait before it is sent again.
    """

    agents: Body
    changed: Body | None = None
    unasked: Body | None = None
    has_asked: bool = False
    is_plain: bool = False
    suspicion: Literal["refusal", "server_error"] | None = None
    asked_usage: bool = False
    estimated: int = 0
    reserved: cost.Cost = field(default_factory=lambda: cost.Cost(1))
    minimum: cost.Cost = field(default_factory=lambda: cost.Cost(1))
    headroom: cost.Cost = NOTHING
    is_out: bool = False
    sent_s: float = 0.0
    pause_s: float = 0.0

    @property
    def sent(self) -> Body:
        """What goes out."""
        return self.agents if self.changed is None else self.changed


@dataclass(slots=True, repr=False)
class AnswerProgress:
    """The newest answer.

    Attributes:
        head: its status and headers; status 0 before an answer has come.
        now_unix_s: when it came, by the provider's clock.
        took_s: the seconds until it began.
        observations: what its headers say about limits.
        is_accepted: whether the status says that the provider did what it was asked.
        is_read: whether the driver reads it as a whole.
        openings: the types of a stream's first events that were held back.
        last_chunk: the newest chunk of a stream.
        said: the completion, or the newest chunk with choices; empty if there is none.
        usage: the usage that it reports.
        broken: the fault of an answer that cannot be used.
        is_rebuilt: whether it was an error that contained the model's call.
        waiting: a whole answer that waits for a script.
    """

    head: Head
    now_unix_s: float = 0.0
    took_s: float = 0.0
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
    """The decoded bytes of a whole answer.

    Attributes:
        completion: the JSON object; None if the body is not one.
        other: what the body is otherwise: a text, or another JSON value.
        is_rebuilt: whether the object was built from another form, such as a stream.
        is_withheld: whether it was built from a call inside an error.
        fault: the fault of a body that cannot be used.
    """

    completion: Body | None
    other: object = None
    is_rebuilt: bool = False
    is_withheld: bool = False
    fault: Fault | None = None
