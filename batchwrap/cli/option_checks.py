"""Checks of options that several commands share."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from batchwrap.errors import ConfigError


def api_key(base_url: str, model: str | None, api_key_env: str | None) -> str:
    """The key for a real endpoint.

    Raises:
        ConfigError: the address is wrong, or another option is missing or wrong.
    """
    check_base_url(base_url)
    if model is None or api_key_env is None:
        raise ConfigError("--base-url", "needs --model and --api-key-env, too")
    key = os.environ.get(api_key_env)
    if not key:
        raise ConfigError("--api-key-env", f"the environment variable {api_key_env} is not set")
    return key


def check_base_url(base_url: str) -> None:
    """Check that a URL is the address of a web server.

    Raises:
        ConfigError: it is not.
    """
    try:
        url = urlsplit(base_url)
        known = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        known = False
    if not known:
        raise ConfigError("--base-url", f"{base_url!r} is not an http:// or https:// address")


def check_limits(limits: str | None) -> str:
    """The limits of a wrapped client: ``"auto"``, or the name of an existing plan.

    Raises:
        ConfigError: the plan does not exist.
    """
    from batchwrap.providers import plan

    if limits not in (None, "auto"):
        plan(limits)
    return limits or "auto"


def check_file(option: str, path: Path) -> None:
    """Check that a file can be written, before anything is run and not after it.

    Raises:
        ConfigError: it is a folder, its folder does not exist, or writing is not allowed.
    """
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir():
        raise ConfigError(option, f"{path} cannot be written: it is a folder, or has no folder")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ConfigError(option, f"{path} cannot be written: {os.strerror(errno.EACCES)}")


@contextmanager
def writing(option: str) -> Iterator[None]:
    """Name the option whose file cannot be written, although `check_file` accepted it.

    Raises:
        ConfigError: the block has raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(option, reason(error)) from error


def reason(error: OSError) -> str:
    """The message of an error and its file, without the error's number."""
    said = error.strerror or str(error) or type(error).__name__
    return said if error.filename is None else f"{error.filename}: {said}"
