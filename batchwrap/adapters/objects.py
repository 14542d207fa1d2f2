"""Reads completion and chunk objects as dicts, and writes changes to copies of the same type.

OpenAI's and litellm's objects have hidden fields that would be lost if they were rebuilt from a
dict, so changes are set on a deep copy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from batchwrap.adapters.api_objects import ApiObjects, EventBytes, exact_dict, mark_local
from batchwrap.adapters.events import EventPipe
from batchwrap.core.exchange.machine import Exchange
from batchwrap.core.formats import chat
from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.formats.format import Body, Format, Look
from batchwrap.core.moves.deliver import LocalAnswer
from batchwrap.core.moves.script_run import ScriptOutcome, ScriptRun
from batchwrap.core.repair.faults import INCOMPLETE, error_in_event
from batchwrap.errors import BrokenAnswer


def as_dict(value: object) -> Body | None:
    """The dict form of a dict or of a pydantic model; None for anything else."""
    if isinstance(value, dict):
        return value
    dump = getattr(value, "model_dump", None)
    dumped = dump() if callable(dump) else None
    return dumped if isinstance(dumped, dict) else None


class Rebuilder:
    """Makes objects of the caller's types for the dicts of one answer."""

    def __init__(self) -> None:
        self._last: Any = None
        self._seen: Body = {}

    def see(self, original: Any, body: Body) -> None:
        """Remember an object and the dict that the exchange gets for it."""
        if body.get("choices"):  # a chunk with usage only would be a poor template
            self._last, self._seen = original, body

    def build(self, body: Body) -> Any:
        """An object like the last one, with the contents of `body`."""
        if not hasattr(self._last, "choices"):
            return body
        built = copy.deepcopy(self._last)
        for name, value in body.items():
            if name != "choices" and value != self._seen.get(name):
                _set(built, name, value)
        there = list(built.choices)
        before = [choice for _, choice in chat.choices(self._seen)]
        built.choices = [
            _choice(*_nearest(index, there, before), choice) for index, choice in chat.choices(body)
        ]
        return built

    def local(self, body: Body) -> Any:
        """An object of the same type for a local answer, without contents of the last one."""
        built = self.build(body)
        if isinstance(built, dict):
            return built
        for choice in built.choices:
            _blank(_part(choice), keep=("role", "tool_calls"))
        usage = body.get("usage")
        if getattr(built, "usage", None) is not None and isinstance(usage, dict):
            _blank(built.usage, keep=())
            for name, value in usage.items():
                setattr(built.usage, name, value)
        mark_local(built)
        return built


class ObjectMaker(Protocol):
    """Makes objects of the caller's types for the dicts of one answer."""

    def see(self, original: Any, body: Body) -> None:
        """Remember an object and the dict that the exchange gets for it."""

    def build(self, body: Body) -> Any:
        """An object like the last one, with the contents of `body`."""

    def local(self, body: Body) -> Any:
        """An object of the same type for a local answer, without contents of the last one."""


class Templates:
    """Recent results of a function, to make local answers of the same types.

    Args:
        form: the format of the API.
    """

    def __init__(self, form: Format) -> None:
        self.form = form
        self.is_chat = form is CHAT_FORMAT
        self.whole: ObjectMaker | None = None
        self.chunk: ObjectMaker | None = None
        self.stream: Any = None

    def maker(self) -> ObjectMaker:
        """A new maker for the objects of one answer."""
        return Rebuilder() if self.is_chat else ApiObjects()

    def as_dict(self, value: object) -> Body | None:
        """The dict form of a dict or of an object; None for anything else."""
        return as_dict(value) if self.is_chat else exact_dict(value)

    def serve(self, *, stream: bool) -> bool:
        """Whether a local answer of this kind can be made."""
        return (self.chunk if stream else self.whole) is not None

    def completion(self, answer: LocalAnswer) -> Any:
        """A local answer as a whole."""
        assert self.whole is not None
        return self.whole.local(answer.completion())

    def chunks(self, answer: LocalAnswer, *, with_usage: bool) -> list[Any]:
        """A local answer as the chunks of a stream."""
        assert self.chunk is not None
        return [self.chunk.local(chunk) for chunk in answer.chunks(with_usage=with_usage)]


_Made = tuple[list[Any], Body | None]  # what goes out, and the error that follows it


