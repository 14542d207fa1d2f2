"""The speed at which a model generates, measured on one answer."""

from __future__ import annotations

from dataclasses import dataclass

# With fewer tokens or less time, the network's delays would dominate the measurement.
_LEAST_TOKENS = 64
_LEAST_S = 0.001


@dataclass(slots=True)
class Pace:
    """Takes the chunks of a stream as they come, or a whole answer.

    The pieces that the fast path takes are not seen here, but the chunk with the usage comes after
    them.

    The provider's own figure is used if it gives one (Groq in `usage`, Cerebras in `time_info`),
    otherwise the time between the first chunk and the last one. A whole answer without such a
    figure is not measured, since most of its time may be waiting.
    """

    _first_s: float | None = None
    _last_s: float = 0.0
    _tokens: float | None = None
    _generating_s: float | None = None

    def see(self, tokens: float | None, generating_s: float | None, now_s: float) -> None:
        """Take an event, or a whole answer.

        Args:
            tokens: the output tokens that it reports.
            generating_s: the seconds of generation that it reports.
            now_s: the time at which it came.
        """
        self._first_s = now_s if self._first_s is None else self._first_s
        self._last_s = now_s
        self._tokens = tokens or self._tokens
        self._generating_s = generating_s or self._generating_s

    @property
    def tokens_per_s(self) -> float | None:
        """Output tokens per second; None if it cannot be told from this answer."""
        if self._first_s is None or self._tokens is None or self._tokens < _LEAST_TOKENS:
            return None
        streamed_s = self._last_s - self._first_s
        seconds = streamed_s if self._generating_s is None else self._generating_s
        return self._tokens / seconds if seconds >= _LEAST_S else None
