"""The interpreter of scripts: a pool of sandboxed workers, warm and bounded.

A worker is a process of its own, which can reach neither files nor the network nor this process. It
is taken for one run of a script and given back when that run waits for results, so none is held
while an agent works. A worker that dies, or that a script keeps busy beyond its limits, costs that
script and nothing else; the pool starts another one.

A forked child shares with its parent the descriptors by which the pool is told of events. If it
used the package, the parent could crash; if it dropped the pool, the parent would wait for ever. So
a child of a process that has run scripts runs none, and keeps what it has inherited untouched.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from weakref import finalize

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from batchwrap._forks import LOADING, ForkSafeLock, renew_in_child
from batchwrap.core.moves.script_run import ScriptOutcome, ScriptRun
from batchwrap.drive.script_execution import OS_POLICY, ScriptExecution, limits_of
from batchwrap.errors import MissingExtraError

if TYPE_CHECKING:
    import pydantic_monty

_log = logging.getLogger("batchwrap")
_PACKAGE = "pydantic_monty"
# Runs that compute at the same time, each in a worker of about 10 MB. More wait for one of them.
MAX_WORKERS = 4
# A worker that takes so much longer than its script may compute does not answer any more.
_HUNG_S = 10.0

_slots: RunVar[CapacityLimiter] = RunVar("batchwrap_interpreter_slots")


def require() -> None:
    """Load the interpreter's package, which takes a quarter of a second.

    For where scripts are switched on, so that the first one is as quick as the others.

    Raises:
        MissingExtraError: it is not installed.
    """
    if find_spec(_PACKAGE) is None:
        raise MissingExtraError("pydantic-monty", "scripts")
    _package()


def _package() -> Any:
    with LOADING:
        import pydantic_monty

        return pydantic_monty


class _Process:
    """Whether scripts have been run in this process, or in one that it was forked from."""

    def __init__(self) -> None:
        self.has_run = False
        self.is_spoilt = False
        renew_in_child(self)

    def after_fork(self) -> None:
        """The child of a process that has run scripts runs none."""
        self.is_spoilt = self.has_run


_process = _Process()


class Interpreter:
    """Runs scripts. Threads and event loops may share one; it may be used again after `close`.

    The pool is started by the first run. The outcome of a run follows from the run alone.
    """

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._pool: pydantic_monty.Monty | None = None
        self._max_seconds = 0.0  # that the pool gives a script
        self._closing: finalize[..., Any] | None = None
        renew_in_child(self)

    @property
    def is_available(self) -> bool:
        """Whether the package is installed, and this process may use it."""
        return not _process.is_spoilt and find_spec(_PACKAGE) is not None

    def run(self, run: ScriptRun) -> ScriptOutcome:
        """Run a script as far as its results allow; blocks as long as it computes.

        Whatever goes wrong is told in the outcome.
        """
        most = run.limits.max_code_chars
        if len(run.code) > most:
            return ScriptOutcome(
                error=f"the program has {len(run.code):,} characters; at most {most:,} are run"
            )
        if not self.is_available:
            return ScriptOutcome(error="no script can be run in this process")
        try:
            return self._run(run)
        except Exception as error:
            _log.exception("a script could not be run")
            return ScriptOutcome(error=f"the interpreter failed: {error}")

    async def run_async(self, run: ScriptRun) -> ScriptOutcome:
        """The same for asyncio and trio; the event loop goes on.

        If the task is cancelled, the run ends by itself and gives its worker back.
        """
        try:
            slots = _slots.get()
        except LookupError:
            slots = CapacityLimiter(MAX_WORKERS)
            _slots.set(slots)
        return await to_thread.run_sync(self.run, run, limiter=slots, abandon_on_cancel=True)

    def close(self) -> None:
        """End the workers; those that compute end with their run."""
        with self._lock:
            if self._closing is not None:
                self._closing()
            self._pool = self._closing = None

    def after_fork(self) -> None:
        """Leave the parent's pool alone: even its destructor would reach the parent's workers."""
        if self._closing is not None:
            self._closing.detach()
        if self._pool is not None:
            import ctypes  # here, since it takes a while, and few processes fork

            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._pool))
        self._pool = self._closing = None

    def _run(self, run: ScriptRun) -> ScriptOutcome:
        monty = _package()
        for _ in range(MAX_WORKERS + 1):
            pool = self._started(monty, run.limits.max_seconds)
            execution, is_ready = ScriptExecution(run, monty), False
            try:
                with pool.checkout(limits=limits_of(run), os_policy=OS_POLICY) as session:
                    session.feed_run(execution.prelude)
                    is_ready = True
                    return execution.execute(session)
            except (monty.MontyError, RuntimeError) as error:
                if is_ready and isinstance(error, monty.MontyCrashedError):
                    return ScriptOutcome(error=f"the script's process died: {error}")
                if is_ready:
                    raise
            # The worker had died while nobody used it, or the pool was closed just now.
        return ScriptOutcome(error="no process for scripts stays alive")

    def _started(self, monty: Any, max_seconds: float) -> pydantic_monty.Monty:
        """The pool; another one if scripts may compute longer than before."""
        with self._lock:
            if self._pool is not None and max_seconds <= self._max_seconds:
                return self._pool
            self.close()
            self._max_seconds = max(max_seconds, self._max_seconds)
            pool: pydantic_monty.Monty = monty.Monty(
                max_processes=MAX_WORKERS, request_timeout=self._max_seconds + _HUNG_S
            )
            _process.has_run = True
            pool.__enter__()
            self._closing = finalize(self, pool.__exit__, None, None, None)
            self._pool = pool
            return pool
