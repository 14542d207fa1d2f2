"""`Workers`: several processes that serve one port, and one that watches over them.

The port is opened once and handed to all of them, so connections that wait for a process that died
are taken by another one. A process that ends is replaced. If the watching process is gone, however
it ended, they end, too.
"""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import fields, is_dataclass, replace
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from batchwrap.configuration import options_for
from batchwrap.errors import ConfigError
from batchwrap.serve.asgi_app import create_app
from batchwrap.serve.live_page import PAGE_STATE
from batchwrap.serve.merged_metrics import METRICS
from batchwrap.serve.peers import Peers
from batchwrap.serve.server import FINISH_WITHIN_S, Server, address_of, listen
from batchwrap.serve.settings import Settings

_log = logging.getLogger("batchwrap")
MOST_WORKERS = 256
_SHARED = "shared.db"
# A process that ends at once is not replaced more often than this.
_PAUSE_S = 1.0
_AGAIN_S = 2.0
_IN_MEMORY = "memory"
_SECRET_BYTES = 16
_HAS_MASKS = hasattr(signal, "pthread_sigmask")  # not on Windows


class Workers:
    """A `Server` in several processes, which share limits, and what exchanges remember.

    It listens once it is made, and answers while it runs. Where no store is named, they share a
    file in a folder of their own, which is removed at the end.

    Args:
        settings: as for `Server`.
        count: the number of processes.
        options: the options of `batchwrap.wrap`. They are sent to other processes, so functions
            among them must be importable.

    Raises:
        ConfigError: an option is wrong, or the port is taken.
    """

    def __init__(self, settings: Settings, count: int, **options: Any) -> None:
        if not 1 <= count <= MOST_WORKERS:
            raise ConfigError("workers", f"{count} is not between 1 and {MOST_WORKERS}")
        self._settings = settings
        self._count = count
        self._closing = ExitStack()
        self._folder = Path(self._closing.enter_context(TemporaryDirectory(prefix="batchwrap-")))
        self._is_stopping = threading.Event()
        self._wakes, self._wake = connection.Pipe(duplex=False)
        self._started = 0
        self._secret = secrets.token_bytes(_SECRET_BYTES)
        self._unkept: list[Peers] = []  # processes that have ended, whose counts are to be kept
        try:
            self._options = _sharing(options, f"sqlite:///{self._folder / _SHARED}")
            _check_sent(self._options)
            create_app(settings, **self._options)  # so that what is wrong raises here
            self._listener = self._closing.enter_context(listen(settings))
        except BaseException:
            self._closing.close()
            raise

    @property
    def url(self) -> str:
        """The address at which they listen, without a path."""
        return address_of(self._listener)

    @property
    def base_url(self) -> str:
        """The base URL that agents use instead of the upstream's."""
        return self.url + self._settings.base_path

    def run(self) -> None:
        """Serve until `stop`; running requests have 30 s to finish."""
        running: dict[str, SpawnProcess] = {}
        try:
            while not self._is_stopping.is_set():
                for _ in range(self._count - len(running)):
                    name, process = self._start()
                    running[name] = process
                ends = [one.sentinel for one in running.values()]
                connection.wait([self._wakes, *ends], _AGAIN_S if self._unkept else None)
                self._drop_ended(running)
        finally:
            _end(running.values())
            self.close()

    def stop(self) -> None:
        """End a `run`, in another thread or in a handler of signals."""
        if not self._is_stopping.is_set():
            self._is_stopping.set()
            self._wake.send_bytes(b"")

    def close(self) -> None:
        """Close the port, and drop what was shared in the folder."""
        self._closing.close()

    def _start(self) -> tuple[str, SpawnProcess]:
        self._started += 1
        # Programs that tidy up temporary folders may have removed it.
        self._folder.mkdir(mode=0o700, exist_ok=True)
        name = f"worker-{self._started}"
        process = multiprocessing.get_context("spawn").Process(
            target=_work,
            args=(self._listener, self._settings, self._options, self._peers(name)),
            name=f"batchwrap-{name}",
        )
        with _without_interrupts():
            process.start()
        return name, process

    def _peers(self, name: str) -> Peers:
        return Peers(self._folder, name, self._secret)

    def _drop_ended(self, running: dict[str, SpawnProcess]) -> None:
        """Drop the processes that have ended, which are then replaced."""
        ended = [name for name, process in running.items() if not process.is_alive()]
        if self._is_stopping.is_set():
            return
        for name in ended:
            process = running.pop(name)
            _log.warning("%s ended with %s; another one is started", name, process.exitcode)
            self._unkept.append(self._peers(name))
        # What cannot be kept, since the disk is full, is tried again.
        self._unkept = [one for one in self._unkept if not one.end([METRICS, PAGE_STATE])]
        if ended:
            self._is_stopping.wait(_PAUSE_S)


def _sharing(given: dict[str, Any], url: str) -> dict[str, Any]:
    """All options, with a store that processes share where each would have its own."""
    options = options_for(**given)
    batching, throttle = options.batching, options.throttle
    if batching is not None and batching.memory == _IN_MEMORY:
        batching = replace(batching, memory=url)
    if throttle is not None and throttle.store == _IN_MEMORY and throttle.clock is None:
        throttle = replace(throttle, store=url)
    made = replace(options, batching=batching, throttle=throttle)
    # Each of the processes would find the same file, but it may change meanwhile.
    return {**{one.name: getattr(made, one.name) for one in fields(made)}, "config": None}


def _check_sent(options: dict[str, Any]) -> None:
    """Refuse what cannot be sent to another process, by the name of its option."""
    for name, value in options.items():
        parts = fields(value) if is_dataclass(value) else ()
        named = {f"{type(value).__name__}.{one.name}": getattr(value, one.name) for one in parts}
        for option, part in (named or {name: value}).items():
            try:
                ForkingPickler.dumps(part)
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                problem = (
                    f"cannot be sent to another process ({error}); a function must stand at the"
                    " top of a module that can be imported"
                )
                raise ConfigError(option, problem) from error


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that are started in this block get a Ctrl-C only when they can handle it.

    A terminal sends it to all processes at once. One that is still importing would end with a
    traceback.
    """
    if not _HAS_MASKS:
        yield
        return
    resource_tracker.ensure_running()  # which would end the block for itself
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _end(processes: Any) -> None:
    """End processes: they have some time to finish their requests."""
    until_s = time.monotonic() + FINISH_WITHIN_S + _PAUSE_S
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(max(0.0, until_s - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _work(
    listener: socket.socket, settings: Settings, options: dict[str, Any], peers: Peers
) -> None:
    """What one of the processes does."""
    server = Server(settings, listener=listener, peers=peers, **options)
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: server.stop())
    if _HAS_MASKS:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    server.run()


def _end_with_parent(server: Server) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    server.stop()
