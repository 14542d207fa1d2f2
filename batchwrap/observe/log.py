"""Writes events to the logger `batchwrap`: names and numbers only, like the events themselves."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from batchwrap.core.exchange.guard import Guard
from batchwrap.options import Event, EventHook, EventName

_log = logging.getLogger("batchwrap")
# Events that cost time or report a fault; all others are for debugging.
_LEVELS: Mapping[EventName, int] = {
    "failed_open": logging.WARNING,
    "internal_error": logging.WARNING,
    "asked_again": logging.INFO,
    "refused": logging.INFO,
    "waited": logging.INFO,
    "waiting": logging.INFO,
    "defect": logging.INFO,
}


def logs_all() -> bool:
    """Whether the log level lets all events through."""
    return _log.isEnabledFor(logging.DEBUG)


def report(event: Event, hook: EventHook | None, guard: Guard) -> None:
    """Log an event and pass it to the hook. An error in the user's hook fails no request."""
    log(event)
    if hook is not None:
        with guard.step("on_event"):
            hook(event)


def log(event: Event) -> None:
    """Log an event."""
    level = _LEVELS.get(event.name, logging.DEBUG)
    if _log.isEnabledFor(level):
        fields = " ".join(f"{name}={value}" for name, value in event.data.items())
        _log.log(level, "%s %s", event.name, fields)
