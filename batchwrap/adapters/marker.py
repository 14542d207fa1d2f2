"""So that a request is translated once, however many layers of ours it passes.

Within a process a context variable says so. Between processes a header does: what a wrapped
client has translated, a `batchwrap serve` that it reaches only throttles.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Sent with what was translated, but not to providers that are known: they are no layer of ours.
TRANSLATED_HEADER = "x-batchwrap-translated"

_translated = ContextVar("batchwrap_translated", default=False)


def is_translated() -> bool:
    """Whether a layer above this one translates the request that is being sent."""
    return _translated.get()


@contextmanager
def translating() -> Iterator[None]:
    """Everything sent inside is translated already."""
    token = _translated.set(True)
    try:
        yield
    finally:
        _translated.reset(token)
