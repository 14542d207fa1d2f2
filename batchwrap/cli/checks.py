"""The checks of options that several commands have in common."""

from __future__ import annotations

import os
from pathlib import Path

from batchwrap.errors import ConfigError


def api_key(base_url: str, model: str | None, api_key_env: str | None) -> str:
    """The key for a real endpoint.

    Raises:
        ConfigError: the address is none, or another option is missing or wrong.
    """
    check_base_url(base_url)
    if model is None or api_key_env is None:
        raise ConfigError("--base-url", "needs --model and --api-key-env, too")
    key = os.environ.get(api_key_env)
    if not key:
        raise ConfigError("--api-key-env", f"the environment variable {api_key_env} is not set")
    return key


def check_base_url(base_url: str) -> None:
    """Refuse what is no address of a web server.

    Raises:
        ConfigError: it is none.
    """
    if not base_url.startswith(("http://", "https://")):
        raise ConfigError("--base-url", f"{base_url!r} does not begin with http:// or https://")


def check_limits(limits: str | None) -> str:
    """The limits that a wrapped client keeps: ``"auto"``, or a preset that exists.

    Raises:
        ConfigError: there is no such preset.
    """
    from batchwrap.throttle.presets import plan

    if limits not in (None, "auto"):
        plan(limits)
    return limits or "auto"


def check_file(option: str, path: Path) -> None:
    """Fail before anything is run, not after it, where a file cannot be written.

    Raises:
        ConfigError: it is a folder, or its folder does not exist.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigError(option, f"{path} cannot be a file: its folder has to exist")
