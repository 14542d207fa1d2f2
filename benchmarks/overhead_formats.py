"""What a request, and a chunk of a stream, costs in each API, beside chat completions.

One conversation, and the same answers, are said in the form of each API, and go through bare and
wrapped HTTP clients in turns. An SDK would only add the same to both. What is printed is what
batchwrap adds, and as a ratio to what it adds to chat completions in the same run; `overhead`
tells what that is beside the cost of an SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

import batchwrap
from batchwrap.lab.api_forms import API_FORMS, ApiForm, ScriptedAnswer
from benchmarks import canned, toolbox
from benchmarks.canned import Message
from benchmarks.timing import Times, profiled, repeat

OTHERS = tuple(name for name in API_FORMS if name != "chat")
SIZES = [(1_000, 10), (32_000, 100), (128_000, 400)]
_BUDGET_S = 6.0  # for each size, and for each kind of stream
_SHORT, _CHUNKS = 100, 500
_WAYS = ("known", "first", "next")
_STREAMS: Mapping[str, Callable[[int, ApiForm], list[bytes]]] = {
    "text": canned.text_stream,
    "a multi-call's arguments": canned.multi_call_stream,
    "a call's arguments": canned.single_call_stream,
}
_BATCHING = batchwrap.Batching(tools={"bash": "sequential"})


@dataclass(slots=True)
class Side:
    """One conversation in the form of one API, and the clients that ask it.

    Args:
        name: of the API.
        size: of the conversation, in messages.
        tokens: about the same in tokens.
    """

    name: str
    size: int
    tokens: int
    transport: canned.Canned = field(default_factory=canned.Canned)
    bare: Any = field(init=False)
    knowing: Any = field(init=False)
    known: bytes = field(init=False)
    longer: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.bare = canned.http_library().Client(transport=self.transport)
        self.knowing = self.wrapped()
        messages = canned.conversation(self._answer, self.size, self.tokens)
        self.known, self.longer = self._body(messages), self._body(canned.longer(messages))
        self.transport.answer = canned.text_answer(self._form)

    @property
    def _form(self) -> ApiForm:
        return API_FORMS[self.name]

    def wrapped(self) -> Any:
        """A client with batchwrap, which knows nothing yet."""
        return batchwrap.wrap(self.bare, batching=_BATCHING)

    def ask(self, client: Any, body: bytes) -> Any:
        """One request."""
        return client.post(f"http://canned{self._form.path}", content=body, headers=_HEADERS)

    def read(self, client: Any, answer: list[bytes]) -> None:
        """One request whose answer is streamed."""
        self.transport.answer = answer
        body = self._body([{"role": "user", "content": "Go."}], stream=True)
        url = f"http://canned{self._form.path}"
        with client.stream("POST", url, content=body, headers=_HEADERS) as response:
            for _ in response.iter_bytes():
                pass

    def stream(self, kind: str, chunks: int) -> list[bytes]:
        """A stream of so many pieces."""
        return _STREAMS[kind](chunks, self._form)

    def _body(self, messages: list[Message], **fields: Any) -> bytes:
        asked = {"model": "m", "messages": messages, "tools": toolbox.TOOLS, **fields}
        return orjson.dumps(self._form.request(asked))

    def _answer(self, messages: list[Message], said: ScriptedAnswer) -> Message:
        self.transport.answer = canned.whole(said, self._form)
        answer = self.ask(self.knowing, self._body(messages))
        return self._form.message(orjson.loads(answer.content))


_HEADERS = {"content-type": "application/json", "authorization": "Bearer any"}


def requests(names: Sequence[str], size: int, tokens: int) -> Iterator[str]:
    """The lines of one size: what is added to a request, for each API."""
    sides = [Side(name, size, tokens) for name in names]
    taken = {(side.name, way): Times() for side in sides for way in ("bare", *_WAYS)}

    def each() -> None:
        for side in sides:
            fresh = side.wrapped()
            asked = (
                (side.bare, side.known),
                (side.knowing, side.known),
                (fresh, side.known),
                (fresh, side.longer),
            )
            for way, (client, body) in zip(("bare", *_WAYS), asked, strict=True):
                taken[side.name, way].measure(partial(side.ask, client, body))

    repeat(each, _BUDGET_S)
    added = {
        (name, way): min(taken[name, way].taken) - min(taken[name, "bare"].taken)
        for name in names
        for way in _WAYS
    }
    for name in names:
        cells = "".join(_cell(added[name, way], added["chat", way], 0) for way in _WAYS)
        yield f"{tokens:>7,} {size:>5}  {name:<10}{cells}"


def chunks(names: Sequence[str], kind: str) -> Iterator[str]:
    """The lines of one kind of stream: what is added to each chunk, for each API.

    That is a long stream less a short one.
    """
    sides = [Side(name, 10, 1_000) for name in names]
    lengths = (_SHORT, _SHORT + _CHUNKS)
    streams = {(s.name, length): s.stream(kind, length) for s in sides for length in lengths}
    taken = {(name, is_ours, length): Times() for name, length in streams for is_ours in (0, 1)}

    def each() -> None:
        for side in sides:
            for length in lengths:
                for is_ours, client in enumerate((side.bare, side.knowing)):
                    stream = streams[side.name, length]
                    times = taken[side.name, is_ours, length]
                    times.measure(partial(side.read, client, stream))

    repeat(each, _BUDGET_S)
    added = {name: _slope(taken, name, 1) - _slope(taken, name, 0) for name in names}
    for name in names:
        yield f"{kind:<25} {name:<10}{_cell(added[name], added['chat'], 1)}"


def _slope(taken: Mapping[tuple[str, int, int], Times], name: str, is_ours: int) -> float:
    short, long = (min(taken[name, is_ours, n].taken) for n in (_SHORT, _SHORT + _CHUNKS))
    return (long - short) / _CHUNKS


def _cell(added: float, chat: float, digits: int) -> str:
    return f" |{added:>9,.{digits}f} {added / chat:>5.2f}"


def report(others: Sequence[str], *, profile: bool) -> None:
    """Print the tables of these APIs beside chat completions, or where the time goes in them."""
    names = ("chat", *others)
    if profile:
        tokens, size = SIZES[-1]
        for side in (Side(name, size, tokens) for name in names):
            print(f"{side.name}: a request at {tokens:,} tokens and {size} messages\n")
            print(*profiled(partial(side.ask, side.knowing, side.known)), "", sep="\n")
        return
    print("µs that batchwrap adds to a request, and as a ratio to chat completions\n")
    print(f"{'tokens':>7} {'msgs':>5}  {'':<10}" + "".join(f" |{way:>15}" for way in _WAYS))
    for tokens, size in SIZES:
        for line in requests(names, size, tokens):
            print(line, flush=True)
    print("\nThe same for each chunk of a stream\n")
    for kind in _STREAMS:
        for line in chunks(names, kind):
            print(line, flush=True)
