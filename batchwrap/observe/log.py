"""Events as lines of the logger `batchwrap`: names and numbers, as the events themselves."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from batchwrap.options import Event, EventHook, EventName

_log = logging.getLogger("batchwrap")
# What costs time or shows a fault; everything else is for who debugs.
_LEVELS: Mapping[EventName, int] = {
    "failed_open": logging.WARNING,
    "refused": logging.INFO,
    "waited": logging.INFO,
    "defect": logging.INFO,
}


def hears_all() -> bool:
    """Whether somebody reads all events in the log."""
    return _log.isEnabledFor(logging.DEBUG)


def tell(event: Event, hook: EventHook | None) -> None:
    """Log an event, and pass it on. A mistake in the user's hook must not cost the answer."""
    level = _LEVELS.get(event.name, logging.DEBUG)
    if _log.isEnabledFor(level):
        fields = " ".join(f"{name}={value}" for name, value in event.data.items())
        _log.log(level, "%s %s", event.name, fields)
    if hook is None:
        return
    try:
        hook(event)
    except Exception:
        _log.exception("on_event failed for the event %r", event.name)
