"""An exception at the n-th call of a function of batchwrap's."""

from __future__ import annotations

import inspect
import sys
from types import FrameType
from typing import Any

# What obeys the guard, drives, or cuts bytes into events, locks, and spans, which swallow what a
# user's span processor raises; everything else may fail at any place.
_FRAME = {
    *(
        f"batchwrap.core.exchange.{name}"
        for name in (
            "actions",
            "exchange_counts",
            "guard",
            "guarded_translation",
            "machine",
            "passthrough",
            "progress",
            "states",
        )
    ),
    *("batchwrap.core.formats.sse", "batchwrap.core.exchange_metrics"),
    "batchwrap.core.formats.chat.salvage",
    *(f"batchwrap.drive.{name}" for name in ("answer", "attempt", "sync")),
    *(f"batchwrap.adapters.{name}" for name in ("events", "wire", "wire_response")),
    *(
        "batchwrap._api",
        "batchwrap._forks",
        "batchwrap.engine",
        "batchwrap.observe.log",
        "batchwrap.stats",
    ),
    "batchwrap.observe.spans",
}


class Mistake(Exception):
    """What is wrong with batchwrap here."""


class MistakeAt:
    """Raises `Mistake` in place of the n-th call that is made inside of the block.

    Attributes:
        function: the function that has failed; None: there are fewer calls.
    """

    def __init__(self, call: int) -> None:
        self._left = call
        self.function: str | None = None

    def __enter__(self) -> MistakeAt:
        sys.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _look(self, frame: FrameType, what: str, _: Any) -> None:
        code, module = frame.f_code, str(frame.f_globals.get("__name__"))
        # A generator is entered to be closed, too, where nobody could catch anything.
        if what != "call" or code.co_flags & inspect.CO_GENERATOR:
            return
        if not module.startswith("batchwrap.") or module in _FRAME:
            return
        self._left -= 1
        if self._left <= 0 and not _is_collecting(frame):
            sys.setprofile(None)
            self.function = f"{module}.{code.co_qualname}"
            raise Mistake("secret")


def _is_collecting(frame: FrameType | None) -> bool:
    """Whether something is being freed, where nobody could catch anything."""
    while frame is not None:
        if frame.f_globals.get("__name__") == "weakref" or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
