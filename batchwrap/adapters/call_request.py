"""Converts the arguments of a call to a completion function into a request body, and back."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any

import orjson

from batchwrap.adapters.api_objects import exact_dict
from batchwrap.adapters.marker import is_translated
from batchwrap.adapters.objects import as_dict
from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.formats.endpoints import Endpoint, endpoint_of
from batchwrap.core.formats.format import Body

_TOOLS = "tools"
_READ = (_TOOLS, "tool_choice", "model")
_JSON = (str, int, float, bool, list, dict, type(None))
# A generator function streams without `stream`. Usage is not asked for, since the function may not
# take the option.
_STREAMS = {"stream": True, "stream_options": {"include_usage": False}}


class Signature:
    """The parameters of a function.

    Args:
        function: the decorated function.
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
        """Positional arguments by their names; None if a name is unknown."""
        taken = self._parameters[: len(args)]
        if len(taken) < len(args) or any(p.kind is not p.POSITIONAL_OR_KEYWORD for p in taken):
            return None
        return {parameter.name: value for parameter, value in zip(taken, args, strict=True)}

    def takes(self, name: str) -> bool:
        """Whether the function accepts an argument of this name."""
        return self._takes_all or name in self._names


class CallRequest:
    """One call, as a request.

    Args:
        given: the arguments, by name.
        defaults: the values of arguments that the call does not name.
        signature: the signature of the function.
        streams: whether the function always returns a stream.
        endpoint: the endpoint of its API; None to infer it from the arguments.

    Attributes:
        body: the request's body.
        endpoint: the endpoint that it is sent to.
    """

    def __init__(
        self,
        given: dict[str, Any],
        defaults: Mapping[str, Any],
        signature: Signature,
        *,
        streams: bool,
        endpoint: Endpoint | None = None,
    ) -> None:
        self._given = given
        self._signature = signature
        seen = {**defaults, **given}
        self.body: Body = {name: value for name, value in seen.items() if isinstance(value, _JSON)}
        self.endpoint = endpoint or endpoint_of(self.body)
        form = self.endpoint.format if self.endpoint is not None else None
        self._key = "" if form is None else form.items_key
        self._is_chat = form is CHAT_FORMAT
        listed = seen.get(self._key)
        if isinstance(listed, list):
            view = as_dict if self._is_chat else exact_dict
            self.body[self._key] = [_seen(item, view) for item in listed]
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
        endpoint: Endpoint | None = None,
    ) -> CallRequest | None:
        """The request; None for a call that passes through."""
        named = None if is_translated() else signature.named(args)
        if named is None:
            return None
        request = cls({**named, **kwargs}, defaults, signature, streams=streams, endpoint=endpoint)
        given = request.body.get(request._key)
        is_one = isinstance(given, list) or (isinstance(given, str) and not request._is_chat)
        if request.endpoint is None or not is_one:
            return None
        names = (*request.endpoint.prompt, *_READ)
        return request if _is_json([request.body.get(name) for name in names]) else None

    def arguments(self, body: Body | None, api_key: str | None) -> dict[str, Any]:
        """The keyword arguments for a body of the exchange."""
        given = dict(self._given)
        if body is not None:
            # A field that the exchange removed must not come back from the call's own arguments.
            for name in self.body.keys() - body.keys():
                given.pop(name, None)
            given |= {name: value for name, value in body.items() if self._is_new(name, value)}
            if isinstance(listed := given.get(self._key), list):
                given[self._key] = [getattr(item, "original", item) for item in listed]
            if isinstance(tools := given.get(_TOOLS), list):
                given[_TOOLS] = self._without_shared(tools)
        return given if api_key is None else {**given, "api_key": api_key}

    def _without_shared(self, tools: list[Any]) -> list[Any]:
        """The tools, with copies of those that all requests share: the function may change them."""
        listed = self.body.get(_TOOLS)
        own = {id(tool) for tool in listed} if isinstance(listed, list) else set[int]()
        return [tool if id(tool) in own else deepcopy(tool) for tool in tools]

    def streams(self) -> None:
        """Note that the answer is a stream, although no argument of the call asks for one."""
        if not self.wants_stream:
            self.body |= _STREAMS if self._is_chat else {"stream": True}

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
        """Whether one of litellm's routers has sent it, which handles a 429 itself."""
        told = (self._given.get(name) for name in ("metadata", "litellm_metadata"))
        return any(isinstance(one, dict) and "model_group" in one for one in told)

    @property
    def retries_beneath(self) -> int:
        """The number of retries that litellm was told to make."""
        told = self.body.get("num_retries")
        return told if type(told) is int and told > 0 else 0

    def _is_new(self, name: str, value: object) -> bool:
        is_changed = name not in self.body or value is not self.body[name]
        return is_changed and self._signature.takes(name)


def _is_json(value: object) -> bool:
    """Whether a value can be written as JSON; its keys have to be strings, for example."""
    with suppress(TypeError):
        orjson.dumps(value, default=repr)
        return True
    try:  # orjson does not write lone surrogates and integers beyond 64 bits
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


class _Seen(dict[str, Any]):
    """The dict of a message that is an SDK's object, or that contains such objects.

    Agents append such objects to their history. If the exchange does not change a message, now or
    in later requests, the function gets the original object.
    """

    original: Any


def _seen(message: Any, view_of: Callable[[object], Body | None]) -> Body | None:
    view: Body | None = view_of(message)
    if view is None:
        return None
    content = view.get("content")
    if isinstance(content, list) and not all(isinstance(part, _JSON) for part in content):
        # Agents put the blocks of an answer into a message that they make.
        parts = [part if isinstance(part, _JSON) else view_of(part) for part in content]
        view = {**view, "content": parts}
    if view is not message:
        view = _Seen(view)
        view.original = message
    return view
