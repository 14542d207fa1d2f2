"""The states of an exchange, and the calls that are allowed in each.

    NEW --start--> RESERVING --reserved--> SENDING --received--> READING --body--> DONE
                       ^                      ^                     |
                       |                      +-- sent as the agent wrote it (400, 413, 422)
                       |                                            |
                       +-- waited -- WAITING <-------- refused -----+
                       +-- ask_again -- ASKING <-- not understood --+

If processes share their memory, the exchange is `LOADING` first. Before it is reserved, and before
an answer is handed out, scripts may have to be run: the exchange
is `RUNNING` then, and goes on when it is told that they `ran`. A stream is `PAUSED` meanwhile.

A stream goes from `SENDING` to `STREAMING`, usually through `PEEKING`, in which its first events
are checked for an error. A local answer, which needs no provider, goes from `NEW` to `DONE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from batchwrap.core.exchange import actions


class State(Enum):
    """The states, by the name of the call that the exchange waits for."""

    NEW = "start"
    LOADING = "loaded"
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


# The state that each action leads to.
AFTER: Mapping[type[actions.Action], State] = {
    actions.Load: State.LOADING,
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

# The states in which each call is allowed. A stream, too, may end in `ask_again`: the driver finds
# out only after it has held the stream's beginning.
ALLOWED: Mapping[str, frozenset[State]] = {
    "start": frozenset({State.NEW}),
    "loaded": frozenset({State.LOADING}),
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
    """A driver made a call that the exchange was not waiting for, which is a bug of the driver."""

    def __init__(self, told: str, state: State) -> None:
        super().__init__(f"{told}() was called while the exchange waits for {state.value}()")
