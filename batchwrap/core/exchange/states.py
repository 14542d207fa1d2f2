"""Where an exchange stands, and what may be told to it there.

    NEW --start--> RESERVING --reserved--> SENDING --received--> READING --body--> DONE
                       ^                      ^                     |
                       |                      +-- sent as the agent wrote it (400, 413, 422)
                       |                                            |
                       +-- waited -- WAITING <-------- refused -----+
                       +-- ask_again -- ASKING <-- not understood --+

Before it is reserved, and before an answer is handed out, scripts may have to be run: the exchange
is `RUNNING` then, and goes on when it is told that they `ran`. A stream is `PAUSED` meanwhile.

A stream goes from `SENDING` to `STREAMING`, mostly by way of `PEEKING`, in which its first
events are looked at. An answer that needs no provider goes from `NEW` to `DONE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from batchwrap.core.exchange import actions


class State(Enum):
    """Where an exchange stands: what it waits for."""

    NEW = "start"
    RUNNING = "ran"
    RESERVING = "reserved"
    SENDING = "received"
    READING = "body"
    PEEKING = "first"
    STREAMING = "chunk"
    PAUSED = "chunk_ran"
    WAITING = "waited"
    ASKING = "ask_again"
    DONE = "finish"


# Where it stands once it has said what to do next.
AFTER: Mapping[type[actions.Action], State] = {
    actions.RunScript: State.RUNNING,
    actions.Reserve: State.RESERVING,
    actions.Send: State.SENDING,
    actions.Resend: State.SENDING,
    actions.ReadBody: State.READING,
    actions.ReadFirst: State.PEEKING,
    actions.Stream: State.STREAMING,
    actions.Wait: State.WAITING,
    actions.AskAgain: State.ASKING,
    actions.Respond: State.DONE,
    actions.AnswerLocally: State.DONE,
}

# What may be told to it, and where. A stream may end in asking again, too.
ALLOWED: Mapping[str, frozenset[State]] = {
    "start": frozenset({State.NEW}),
    "ran": frozenset({State.RUNNING}),
    "reserved": frozenset({State.RESERVING}),
    "withdraw": frozenset({State.SENDING}),
    "received": frozenset({State.SENDING}),
    "body": frozenset({State.READING}),
    "first": frozenset({State.PEEKING}),
    "chunk": frozenset({State.STREAMING}),
    "chunk_ran": frozenset({State.PAUSED}),
    "lost": frozenset({State.STREAMING}),
    "end": frozenset({State.STREAMING}),
    "waited": frozenset({State.WAITING}),
    "ask_again": frozenset({State.ASKING, State.STREAMING}),
}


class OutOfOrder(RuntimeError):
    """A driver told an exchange something that it was not waiting for: a mistake in the driver."""

    def __init__(self, told: str, state: State) -> None:
        super().__init__(f"{told}() was called while the exchange waits for {state.value}()")
