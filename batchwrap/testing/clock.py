"""A clock for tests: a wait advances it and takes no real time."""

from __future__ import annotations

from threading import Lock

from batchwrap.errors import ConfigError

_NEW_YEAR_2026_S = 1_767_225_600.0


class ManualClock:
    """A clock that advances only by waits, or when `sleep` is called.

    Pass it to a client, ``Throttle(clock=clock)``, and to the lab, ``Lab(…, clock=clock)``. Then a
    wait for a limit, after a refusal or for generated tokens takes no real time: it advances the
    clock. Only a wait for the end of another request is real. Thread-safe.

    Example:
        >>> clock = ManualClock()
        >>> clock.sleep(90)
        >>> clock.passed_s
        90.0

    Args:
        start_unix_s: its first time, in seconds since 1970. The default is a midnight UTC, at
            which fixed periods have just begun.
    """

    def __init__(self, start_unix_s: float = _NEW_YEAR_2026_S) -> None:
        self._start_s = self._now_s = float(start_unix_s)
        self._lock = Lock()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._now_s

    @property
    def passed_s(self) -> float:
        """Seconds since it was made."""
        return self._now_s - self._start_s

    def sleep(self, seconds: float) -> None:
        """Advance the clock, at once.

        Args:
            seconds: by how much; not below 0.

        Raises:
            ConfigError: `seconds` is below 0.
        """
        if not seconds >= 0:
            raise ConfigError("seconds", f"{seconds!r} is below 0")
        with self._lock:
            self._now_s += seconds
