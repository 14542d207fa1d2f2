"""`Lab`: the user's handle of the simulated provider."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from batchwrap.encodings import EncodingName
from batchwrap.lab.dialects import DialectName
from batchwrap.lab.journal import Entry
from batchwrap.lab.loopback import LoopbackServer
from batchwrap.lab.rate_limits import RateLimit
from batchwrap.lab.simulated_model import Model
from batchwrap.lab.simulated_provider import IncludeUsage, SimulatedProvider
from batchwrap.lab.tokenizing import Tokens
from batchwrap.options import Clock


class Lab:
    """A simulated LLM provider behind a real HTTP server on the loopback.

    Example:
        >>> from batchwrap.lab import Lab, Reply, Script
        >>> with Lab(Script(Reply("Hello."))) as lab:
        ...     lab.base_url.startswith("http://127.0.0.1:")
        True

    Args:
        model: gets each request's body and returns the assistant's turn.
        limits: what the provider enforces; all of them at once. With `api_keys` each key
            is an account with buckets of its own.
        dialect: how it words refusals and rate-limit headers; ``"headerless"`` refuses like
            OpenAI, and says nothing of its limits in other answers.
        tokens_per_s: generated tokens in a provider second; `math.inf` for no delay.
        ttft_s: provider seconds from admission to the first token.
        time_scale: provider seconds in one second of wall time. At 60 a limit per minute
            refills within a second; generation is faster by the same factor, and times in
            headers are shorter by it.
        encoding: how tokens are counted.
        tokens: a counter of tokens that replaces the encoding.
        context_window: tokens; a longer prompt gets a 400, and output ends there.
        chunk_tokens: how many tokens a chunk of a stream carries.
        include_usage: when a stream has a chunk with `usage`.
        default_output: tokens that a request without an output cap reserves.
        api_keys: keys that are accepted, as bearer token, in `api-key` or `x-api-key`; None
            for any.
        gzip: whether responses are compressed for clients that accept it.
        clock: replaces wall time: a `batchwrap.testing.ManualClock`.

    Raises:
        ConfigError: an option is wrong.
    """

    def __init__(
        self,
        model: Model,
        *,
        limits: Sequence[RateLimit] = (),
        dialect: DialectName = "cerebras",
        tokens_per_s: float = 1500.0,
        ttft_s: float = 0.2,
        time_scale: float = 1.0,
        encoding: EncodingName = "o200k_base",
        tokens: Tokens | None = None,
        context_window: int = 131_072,
        chunk_tokens: int = 4,
        include_usage: IncludeUsage = "asked",
        default_output: int = 1024,
        api_keys: Sequence[str] | None = None,
        gzip: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._provider = SimulatedProvider(
            model=model,
            limits=tuple(limits),
            dialect=dialect,
            tokens_per_s=tokens_per_s,
            ttft_s=ttft_s,
            time_scale=time_scale,
            encoding=encoding,
            counter=tokens,
            context_window=context_window,
            chunk_tokens=chunk_tokens,
            include_usage=include_usage,
            default_output=default_output,
            api_keys=api_keys,
            gzip=gzip,
            manual_clock=clock,
        )
        self._server: LoopbackServer | None = None
        self._connections = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and return when it listens.

        Raises:
            RuntimeError: it runs already.
        """
        if self._server is not None:
            raise RuntimeError("the lab runs already")
        self._provider.tokens.count("")  # loads the encoding now, not in the first request
        self._provider.restart()
        self._server = LoopbackServer(self._provider, self._count_connection)

    def stop(self) -> None:
        """Close all connections and stop; does nothing if it does not run."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    @property
    def url(self) -> str:
        """The server's URL without a path, which an Azure client calls its endpoint.

        Raises:
            RuntimeError: the lab does not run.
        """
        if self._server is None:
            raise RuntimeError("the lab does not run: use it in a `with` block, or start() it")
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def base_url(self) -> str:
        """The `base_url` for an OpenAI client."""
        return f"{self.url}/v1"

    @property
    def connections(self) -> int:
        """The number of TCP connections that were opened."""
        return self._connections

    @property
    def journal(self) -> list[Entry]:
        """The requests that have ended, in that order."""
        return self._provider.journal.entries()

    @property
    def round_trips(self) -> int:
        """How many turns, at whichever API, were answered with status 200."""
        return self._provider.journal.round_trips

    @property
    def refusals(self) -> int:
        """The number of requests that were answered with status 429."""
        return self._provider.journal.refusals

    def now(self) -> float:
        """Provider seconds since the start."""
        return self._provider.clock.now()

    def reset(self) -> None:
        """Clear the journal. Limits and connections stay as they are."""
        self._provider.journal.clear()

    def wait_idle(self, timeout_s: float = 5.0) -> None:
        """Return when no request is running.

        Args:
            timeout_s: how long to wait, in seconds of wall time.

        Raises:
            TimeoutError: one still is after `timeout_s` seconds of wall time.
        """
        self._provider.journal.wait_idle(timeout_s)

    def _count_connection(self) -> None:
        self._connections += 1
