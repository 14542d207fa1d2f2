"""Limits of providers' plans, as dated data files: `<provider>.toml` beside this module."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any

from batchwrap.core.provider import UNKNOWN, Provider
from batchwrap.errors import ConfigError
from batchwrap.options import Limit


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of a plan: its limits, and how its provider behaves."""

    limits: tuple[Limit, ...] = ()
    provider: Provider = UNKNOWN


def preset(name: str) -> Plan:
    """A plan, named ``"provider/plan"``.

    Raises:
        ConfigError: no such preset; the message lists those that there are.
    """
    provider, _, plan = name.partition("/")
    plans = _read().get(provider, {})
    if plan not in plans:
        raise ConfigError("limits", f"no preset {name!r}; there are: {', '.join(names())}")
    found = plans[plan]
    facts = {field.name: found.get(field.name) for field in fields(Provider)}
    return Plan(tuple(Limit(**limit) for limit in found["limits"]), Provider(**facts))


def names() -> list[str]:
    """The names of all presets, sorted."""
    return sorted(f"{provider}/{plan}" for provider, plans in _read().items() for plan in plans)


def _read() -> dict[str, dict[str, Any]]:
    files = [file for file in resources.files(__package__).iterdir() if file.name.endswith(".toml")]
    return {
        file.name.removesuffix(".toml"): tomllib.loads(file.read_text(encoding="utf-8"))
        for file in files
    }
