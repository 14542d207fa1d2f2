"""The guard: an error in batchwrap's own code, or in a user's function, fails no request.

This is the one place that catches every exception. A request that would have succeeded without
batchwrap must not fail because of a bug in it. So each step of a request runs inside a guard, and
the code after the step says what happens if it failed: the agent's own request goes out, or the
provider's own answer is handed out. What is meant for the caller passes: `BatchwrapError`, `Broken`
(an answer that cannot be used), and whatever is not an `Exception` (Ctrl-C, a cancelled task).
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol

from batchwrap.core.repair.faults import Broken
from batchwrap.errors import BatchwrapError
from batchwrap.options import EventName

_PASS = (BatchwrapError, Broken)
_PACKAGE = __name__.partition(".")[0]


class Report(Protocol):
    """Where counts and events go."""

    def add(self, counter: str, amount: float = 1) -> None:
        """Count something."""

    def note(self, name: EventName, **data: Any) -> None:
        """Record an event."""


class Guard:
    """Catches what the steps of one request raise, and reports the place.

        with guard.step("request"):
            return translator.request()
        return None  # as the agent wrote it

    Args:
        report: gets the place of each error once. It never gets the error's message, which may
            quote the conversation.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._steps: dict[str, _Step] = {}
        self._seen: set[str] = set()

    def step(self, name: str) -> _Step:
        """A context manager that ends silently if its block raises."""
        step = self._steps.get(name)
        if step is None:
            step = self._steps[name] = _Step(self, name)
        return step

    def caught(self, step: str, error: BaseException) -> None:
        """Report an error that a step has raised."""
        place, raised_at = place_of(error)
        # An error may occur in every chunk of a stream; one report for each place is enough.
        if place in self._seen:
            return
        self._seen.add(place)
        elsewhere = {} if raised_at == place else {"raised_at": raised_at}
        self._report.add("internal_errors")
        self._report.note(
            "internal_error", step=step, error=_name_of(error), place=place, **elsewhere
        )


class _Step:
    """A step of a request. It has no state, so it may be entered again inside itself."""

    __slots__ = ("_guard", "_name")

    def __init__(self, guard: Guard, name: str) -> None:
        self._guard = guard
        self._name = name

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is None or not isinstance(error, Exception) or isinstance(error, _PASS):
            return False
        self._guard.caught(self._name, error)
        return True


def place_of(error: BaseException) -> tuple[str, str]:
    """The innermost line of batchwrap in an error's traceback, and the innermost one of all."""
    ours = raised = "unknown"
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        raised = f"{module}:{trace.tb_lineno}"
        if module.partition(".")[0] == _PACKAGE:
            ours = raised
        trace = trace.tb_next
    return ours, raised


def _name_of(error: BaseException) -> str:
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}"
