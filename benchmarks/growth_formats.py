"""The hot paths of Messages and Responses, as `growth_paths` has those of chat completions.

What a form writes is linear in what it is given; what batchwrap makes of that is measured. Repair
is no part of it, since it knows chat completions only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from batchwrap import Batching
from batchwrap.adapters.events import EventPipe
from batchwrap.core.exchange.actions import Head, ReadFirst
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.formats.endpoints import Endpoint, endpoint_at
from batchwrap.engine import Call, Engine
from batchwrap.lab.api_forms import API_FORMS, ScriptedAnswer, ScriptedCall
from benchmarks import canned, growth_paths, toolbox
from benchmarks.growth_paths import EVENTS, FIRST, ORIGIN, Body, Make, Path, Steps, engine

# What the model says, for a size.
Said = Callable[[int], ScriptedAnswer]
_JSON = Head(200, {"content-type": "application/json"})
_PIECE = 16
_INDICES = {"index", "output_index"}
_DEFAULT = Batching()
_COALESCED = Batching(coalesce="always")
# What makes parts of a conversation signed for all that stands before them.
_THINKS = {"type": "adaptive"}


class Api:
    """The paths of one API.

    Args:
        name: of its form.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._form = API_FORMS[name]

    @property
    def _endpoint(self) -> Endpoint:
        endpoint = endpoint_at(self._form.path)
        assert endpoint is not None
        return endpoint

    def _call(self, on: Engine, messages: list[Body], **fields: Any) -> Call:
        asked = {"model": "m", "messages": messages, "tools": toolbox.TOOLS, **fields}
        return on.call(self._form.request(asked), ORIGIN, endpoint=self._endpoint)

    def _asked(self, **fields: Any) -> Exchange:
        """A request that is on its way."""
        exchange = self._call(engine(), list(FIRST), **fields).exchange
        exchange.start()
        exchange.reserved(0.0)
        return exchange

    def stream(self, said: Said, *, is_cut: bool = False, has_one_index: bool = False) -> Make:
        """A stream of an answer, an event in each piece.

        Args:
            said: the answer.
            is_cut: whether its last event is missing.
            has_one_index: whether all of its blocks, or items, have the same index.
        """

        def make(size: int) -> Steps:
            events = list(self._form.events(said(size)))
            if has_one_index:
                events = [{**one, **dict.fromkeys(_INDICES & one.keys(), 0)} for one in events]
            exchange = self._asked(stream=True)
            exchange.received(EVENTS, 0.0)
            first = iter(events)
            while isinstance(exchange.first(next(first)), ReadFirst):
                pass
            pieces = [canned.event(one) for one in events]
            return _fed(EventPipe(exchange), pieces[:-1] if is_cut else pieces)

        return make

    def whole(self, said: Said) -> Make:
        """An answer in one piece."""

        def make(size: int) -> Steps:
            exchange = self._asked()
            exchange.received(_JSON, 0.0)
            raw = canned.whole(said(size), self._form)
            return (exchange.body(exchange.read(raw)) for _ in range(1))

        return make

    def request(
        self, messages: Callable[[int], list[Body]], *, batching: Batching = _DEFAULT, **fields: Any
    ) -> Make:
        """A conversation that is met for the first time; fields are those of its request."""

        def make(size: int) -> Steps:
            on, made = engine(batching=batching), messages(size)
            return (self._call(on, made, **fields).exchange.start() for _ in range(1))

        return make

    def next_request(self, messages: Callable[[int], list[Body]]) -> Make:
        """The request after one that is known."""

        def make(size: int) -> Steps:
            on, made = engine(), messages(size)
            self._call(on, made[:-2]).exchange.start()
            return (self._call(on, made).exchange.start() for _ in range(1))

        return make

    @property
    def paths(self) -> Iterator[Path]:
        """All of them."""
        for name, make, size in (
            ("text in chunks", self.stream(_text), 500),
            ("texts between calls", self.stream(_texts_and_calls), 75),
            ("arguments of a call", self.stream(_one_write), 500),
            ("arguments of a multi-call", self.stream(_one_multi_write), 500),
            ("items of a multi-call, reads", self.stream(_many_items("multi_read", _READ)), 75),
            ("items of a multi-call, edits", self.stream(_many_items("multi_edit", _EDIT)), 75),
            ("calls of a turn, reads", self.stream(_many_calls("read_file", _READ)), 125),
            ("calls of a turn, edits", self.stream(_many_calls("edit_file", _EDIT)), 125),
            ("calls of a turn, unknown", self.stream(_many_calls("other", _OTHER)), 125),
            ("multi-calls of a turn", self.stream(_many_calls("multi_read", _TWO_READS)), 75),
            (
                "calls of one index",
                self.stream(_many_calls("other", _OTHER), has_one_index=True),
                125,
            ),
            ("a call that is cut off", self.stream(_one_write, is_cut=True), 500),
            ("calls that are cut off", self.stream(_many_calls("other", _OTHER), is_cut=True), 125),
            ("a whole answer: text", self.whole(_text), 5_000),
            ("a whole answer: calls", self.whole(_many_calls("read_file", _READ)), 125),
            ("a whole answer: arguments", self.whole(_one_write), 5_000),
            ("turns", self.request(growth_paths.turns), 50),
            ("turns, coalesced", self.request(growth_paths.turns, batching=_COALESCED), 50),
            ("turns that were taken apart", self.request(growth_paths.taken_apart), 50),
            (
                "the same with thinking",
                self.request(growth_paths.taken_apart, thinking=_THINKS),
                50,
            ),
            ("the next request", self.next_request(growth_paths.turns), 50),
            ("the next of what was taken apart", self.next_request(growth_paths.taken_apart), 50),
            ("calls and results", self.request(growth_paths.one_turn), 100),
            ("a long result", self.request(growth_paths.long_result), 1_250),
        ):
            yield Path(f"{self.name}: {name}", make, size)