class ChunkPipe:
    """Passes the chunk objects of a stream through an exchange."""

    def __init__(self, exchange: Exchange, templates: Templates) -> None:
        self._exchange = exchange
        self._templates = templates
        self._maker = templates.maker()
        self._pipe: EventPipe | None = None  # for a stream of bytes or of strings
        self._is_text = False
        self._waiting: dict[int, tuple[Body, Any]] = {}  # by identity
        self._is_plain = False  # whether chunks are handed out unchanged

    def feed(self, chunk: Any) -> Iterator[Any]:
        """The chunks to hand out for one of the provider's.

        Raises:
            BrokenAnswer: the answer cannot continue.
        """
        return _each(*self._guarded(lambda: self._seen(chunk), [chunk]))

    @property
    def script_due(self) -> ScriptRun | None:
        """The script that has to be run before anything more is fed; None: none has."""
        return None if self._is_plain else self._exchange.script_due

    def ran(self, outcome: ScriptOutcome) -> Iterator[Any]:
        """The chunks to hand out once that script has this outcome.

        Raises:
            BrokenAnswer: the answer cannot continue.
        """
        return _each(*self._guarded(lambda: self._ran(outcome), []))

    def _ran(self, outcome: ScriptOutcome) -> _Made:
        if self._pipe is not None:
            out = self._pipe.ran(outcome)
            return ([out.decode() if self._is_text else out] if out else []), None
        return self._objects(self._exchange.chunk_ran(outcome))

    def finish(self) -> Iterator[Any]:
        """The chunks to hand out when the stream is over.

        Raises:
            BrokenAnswer: it was not complete.
        """
        return _each(*self._guarded(self._rest, []))

    def _guarded(self, do: Callable[[], _Made], plain: list[Any]) -> _Made:
        """The result of `do`; if objects cannot be read or copied, the original chunks."""
        if not self._is_plain:
            with self._exchange.guard.step("chunk"):
                return do()
            self._is_plain = True
            plain = [*(original for _, original in self._waiting.values()), *plain]
            self._waiting.clear()
        return plain, None

    def _seen(self, chunk: Any) -> _Made:
        if isinstance(chunk, bytes | str) and not self._templates.is_chat:
            return self._events(chunk), None
        body = self._templates.as_dict(chunk)
        if body is None:
            return [chunk], None
        self._maker.see(chunk, body)
        if not self._templates.is_chat:  # readers stop at the end of the answer
            self._templates.chunk = self._maker
        chunks = self._chunks(body)
        if chunks is None:
            return [chunk], None
        self._waiting[id(body)] = body, chunk
        return self._objects(chunks)

    def _chunks(self, body: Body) -> list[Body] | None:
        """The chunks for one of the provider's; None to hand it out unchanged."""
        exchange = self._exchange
        with exchange.guard.step("chunk"):
            write = exchange.fast_path.take(body)
            if write is None:
                return None
            return exchange.chunk(body) if write is Look.CLOSER else write(lambda: body)
        exchange.break_off()
        return exchange.chunk(body)

    def _events(self, data: bytes | str) -> list[Any]:
        """The events for a part of a stream that the function returns as on the wire."""
        if self._pipe is None:
            self._pipe, self._is_text = EventPipe(self._exchange), isinstance(data, str)
            self._maker = EventBytes(self._templates.form, as_text=self._is_text)
            self._templates.chunk = self._maker
        out = self._pipe.feed(data.encode() if isinstance(data, str) else data)
        return [out.decode() if self._is_text else out] if out else []

    def _rest(self) -> _Made:
        self._templates.chunk = self._maker
        if self._pipe is not None:
            last = self._pipe.finish()
            return ([last.decode() if self._is_text else last] if last else []), None
        return self._objects(self._exchange.end())

    def _objects(self, chunks: list[Body]) -> _Made:
        """The chunks as objects, up to one with an error; held ones are the original objects."""
        made: list[Any] = []
        for body in chunks:
            _, waited = self._waiting.pop(id(body), (None, None))
            if broken := self._error_in(body, is_made=waited is None):
                return made, broken
            made.append(self._maker.build(body) if waited is None else waited)
        return made, None

    def _error_in(self, body: Body, *, is_made: bool) -> Body | None:
        """The error in a chunk. In other APIs a provider's error is an event like any other."""
        if self._templates.is_chat:
            return body if body.get("error") else None
        return INCOMPLETE.body() if is_made and error_in_event(body) is not None else None


def _each(made: list[Any], broken: Body | None) -> Iterator[Any]:
    yield from made
    if broken is not None:
        raise BrokenAnswer(broken)


def _blank(part: Any, keep: tuple[str, ...]) -> None:
    """Clear all fields but these, including fields that the type does not declare."""
    for name in vars(part):
        if name not in keep:
            setattr(part, name, None)
    extra = getattr(part, "__pydantic_extra__", None) or {}
    extra.update({name: None for name in extra if name not in keep})


def _part(choice: Any) -> Any:
    delta = getattr(choice, "delta", None)
    return getattr(choice, "message", None) if delta is None else delta


def _nearest(
    index: int, there: list[Any], before: list[dict[str, Any]]
) -> tuple[int, Any, dict[str, Any]]:
    """A copy of the choice with this index, or of the first one, and its dict."""
    indices = [getattr(choice, "index", None) for choice in there]
    place = indices.index(index) if index in indices else 0
    return index, copy.deepcopy(there[place]), before[place]


def _choice(index: int, built: Any, before: dict[str, Any], choice: dict[str, Any]) -> Any:
    """The choice `built`, whose dict was `before`, changed to what `choice` says."""
    built.index = index
    built.finish_reason = choice.get("finish_reason")
    part, was, wanted = _part(built), chat.part_of(before), chat.part_of(choice)
    for name in {**was, **wanted}:
        value = wanted.get(name)
        if name != "tool_calls" and value != was.get(name):
            setattr(part, name, value)
    if "tool_calls" in wanted or getattr(part, "tool_calls", None):
        part.tool_calls = _calls(type(part), chat.tool_calls(wanted)) or None
    return built


def _calls(kind: type[Any], calls: list[chat.ToolCall]) -> list[Any]:
    """Tool calls as objects, as a message or delta of this type holds them."""
    validate = getattr(kind, "model_validate", None)
    if validate is None or not calls:
        return calls
    try:
        part = validate({"role": "assistant", "content": None, "tool_calls": calls})
    except ValueError:  # a shape that the SDK has no type for
        return calls
    return list(part.tool_calls)


def _set(built: Any, name: str, value: Any) -> None:
    """Set a field; a dict that replaces an object becomes one of its type."""
    validate = getattr(type(getattr(built, name, None)), "model_validate", None)
    setattr(built, name, value if validate is None or value is None else validate(value))
