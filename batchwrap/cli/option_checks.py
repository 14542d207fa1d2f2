"""Checks of options that several commands share."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from batchwrap.checks import nearest
from batchwrap.errors import ConfigError, MissingExtraError


def check_endpoint(base_url: str, model: str | None, needed_by: str = "--base-url") -> str:
    """Check the options of a real endpoint.

    Args:
        base_url: its address.
        model: the model, if one was named.
        needed_by: the option that needs a model.

    Returns:
        The model.

    Raises:
        ConfigError: the address is wrong, or no model is named.
    """
    check_base_url(base_url)
    if not model:
        raise ConfigError("--model", f"is needed with {needed_by}")
    return model


def api_key(variable: str | None) -> str:
    """The key in an environment variable; empty without one, for a server that wants no key.

    Raises:
        ConfigError: the variable is not set.
    """
    key = "" if variable is None else os.environ.get(variable, "")
    if variable is not None and not key:
        if not variable.isidentifier():  # a key was typed, which is not shown again
            raise ConfigError("--api-key-env", "wants the name of a variable, and not the key")
        near = nearest(variable, (name for name, value in os.environ.items() if value))
        raise ConfigError("--api-key-env", f"the environment variable {variable} is not set{near}")
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


def is_installed(module: str) -> bool:
    """Whether a module can be found; it is not imported, which may take seconds."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # `find_spec` raises if the parent package is missing
        return False


def check_installed(**modules: str) -> None:
    """Check that modules are installed.

    Args:
        modules: the extra that installs a module, by the module's name.

    Raises:
        MissingExtraError: one is not.
    """
    for module, extra in modules.items():
        if not is_installed(module):
            raise MissingExtraError(module, extra)


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
