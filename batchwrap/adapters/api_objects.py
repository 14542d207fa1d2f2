"""Makes objects of the caller's types for answers and events of Messages and Responses.

SDKs and litellm have a class for each type of event. If an event is needed of a type that has not
come yet, its class is looked for in the module of those that came, by its field `type`.
"""

from __future__ import annotations

import copy
import sys
from functools import lru_cache
from typing import Any, get_args

from batchwrap.core.formats import sse
from batchwrap.core.formats.format import Body, Format
from batchwrap.core.parse import rendered

_LOCAL = {"x-batchwrap-served": "local"}
_KEPT = ("custom_llm_provider", "model_id", "api_base")
# A whole answer has no type (Responses), or this one; everything else is an event.
_WHOLE = (None, "message")


def exact_dict(value: object) -> Body | None:
    """The dict that an SDK would send for an object, or the dict itself; None for others."""
    if isinstance(value, dict):
        return value
    exact = getattr(value, "to_dict", None)
    dump = getattr(value, "model_dump", None)
    if callable(exact):
        dumped = exact()
    else:  # litellm's have each field that there is
        known = {"mode": "json", "exclude_none": True, "warnings": False}
        dumped = dump(**known) if callable(dump) else None
    return dumped if isinstance(dumped, dict) else None


class ApiObjects:
    """Makes objects of the caller's types for the dicts of one answer."""

    def __init__(self) -> None:
        self._last: Any = None
        self._seen: Body = {}

    def see(self, original: Any, body: Body) -> None:
        """Remember an object and the dict that the exchange gets for it."""
        self._last, self._seen = original, body

    def build(self, body: Body) -> Any:
        """An object with the contents of `body`: an event, or a copy of the last whole answer."""
        kind = self._kind(body)
        if kind is None:
            return body
        if body.get("type") not in _WHOLE:
            return _made(kind, body)
        changed = {name: value for name, value in body.items() if value != self._seen.get(name)}
        made = _made(kind, {**self._all(), **changed})
        built = copy.deepcopy(self._last)
        for name in changed:
            setattr(built, name, getattr(made, name, changed[name]))
        return built

    def local(self, body: Body) -> Any:
        """An object of the same type for a local answer, without contents of the last one."""
        kind = self._kind(body)
        if kind is None:
            return body
        is_whole = body.get("type") in _WHOLE
        made = _made(kind, {**dict.fromkeys(self._all()), **body} if is_whole else body)
        mark_local(made)
        return made

    def _kind(self, body: Body) -> Any:
        """The class for a dict; None if the caller gets dicts."""
        if not hasattr(type(self._last), "model_fields"):
            return None
        kind: Any = type(self._last)
        wanted = body.get("type")
        if not isinstance(wanted, str) or _may_be(kind, wanted):
            return kind
        return _sibling(kind, wanted) or kind

    def _all(self) -> Body:
        """All fields of the last object, if its class requires all of them."""
        if hasattr(self._last, "to_dict"):
            return {}
        dumped: Body = self._last.model_dump(warnings=False)
        return dumped


class EventBytes:
    """Writes events for streams of bytes or of strings, as litellm returns for Messages.

    Args:
        form: the format of the events.
        as_text: whether they are strings.
    """

    def __init__(self, form: Format, *, as_text: bool) -> None:
        self._form = form
        self._as_text = as_text

    def see(self, original: Any, body: Body) -> None:
        """Does nothing, since events are written without a template."""

    def build(self, body: Body) -> Any:
        """An event in the form that it has on the wire."""
        written = sse.render(rendered(body), self._form.event_name(body))
        return written.decode() if self._as_text else written

    local = build


def mark_local(made: Any) -> None:
    """Note in litellm's hidden parameters that an answer has cost nothing."""
    hidden = getattr(made, "_hidden_params", None)
    if isinstance(hidden, dict):
        kept = {name: hidden.get(name) for name in _KEPT}
        made._hidden_params = {**kept, "response_cost": 0.0, "additional_headers": dict(_LOCAL)}
    if hasattr(made, "_response_headers"):
        made._response_headers = dict(_LOCAL)


def _made(kind: Any, body: Body) -> Any:
    """An object of a class. Values that the class does not allow must not fail an answer."""
    if hasattr(kind, "to_dict"):  # an SDK's, which is never strict about what a provider says
        return kind.construct(**body)
    try:
        return kind.model_validate(body)
    except ValueError:
        return kind.model_construct(**body)


def _may_be(kind: Any, wanted: str) -> bool:
    """Whether a class is for dicts with this value of `type`."""
    field = getattr(kind, "model_fields", {}).get("type")
    return field is not None and wanted in _allowed(field.annotation)


def _allowed(annotation: Any) -> list[Any]:
    """The values that a field may have, of a `Literal` or a union of them."""
    inner = get_args(annotation)
    return [one for part in inner for one in _allowed(part)] if inner else [annotation]


@lru_cache(maxsize=512)
def _sibling(kind: Any, wanted: str) -> Any:
    """The class for another type of event in the same module; None if there is none."""
    path = kind.__module__
    places = [sys.modules.get(path), sys.modules.get(path.rpartition(".")[0])]
    found = [
        one
        for place in places
        if place is not None
        for one in vars(place).values()
        if isinstance(one, type) and _may_be(one, wanted)
    ]
    alike = (one for one in found if one.__name__[:3] == kind.__name__[:3])
    return next(alike, found[0] if found else None)