def _fed(pipe: EventPipe, pieces: list[bytes]) -> Steps:
    for piece in pieces:
        yield pipe.feed(piece)
    yield pipe.finish()


_READ = '{"path":"src/file%d.py"}'
_EDIT = '{"path":"src/file%d.py","old_string":"a","new_string":"b"}'
_TWO_READS = '{"files":[{"path":"a%d.py"},{"path":"b.py"}]}'
_OTHER = '{"payload":"%d"}'


def _text(size: int) -> ScriptedAnswer:
    return ScriptedAnswer([["word "] * size])


def _texts_and_calls(size: int) -> ScriptedAnswer:
    calls = [_made(number, "read_file", _READ % number) for number in range(size)]
    return ScriptedAnswer([part for call in calls for part in (["Next."], call)])


def _one_write(size: int) -> ScriptedAnswer:
    pieces = ['{"path":"a.py","content":"', *["x = 1\\n"] * size, '"}']
    return ScriptedAnswer([ScriptedCall("call_0", "write_file", pieces)])


def _one_multi_write(size: int) -> ScriptedAnswer:
    pieces = ['{"files":[{"path":"a.py","content":"', *["x = 1\\n"] * size, '"}]}']
    return ScriptedAnswer([ScriptedCall("call_0", "multi_write", pieces)])


def _many_items(name: str, item: str) -> Said:
    def said(size: int) -> ScriptedAnswer:
        items = [orjson.loads(item % number) for number in range(size)]
        return ScriptedAnswer([_made(0, name, orjson.dumps({"files": items}).decode())])

    return said


def _many_calls(name: str, arguments: str) -> Said:
    def said(size: int) -> ScriptedAnswer:
        return ScriptedAnswer([_made(n, name, arguments % n) for n in range(size)])

    return said


def _made(number: int, name: str, text: str) -> ScriptedCall:
    pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
    return ScriptedCall(f"call_{number}", name, pieces)


PATHS = [
    *(path for name in API_FORMS if name != "chat" for path in Api(name).paths),
    Path(
        "messages: turns with thinking",
        Api("messages").request(growth_paths.taken_apart, thinking=_THINKS),
        50,
    ),
]
