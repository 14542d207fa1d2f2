"""Marks translated requests, so that several layers of batchwrap translate each only once.

Within a process the mark is a context variable, between processes a header: `batchwrap serve` only
throttles a request that a wrapped client has translated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Sent with translated requests, except to known providers, which run no batchwrap.
TRANSLATED_HEADER = "x-batchwrap-translated"

_translated = ContextVar("batchwrap_translated", default=False)


def is_translated() -> bool:
    """Whether a layer above this one translates the request that is being sent."""
    return _translated.get()


@contextmanager
def translating() -> Iterator[None]:
    """Mark the requests that are sent inside this context as translated."""
    token = _translated.set(True)
    try:
        yield
    finally:
        _translated.reset(token)
