"""How fast a model generates, by one answer."""

from __future__ import annotations

from dataclasses import dataclass

# Fewer tokens, or less time, are mostly the network's.
_LEAST_TOKENS = 64
_LEAST_S = 0.001


@dataclass(slots=True)
class Pace:
    """Takes in the chunks of a stream as they come, or a whole answer.

    Of a text's pieces only some are seen. The chunk that tells the tokens comes behind them.

    The provider's own figure counts where it gives one (Groq in `usage`, Cerebras in
    `time_info`); else the time between the first chunk and the last one. A whole answer
    without such a figure says nothing: most of its time may be waiting.
    """

    _first_s: float | None = None
    _last_s: float = 0.0
    _tokens: float | None = None
    _generating_s: float | None = None

    def see(self, tokens: float | None, generating_s: float | None, now_s: float) -> None:
        """Take in an event, or a whole answer, that came at a time.

        Args:
            tokens: output tokens that it reports.
            generating_s: seconds of generating them that it reports.
            now_s: the time.
        """
        self._first_s = now_s if self._first_s is None else self._first_s
        self._last_s = now_s
        self._tokens = tokens or self._tokens
        self._generating_s = generating_s or self._generating_s

    @property
    def tokens_per_s(self) -> float | None:
        """Output tokens in a second; None: nobody knows."""
        if self._first_s is None or self._tokens is None or self._tokens < _LEAST_TOKENS:
            return None
        streamed_s = self._last_s - self._first_s
        seconds = streamed_s if self._generating_s is None else self._generating_s
        return self._tokens / seconds if seconds >= _LEAST_S else None
