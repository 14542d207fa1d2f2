"""The arguments of a call to a completion function, and the body that the exchange sees in them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from batchwrap.adapters.marker import is_translated
from batchwrap.adapters.objects import as_dict
from batchwrap.core.formats import chat

_READ = ("messages", "tools", "tool_choice", "model")
_JSON = (str, int, float, bool, list, dict, type(None))
# A generator's chunks come without `stream`; nothing is to be asked for that it cannot be told.
_STREAMS = {"stream": True, "stream_options": {"include_usage": False}}


class Signature:
    """What a function takes.

    Args:
        function: as it was decorated.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        try:
            found = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            found = []
        self._parameters = found
        self._takes_all = not found or any(p.kind is p.VAR_KEYWORD for p in found)
        self._names = {p.name for p in found}

    def named(self, args: tuple[Any, ...]) -> dict[str, Any] | None:
        """Positional arguments by their names; None where they have none."""
        taken = self._parameters[: len(args)]
        if len(taken) < len(args) or any(p.kind is not p.POSITIONAL_OR_KEYWORD for p in taken):
            return None
        return {parameter.name: value for parameter, value in zip(taken, args, strict=True)}

    def takes(self, name: str) -> bool:
        """Whether an argument of this name can be given."""
        return self._takes_all or name in self._names


class CallRequest:
    """One call, as a request.

    Args:
        given: the arguments, by name.
        defaults: what the function takes where the call names nothing.
        signature: of the function.
        streams: whether whatever it returns is a stream.
    """

    def __init__(
        self,
        given: dict[str, Any],
        defaults: Mapping[str, Any],
        signature: Signature,
        *,
        streams: bool,
    ) -> None:
        self._given = given
        self._signature = signature
        seen = {**defaults, **given}
        plain = {name: value for name, value in seen.items() if isinstance(value, _JSON)}
        messages = [_seen(message) for message in seen["messages"]]
        self.body: chat.Body = {**plain, "messages": messages}
        self.says_stream = "stream" in given
        if streams and not self.says_stream:
            self.streams()

    @classmethod
    def of(
        cls,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        defaults: Mapping[str, Any],
        signature: Signature,
        *,
        streams: bool,
    ) -> CallRequest | None:
        """The request, or None if the call is none of our business."""
        named = None if is_translated() else signature.named(args)
        if named is None or not isinstance({**defaults, **named, **kwargs}.get("messages"), list):
            return None
        request = cls({**named, **kwargs}, defaults, signature, streams=streams)
        return request if _is_json([request.body.get(name) for name in _READ]) else None

    def arguments(self, body: chat.Body | None, api_key: str | None) -> dict[str, Any]:
        """The keyword arguments to call with, for a body of the exchange."""
        given = dict(self._given)
        if body is not None:
            for name in self.body.keys() - body.keys():
                given.pop(name, None)
            given |= {name: value for name, value in body.items() if self._is_new(name, value)}
            if "messages" in given:
                given["messages"] = [getattr(m, "original", m) for m in given["messages"]]
        return given if api_key is None else {**given, "api_key": api_key}

    def streams(self) -> None:
        """The answer is a stream, although no argument of the call asks for one."""
        if not self.wants_stream:
            self.body |= _STREAMS

    @property
    def wants_stream(self) -> bool:
        """Whether the caller asked for a stream."""
        return bool(self.body.get("stream"))

    @property
    def wants_usage(self) -> bool:
        """Whether the caller asked for the usage of a stream."""
        options = self.body.get("stream_options")
        return isinstance(options, dict) and bool(options.get("include_usage"))

    @property
    def is_routed(self) -> bool:
        """Whether one of litellm's routers has sent it: that wants to hear of a 429 at once."""
        metadata = self._given.get("metadata")
        return isinstance(metadata, dict) and "model_group" in metadata

    @property
    def retries_beneath(self) -> int:
        """How often litellm was told to try again by itself."""
        told = self.body.get("num_retries")
        return told if type(told) is int and told > 0 else 0

    def _is_new(self, name: str, value: object) -> bool:
        is_changed = name not in self.body or value is not self.body[name]
        return is_changed and self._signature.takes(name)


def _is_json(value: object) -> bool:
    """Whether a value could stand in a request on the wire: its keys are texts, for one."""
    with suppress(TypeError):
        orjson.dumps(value, default=repr)
        return True
    try:  # what orjson does not write: half surrogates, integers beyond 64 bits
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


class _Seen(dict[str, Any]):
    """A message object of an SDK as the exchange sees it.

    Agents append such objects to their history. Those that the exchange leaves alone, now or
    in the requests that follow, go back as the objects that they were.
    """

    original: Any


def _seen(message: Any) -> chat.Message | None:
    view = as_dict(message)
    if view is None or view is message:
        return view
    seen = _Seen(view)
    seen.original = message
    return seen
