"""`Recorder`: what the provider sees of an agent's requests, as a text for snapshot tests."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from difflib import unified_diff
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import orjson

from batchwrap.adapters.clients import http_client_of
from batchwrap.adapters.wire import AsyncWire, SyncWire
from batchwrap.errors import ConfigError
from batchwrap.testing.view_text import ViewText

Function = TypeVar("Function", bound=Callable[..., Any])
Client = TypeVar("Client")
UPDATE = "BATCHWRAP_TEST_UPDATE"


class Recorder:
    """Records the requests that reach the provider, and writes them as a text.

    The text is the same in each run: ids, times and dates are replaced, and headers and keys are
    left out. What a request has in common with the one before it is not repeated. Requests of all
    three APIs can be recorded. Thread-safe; requests stand in the order in which they were sent.

    Args:
        replace: further texts that differ between runs, and what stands for each of them:
            ``{str(tmp_path): "<folder>"}``.

    Example:
        >>> recorder = Recorder()
        >>> @recorder.records
        ... def complete(**kwargs):
        ...     return {"choices": []}
        >>> complete(model="m", messages=[{"role": "user", "content": "Hi."}])
        {'choices': []}
        >>> print(recorder.text, end="")
        request 1: complete
        model: m
        messages:
        - role: user
          content: Hi.
    """

    def __init__(self, *, replace: Mapping[str, str] | None = None) -> None:
        self._replace = {} if replace is None else replace  # read when the text is made
        self._requests: list[tuple[str, dict[str, Any]]] = []
        self._lock = Lock()

    def attach(self, client: Client) -> Client:
        """Record what an HTTP client or an SDK's client sends, wrapped or not.

        It records at the client's transport, beneath batchwrap, whether it is attached before or
        after `batchwrap.wrap`. The client itself is changed. A second call changes nothing.

        Args:
            client: a client of httpx, of httpx2, or of an SDK that is built on one of them.

        Returns:
            The client.

        Raises:
            ConfigError: it is no client that batchwrap can wrap.
        """
        http_client = http_client_of(client)
        if http_client is None:
            raise ConfigError("client", f"cannot record a {type(client).__qualname__}")
        http_client._transport = self._beneath(http_client._transport)
        mounts = http_client._mounts.items()
        http_client._mounts = {pattern: self._beneath(it) for pattern, it in mounts}
        return client

    def records(self, function: Function) -> Function:
        """Record what a completion function is called with; a decorator beneath `batched`.

        Args:
            function: the function that calls the provider, with keyword arguments; sync or async.

        Returns:
            A function that does the same.
        """

        @functools.wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            self.add(kwargs, getattr(function, "__name__", "request"))
            return function(*args, **kwargs)

        return recorded  # type: ignore[return-value]  # the same signature

    def add(self, body: Mapping[str, Any], label: str = "request") -> None:
        """Record one request, such as those of a lab's journal or of a provider of your own.

        Args:
            body: the body of the request.
            label: what the text calls it.
        """
        with self._lock:  # the caller may change the body afterwards
            self._requests.append((label, _copied(body)))

    @property
    def text(self) -> str:
        """The requests so far."""
        view = ViewText(self._replace)
        with self._lock:
            requests = list(self._requests)
        parts = []
        for number, (label, body) in enumerate(requests, 1):
            parts.append("\n".join([f"request {number}: {label}", *view.lines(body)]) + "\n")
        return "\n".join(parts)

    def check(self, path: str | os.PathLike[str], *, update: bool | None = None) -> None:
        """Compare the text with a file, or write the file.

        Args:
            path: the file of the snapshot.
            update: whether to write the file; None to do so if the variable
                ``BATCHWRAP_TEST_UPDATE`` is set.

        Raises:
            AssertionError: the file is missing or says something else; the message has the
                lines that differ.
        """
        file, text = Path(path), self.text
        if os.environ.get(UPDATE) if update is None else update:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
            return
        if not file.exists():
            raise AssertionError(f"there is no {file}; set {UPDATE}=1 to write it")
        wanted = file.read_text(encoding="utf-8")
        if wanted != text:
            lines = wanted.splitlines(), text.splitlines()
            shown = "\n".join(unified_diff(*lines, str(file), "this run", lineterm=""))
            raise AssertionError(
                f"the provider's view has changed; set {UPDATE}=1 to accept it\n{shown}"
            )

    def _beneath(self, transport: Any) -> Any:
        if transport is None or self._records_already(transport):
            return transport
        if isinstance(transport, SyncWire | AsyncWire):
            transport.inner = self._beneath(transport.inner)
            return transport
        return _Recording(transport, self._sent)

    def _records_already(self, transport: Any) -> bool:
        """Whether this recorder is attached to it, as to that of a copy of the client."""
        while isinstance(transport, _Recording):
            if transport.sent == self._sent:
                return True
            transport = transport.inner
        return False

    def _sent(self, request: Any) -> None:
        try:
            body = orjson.loads(request.content)
        except orjson.JSONDecodeError:
            return
        if request.method == "POST" and isinstance(body, dict):
            self.add(body, request.url.path)


class _Recording:
    """A transport of httpx or httpx2 that shows each request to a function."""

    def __init__(self, inner: Any, sent: Callable[[Any], None]) -> None:
        self.inner = inner
        self.sent = sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def handle_request(self, request: Any) -> Any:
        request.read()
        self.sent(request)
        return self.inner.handle_request(request)

    async def handle_async_request(self, request: Any) -> Any:
        await request.aread()
        self.sent(request)
        return await self.inner.handle_async_request(request)

    # Python looks these up in the class, and not by `__getattr__`.
    def __enter__(self) -> Any:
        self.inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.inner.__exit__(*error)

    async def __aenter__(self) -> Any:
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.inner.__aexit__(*error)


def _copied(value: Any) -> Any:
    """A copy of tables and lists; what is in them may be anything."""
    if isinstance(value, Mapping):
        return {name: _copied(it) for name, it in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(it) for it in value]
    return value
