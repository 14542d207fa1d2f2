"""Completions and chunks as objects: read as dicts, changed in copies of the same type.

OpenAI's and litellm's objects carry hidden fields that a rebuild from a dict would lose,
so what changes is set on a deep copy.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from batchwrap.core import chat
from batchwrap.core.exchange import Exchange
from batchwrap.core.views.deliver import LocalAnswer
from batchwrap.errors import BrokenAnswer


def as_dict(value: object) -> chat.Body | None:
    """The dict form of a dict or of a pydantic model; None for anything else."""
    if isinstance(value, dict):
        return value
    dump = getattr(value, "model_dump", None)
    dumped = dump() if callable(dump) else None
    return dumped if isinstance(dumped, dict) else None


class Rebuilder:
    """Makes objects of the caller's types for the dicts of one answer."""

    def __init__(self) -> None:
        self._call: Any = None  # any tool call that was seen, as a template
        self._last: Any = None

    def see(self, original: Any) -> None:
        """Take note of the types of an object before it is changed."""
        choices = getattr(original, "choices", None) or ()
        if choices or isinstance(original, dict):
            self._last = original
        for choice in choices:
            for call in getattr(_part(choice), "tool_calls", None) or ():
                self._call = call

    def build(self, body: chat.Body) -> Any:
        """An object like the one seen last with the calls and ends that `body` has."""
        if isinstance(self._last, dict):
            return body
        built = copy.deepcopy(self._last)
        choices = {getattr(choice, "index", 0): choice for choice in built.choices}
        built.choices = [
            self._choice(choices[index], choice) for index, choice in chat.choices(body)
        ]
        return built

    def local(self, body: chat.Body) -> Any:
        """An object of the same type for a local answer, with nothing of the one seen last."""
        built = self.build(body)
        if isinstance(built, dict):
            return built
        built.id = body["id"]
        for choice in built.choices:
            _blank(_part(choice), keep=("role", "tool_calls"))
        usage = body.get("usage")
        if getattr(built, "usage", None) is not None and isinstance(usage, dict):
            _blank(built.usage, keep=())
            for name, value in usage.items():
                setattr(built.usage, name, value)
        return built

    def _choice(self, built: Any, choice: dict[str, Any]) -> Any:
        built.finish_reason = choice.get("finish_reason")
        part, wanted = _part(built), chat.part_of(choice)
        for name in ("role", "content", "tool_calls"):
            if name not in wanted and hasattr(part, name):
                setattr(part, name, None)
        if "tool_calls" in wanted:
            part.tool_calls = [self._tool_call(call) for call in chat.tool_calls(wanted)] or None
        return built

    def _tool_call(self, call: chat.ToolCall) -> Any:
        if self._call is None or isinstance(self._call, dict):
            return call
        built = copy.deepcopy(self._call)
        for name in ("id", "index", "type"):
            if name in call or hasattr(built, name):
                setattr(built, name, call.get(name))
        function = chat.function_of(call)
        built.function.name = function.get("name")
        built.function.arguments = function.get("arguments")
        return built


class Templates:
    """What a function returned lately, to make local answers of the same types."""

    def __init__(self) -> None:
        self.whole: Rebuilder | None = None
        self.chunk: Rebuilder | None = None
        self.stream: Any = None

    def serve(self, *, stream: bool) -> bool:
        """Whether a local answer of this form could be made."""
        return (self.chunk if stream else self.whole) is not None

    def completion(self, answer: LocalAnswer) -> Any:
        """A local answer as a whole."""
        assert self.whole is not None
        return self.whole.local(answer.completion())

    def chunks(self, answer: LocalAnswer, *, with_usage: bool) -> list[Any]:
        """A local answer as the chunks of a stream."""
        assert self.chunk is not None
        return [self.chunk.local(chunk) for chunk in answer.chunks(with_usage=with_usage)]


class ChunkPipe:
    """Takes the chunk objects of a stream through an exchange."""

    def __init__(self, exchange: Exchange, templates: Templates) -> None:
        self._exchange = exchange
        self._templates = templates
        self._rebuilder = Rebuilder()
        self._waiting: dict[int, tuple[chat.Body, Any]] = {}  # by identity

    def feed(self, chunk: Any) -> Iterator[Any]:
        """The chunks to hand out for one that came.

        Raises:
            BrokenAnswer: the answer cannot go on.
        """
        body = as_dict(chunk)
        self._rebuilder.see(chunk)
        chunks = None if body is None else self._exchange.chunk(body)
        if body is None or chunks is None:
            yield chunk
            return
        if not chunks:
            self._waiting[id(body)] = body, chunk
        for one in chunks:
            _raise_if_broken(one)
            yield chunk if one is body else self._built(one)

    def finish(self) -> Iterator[Any]:
        """The chunks to hand out when the stream is over.

        Raises:
            BrokenAnswer: it was not complete.
        """
        self._templates.chunk = self._rebuilder
        for chunk in self._exchange.end():
            yield self._built(chunk)

    def _built(self, body: chat.Body) -> Any:
        _raise_if_broken(body)
        _, waited = self._waiting.pop(id(body), (None, None))
        return self._rebuilder.build(body) if waited is None else waited


def _raise_if_broken(body: chat.Body) -> None:
    if body.get("error"):
        raise BrokenAnswer(body)


def _blank(part: Any, keep: tuple[str, ...]) -> None:
    """Forget every field but these, those that the type does not know included."""
    for name in vars(part):
        if name not in keep:
            setattr(part, name, None)
    extra = getattr(part, "__pydantic_extra__", None)
    if extra:
        extra.clear()


def _part(choice: Any) -> Any:
    delta = getattr(choice, "delta", None)
    return getattr(choice, "message", None) if delta is None else delta
