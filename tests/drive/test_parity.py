"""The two drivers do the same: each scripted case runs through both, event by event."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import pytest

from batchwrap.core.exchange.actions import AnswerLocally, Head, Respond
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.exchange.progress import WholeBody
from batchwrap.core.limits.refusal import Refusal
from batchwrap.drive import sync, tasks
from batchwrap.drive.interpreter import Interpreter
from batchwrap.errors import LimitExceeded
from batchwrap.options import Limit, Throttle
from batchwrap.throttle.accounts import Origin
from batchwrap.throttle.budget import Budget
from batchwrap.throttle.estimate import Estimator
from tests.core.harness import call, chunk, completion, context_of
from tests.strategies import READ_FILE

ASKED = {"messages": [{"role": "user", "content": "hi"}], "tools": [READ_FILE], "max_tokens": 100}
CALL = call("call_1", "multi_read", {"files": [{"path": "a"}, {"path": "b"}]})
MULTI = completion({"role": "assistant", "content": None, "tool_calls": [CALL]})
CHUNKS = [
    chunk({"role": "assistant", "content": "Reading."}),
    chunk({"tool_calls": [{"index": 0, **CALL}]}),
    {**chunk({}, "tool_calls"), "usage": {"prompt_tokens": 5, "completion_tokens": 7}},
]


class Broken(Exception):
    """What goes wrong in the cases."""


@dataclass
class Said:
    """One answer of the provider; `fails` names the place where it breaks."""

    body: dict[str, Any] | None = None
    status: int = 200
    chunks: list[dict[str, Any]] | None = None
    fails: Literal["", "send", "read", "stream", "close"] = ""


@dataclass
class Case:
    """What the provider says, how many pieces of a stream the caller reads, and how it ends."""

    said: list[Said]
    ends_with: str
    reads: int | None = None
    limit: float = 1_000
    backoff: Callable[[Refusal], float | None] = lambda refusal: 0.001


class Run:
    """One run of a case: its exchange and limiter, and the log of what happened."""

    def __init__(self, case: Case) -> None:
        self.log: list[tuple[Any, ...]] = []
        limits = [Limit("tokens", case.limit, 1e9)]
        self.budget = Budget(Throttle(limits=limits, max_wait_s=1))
        self.admission = self.budget.request(ASKED, Origin())
        self._said = iter(case.said)
        streams = any(said.chunks is not None for said in case.said)
        asked = {**ASKED, "stream": streams}
        self.exchange = Exchange(
            asked,
            context=context_of(),
            counter=Estimator(),
            limits_tokens=True,
            backoff=case.backoff,
        )

    def next_answer(self, body: Any, api_key: str | None) -> Incoming:
        """Note what is sent, and answer it."""
        assert api_key is None
        self.log.append(("send", body))
        incoming = Incoming(next(self._said), self.log)
        incoming.fail("send")
        return incoming

    def on_end(self, exchange: Exchange) -> None:
        """Note what was counted, and what is still reserved."""
        counts = {key: n for key, n in exchange.metrics.counts.items() if key != "waited_s"}
        self.log.append(("end", counts, self.budget.is_idle))


class Incoming:
    """An answer for the driver of threads."""

    def __init__(self, said: Said, log: list[tuple[Any, ...]]) -> None:
        self.said, self._log = said, log
        self.head = Head(said.status, {}, said.chunks is not None)

    def fail(self, place: str) -> None:
        """Break, if this is the place for it."""
        if self.said.fails == place:
            raise Broken(place)

    def read(self) -> Any:
        """The body."""
        self._log.append(("read",))
        self.fail("read")
        return WholeBody(self.said.body)

    def first(self) -> Any:
        """The first chunk."""
        self._log.append(("first",))
        return self.said.chunks[0] if self.said.chunks else None

    def pieces(self, exchange: Exchange) -> Generator[Any]:
        """The chunks, translated."""
        for one in self.said.chunks or ():
            made = exchange.chunk(one)
            yield from [one] if made is None else made
        self.fail("stream")
        yield from exchange.end()

    def close(self) -> None:
        """Note that the connection is let go."""
        self._log.append(("close",))
        self.fail("close")


class AsyncIncoming:
    """The same for the driver of tasks."""

    def __init__(self, inner: Incoming) -> None:
        self._inner, self.head = inner, inner.head

    async def read(self) -> Any:
        """The body."""
        return self._inner.read()

    async def first(self) -> Any:
        """The first chunk."""
        return self._inner.first()

    async def pieces(self, exchange: Exchange) -> AsyncGenerator[Any, Any]:
        """The chunks, translated."""
        for piece in self._inner.pieces(exchange):
            yield piece

    async def close(self) -> None:
        """Note that the connection is let go."""
        self._inner.close()


def run_sync(case: Case) -> Run:
    """Run a case in this thread."""
    run = Run(case)
    try:
        answer = sync.run(
            run.exchange,
            run.next_answer,
            admission=run.admission,
            on_end=run.on_end,
            interpreter=Interpreter(),
        )
        assert not isinstance(answer.outcome, AnswerLocally)
        if isinstance(answer.outcome, Respond):
            run.log.append(("respond", answer.outcome))
            return run
        for number in count():
            if number == case.reads:
                answer.outcome.close()
                answer.outcome.close()
                run.log.append(("closed",))
                return run
            run.log.append(("piece", next(answer.outcome)))
    except StopIteration:
        run.log.append(("exhausted",))
    except (Broken, LimitExceeded) as error:
        run.log.append(("raised", type(error), str(error)))
    return run


async def run_async(case: Case) -> Run:
    """Run a case in this task."""
    run = Run(case)

    async def send(body: Any, api_key: str | None) -> AsyncIncoming:
        return AsyncIncoming(run.next_answer(body, api_key))

    try:
        answer = await tasks.run(
            run.exchange,
            send,
            admission=run.admission,
            on_end=run.on_end,
            interpreter=Interpreter(),
        )
        assert not isinstance(answer.outcome, AnswerLocally)
        if isinstance(answer.outcome, Respond):
            run.log.append(("respond", answer.outcome))
            return run
        for number in count():
            if number == case.reads:
                await answer.outcome.aclose()
                await answer.outcome.aclose()
                run.log.append(("closed",))
                return run
            run.log.append(("piece", await anext(answer.outcome)))
    except StopAsyncIteration:
        run.log.append(("exhausted",))
    except (Broken, LimitExceeded) as error:
        run.log.append(("raised", type(error), str(error)))
    return run


REFUSED = Said(status=429)
OVERLOADED = {"error": {"message": "overloaded", "code": 503, "type": "overloaded_error"}}
BROKE = {"error": {"message": "no money", "code": "insufficient_quota", "type": "x"}}
CASES = {
    "a plain answer": Case([Said(completion({"content": "yes"}, "stop"))], "respond"),
    "a multi-call": Case([Said(MULTI)], "respond"),
    "not JSON": Case([Said(None)], "respond"),
    "an error": Case([Said({"error": {}}, status=404)], "respond"),
    "an error in place of a stream": Case([Said({"error": {}}, 500, chunks=[])] * 2, "respond"),
    "an error that the plain view avoids": Case(
        [Said({"error": {}}, 500, chunks=[]), Said(chunks=CHUNKS)], "exhausted"
    ),
    "a stream": Case([Said(chunks=CHUNKS)], "exhausted"),
    "an empty stream": Case([Said(chunks=[])], "exhausted"),
    "a stream without an end": Case([Said(chunks=CHUNKS[:2])], "exhausted"),
    "a stream that breaks": Case([Said(chunks=CHUNKS[:2], fails="stream")], "raised"),
    "a stream that is closed": Case([Said(chunks=CHUNKS)], "closed", reads=2),
    "a stream that nobody reads": Case([Said(chunks=CHUNKS)], "closed", reads=0),
    "a stream that cannot be closed": Case([Said(chunks=CHUNKS, fails="close")], "raised", reads=1),
    "a refusal": Case([REFUSED, Said(MULTI)], "respond"),
    "refusals before a stream": Case([REFUSED, REFUSED, Said(chunks=CHUNKS)], "exhausted"),
    "a stream that begins with a refusal": Case(
        [Said(chunks=[OVERLOADED]), Said(chunks=CHUNKS)], "exhausted"
    ),
    "giving up on such a stream": Case(
        [Said(chunks=[OVERLOADED])], "respond", backoff=lambda refusal: None
    ),
    "a refusal that no waiting helps": Case([Said(BROKE, status=429)], "respond"),
    "giving up": Case([REFUSED], "respond", backoff=lambda refusal: None),
    "a refusal that breaks": Case([Said(status=429, fails="read")], "raised"),
    "no connection": Case([Said(fails="send")], "raised"),
    "no connection after a refusal": Case([REFUSED, Said(fails="send")], "raised"),
    "a body that breaks off": Case([Said(fails="read")], "raised"),
    "a connection that cannot be closed": Case([Said(MULTI, fails="close")], "raised"),
    "too large": Case([], "raised", limit=50),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", CASES)
async def test_parity(name: str) -> None:
    """Both drivers send, read, close, settle and hand out the same, in the same order."""
    threads, tasked = run_sync(CASES[name]), await run_async(CASES[name])
    assert tasked.log == threads.log


@pytest.mark.parametrize("name", CASES)
def test_every_way_out(name: str) -> None:
    """Whatever happens, the end is reported once, and by then nothing is reserved."""
    run = run_sync(CASES[name])
    [(_, _, reserved)] = [step for step in run.log if step[0] == "end"]
    assert reserved and run.budget.is_idle
    assert run.log[-1][0] == CASES[name].ends_with
    arrived = [said for said in CASES[name].said if said.fails != "send"]
    assert run.log.count(("close",)) >= len(arrived), "each connection is let go"
