"""Wraps every client that is made in the process from now on, such as a framework's own clients.

A class is patched when its package is imported, or at once if it is imported already. So no
package is imported that the process does not use (litellm takes seconds). Clients that were made
before stay bare.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from inspect import getattr_static
from types import ModuleType, WrapperDescriptorType
from typing import Any, TypeGuard

from batchwrap.adapters.clients import wrap_new
from batchwrap.adapters.function import batch_function
from batchwrap.engine import Engine
from batchwrap.options import Options

# The client classes of SDKs that are built like openai's; Azure's clients derive from them.
_CLIENTS = {
    "openai": ("OpenAI", "AsyncOpenAI"),
    "groq": ("Groq", "AsyncGroq"),
    "cerebras.cloud.sdk": ("Cerebras", "AsyncCerebras"),
    "anthropic": ("Anthropic", "AsyncAnthropic"),
}
_FUNCTIONS = {
    "litellm": ("completion", "acompletion", "responses", "aresponses", "anthropic_messages"),
    "litellm.anthropic_interface.messages": ("acreate",),
}


_installed: list[Installation] = []


def install(options: Options) -> None:
    """Wrap clients that are made from now on; an earlier installation is undone."""
    uninstall()
    _installed.append(Installation(options))


def uninstall() -> None:
    """Undo `install`; does nothing if nothing is installed."""
    while _installed:
        _installed.pop().remove()


class Installation:
    """The changes of one `install`, which can be undone.

    All clients share one engine, so they share one budget and one memory of past turns.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._engine = Engine(options)
        self._undo: list[Callable[[], None]] = []
        self._patched: list[tuple[Any, str]] = []
        names = (*_CLIENTS, *_FUNCTIONS)
        self._finder = _AfterImport(names, self._patch)
        # The finder comes first: a package that another thread imports meanwhile is not missed.
        sys.meta_path.insert(0, self._finder)
        for name in names:
            if sys.modules.get(name) is not None:
                self._finder.take(name, import_module(name))  # waits for another thread's import

    def remove(self) -> None:
        """Undo the patches. A patch that others have wrapped since stays, and does nothing."""
        self._engine.is_off = True
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        for undo in reversed(self._undo):
            undo()

    def _patch(self, name: str, module: ModuleType) -> bool:
        """Patch a module's classes, and return whether all of them were found.

        They are missing while the module is being imported, and in a test's stub of it.
        """
        # Looked up without running the module's code, since its import may be in progress.
        kinds = [getattr_static(module, kind, None) for kind in _CLIENTS.get(name, ())]
        classes = [kind for kind in kinds if _is_written(kind)]
        for kind in classes:
            self._replace(kind, "__init__", self._wrapping)
        functions = [
            one for one in _FUNCTIONS.get(name, ()) if callable(getattr_static(module, one, None))
        ]
        for function in functions:
            self._replace(module, function, self._batching)
        return len(classes) == len(kinds) and len(functions) == len(_FUNCTIONS.get(name, ()))

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

    def _replace(
        self, owner: Any, name: str, made_of: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        if any(known is owner and of == name for known, of in self._patched):
            return
        old = getattr(owner, name)
        new = made_of(old)
        setattr(owner, name, new)
        self._patched.append((owner, name))

        def undo() -> None:
            # If others have patched it since, restoring the old one would undo their patch.
            if getattr(owner, name, None) is new:
                setattr(owner, name, old)

        self._undo.append(undo)


def _is_written(kind: object) -> TypeGuard[type]:
    """Whether it is a class with a constructor in Python, as all SDK clients have."""
    return isinstance(kind, type) and not isinstance(
        kind.__init__,  # type: ignore[misc]  # of a class, and not of an instance
        WrapperDescriptorType,
    )


class _AfterImport(MetaPathFinder):
    """Calls a function for each of some modules as soon as the module is imported.

    Args:
        names: of the modules.
        then: takes a module's name and the module, and returns whether it found what it needs. If
            not, it is called again at each later import.
    """

    def __init__(self, names: Sequence[str], then: Callable[[str, ModuleType], bool]) -> None:
        self._names = frozenset(names)
        self._then = then
        self._looking: set[str] = set()
        self._waiting: dict[str, ModuleType] = {}

    def take(self, name: str, module: ModuleType) -> None:
        """Call the function for a module that seems to be imported."""
        if self._then(name, module):
            self._waiting.pop(name, None)
        else:
            self._waiting[name] = module

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        for known, module in tuple(self._waiting.items()):
            self.take(known, module)
        if name not in self._names or name in self._looking:
            return None
        self._looking.add(name)  # the search below comes here again
        try:
            spec = find_spec(name)
        finally:
            self._looking.discard(name)
        if spec is not None and spec.loader is not None and not isinstance(spec.loader, _Loader):
            spec.loader = _Loader(spec.loader, partial(self.take, name))
        return spec


class _Loader(Loader):
    """Runs a module's own loader, and then a function."""

    def __init__(self, inner: Loader, then: Callable[[ModuleType], object]) -> None:
        self._inner = inner
        self._then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)  # data files, sources and the like

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._inner.exec_module(module)
        self._then(module)
