"""The demo's only import of the OpenAI SDK, 2.x on httpx or 3.x on httpx2."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from batchwrap.errors import MissingExtraError

if TYPE_CHECKING:
    from openai import OpenAI

NO_KEY_SENT = (
    "No API key was sent. If the endpoint wants one, --api-key-env names the environment variable"
    " that has it."
)


def client(base_url: str, api_key: str, **http_options: Any) -> OpenAI:
    """A plain client; close it.

    Args:
        base_url: the provider's, up to ``/v1``.
        api_key: the key; empty for a server that wants none.
        http_options: for the HTTP client below. ``trust_env=False`` keeps a proxy of the
            environment from coming between the client and the loopback.

    Raises:
        MissingExtraError: openai is not installed.
    """
    openai = _openai()
    made: OpenAI = openai.OpenAI(
        base_url=base_url,
        api_key=api_key or "none",  # the SDK makes no client without a key
        http_client=openai.DefaultHttpxClient(**http_options),
    )
    return made


def version() -> str:
    """Which version of the SDK is installed.

    Raises:
        MissingExtraError: it is not.
    """
    installed: str = _openai().__version__
    return installed


def failures() -> tuple[type[Exception], ...]:
    """The exceptions by which a provider's failures reach the caller of a client.

    They are errors of the SDK or, if a stream breaks off under openai 2.x, of the HTTP library
    below it.
    """
    openai = _openai()
    kinds = openai.DefaultHttpxClient.__mro__
    library = next(kind.__module__ for kind in kinds if kind.__name__ == "Client")
    return openai.OpenAIError, sys.modules[library].HTTPError


def _openai() -> ModuleType:
    try:
        import openai
    except ModuleNotFoundError as missing:
        if missing.name != "openai":
            raise
        raise MissingExtraError("openai", "openai") from missing
    return openai
