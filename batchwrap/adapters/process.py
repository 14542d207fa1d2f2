"""Wrapping what a framework makes for itself: every client made from now on in the process.

A class is patched when its package is imported, or now if it is already, so that nothing is
imported that the process does not use (litellm takes seconds). What was made before stays bare.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from batchwrap.adapters.clients import wrap_new
from batchwrap.adapters.function import batch_function
from batchwrap.engine import Engine
from batchwrap.options import Options

# Classes that are built as openai's are; the Azure clients and all others derive from them.
_CLIENTS = {
    "openai": ("OpenAI", "AsyncOpenAI"),
    "groq": ("Groq", "AsyncGroq"),
    "cerebras.cloud.sdk": ("Cerebras", "AsyncCerebras"),
    "anthropic": ("Anthropic", "AsyncAnthropic"),
}
_FUNCTIONS = {"litellm": ("completion", "acompletion")}


_installed: list[Installation] = []


def install(options: Options) -> None:
    """Wrap what is made from now on; what was installed before is undone."""
    uninstall()
    _installed.append(Installation(options))


def uninstall() -> None:
    """Undo it; without an installation this does nothing."""
    while _installed:
        _installed.pop().remove()


class Installation:
    """What `install` has changed, and how it is undone.

    All clients share one engine: one budget, and one memory of what was handed out.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._engine = Engine(options)
        self._undo: list[Callable[[], None]] = []
        for name in (*_CLIENTS, *_FUNCTIONS):
            if name in sys.modules:
                self._patch(sys.modules[name])
        self._finder = _AfterImport({*_CLIENTS, *_FUNCTIONS} - set(sys.modules), self._patch)
        sys.meta_path.insert(0, self._finder)

    def remove(self) -> None:
        """Undo it. What somebody has patched since is left in place, and ours does nothing."""
        self._engine.is_off = True
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        for undo in reversed(self._undo):
            undo()

    def _patch(self, module: ModuleType) -> None:
        for name in _CLIENTS.get(module.__name__, ()):
            kind = getattr(module, name)
            self._replace(kind, "__init__", self._wrapping(kind.__init__))
        for name in _FUNCTIONS.get(module.__name__, ()):
            function = getattr(module, name)
            self._replace(module, name, self._batching(function))

    def _wrapping(self, init: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(init)
        def wrapped(client: Any, *args: Any, **kwargs: Any) -> None:
            init(client, *args, **kwargs)
            if not self._engine.is_off:
                wrap_new(client, self._engine)

        return wrapped

    def _batching(self, function: Callable[..., Any]) -> Callable[..., Any]:
        batched = batch_function(function, self._options, self._engine)

        @functools.wraps(batched)
        def complete(*args: Any, **kwargs: Any) -> Any:
            return (function if self._engine.is_off else batched)(*args, **kwargs)

        @functools.wraps(batched)
        async def complete_async(*args: Any, **kwargs: Any) -> Any:
            return await (function if self._engine.is_off else batched)(*args, **kwargs)

        return complete_async if inspect.iscoroutinefunction(function) else complete

    def _replace(self, owner: Any, name: str, new: Any) -> None:
        old = getattr(owner, name)
        setattr(owner, name, new)

        def undo() -> None:
            if getattr(owner, name) is new:
                setattr(owner, name, old)

        self._undo.append(undo)


class _AfterImport(MetaPathFinder):
    """Calls a function with each of some modules as soon as it is imported."""

    def __init__(self, names: set[str], then: Callable[[ModuleType], None]) -> None:
        self._names = names
        self._then = then

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._names:
            return None
        self._names.discard(name)  # the search below comes here again
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._then)
        return spec


class _Loader(Loader):
    """A module's own loader, with something to do afterwards."""

    def __init__(self, inner: Loader, then: Callable[[ModuleType], None]) -> None:
        self._inner = inner
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)  # data files, sources and the like

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        self._then(module)
