"""Presets: what is known of providers and their plans, as dated data files beside this module.

`<provider>.toml` has the facts of one provider (see `format.py`). Where it is not known how a
limit is refilled, the files say it so: a limit for a minute or less looks back ("rolling"),
which is never too much whatever the provider does, and costs seconds at most; a limit for a
day refills all the time ("continuous"), since a boundary that is guessed wrong would cost
hours. Amounts without a source are not in here.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from batchwrap._forks import LOADING
from batchwrap.core.provider import UNKNOWN, Provider
from batchwrap.errors import ConfigError
from batchwrap.throttle.presets.format import Plan, Sheet, parse

__all__ = ["Plan", "Sheet", "names", "plan", "provider_of", "sheet", "sheets", "split"]

_SUFFIX = ".toml"


def plan(name: str) -> Plan:
    """A plan by its name: ``"cerebras/code-max"``, or ``"path/to/own.toml#plan"`` for your own.

    A file of your own has the format of those in here; most fields may be left out. If it
    names a provider of those in here, it goes on from that provider's facts.

    Raises:
        ConfigError: no such plan (the message lists those that there are, the nearest name
            first), or something is wrong with the file.
    """
    where, short = split(name)
    own = where.endswith(_SUFFIX)
    plans = sheet(where).plans if own or where in _files() else {}
    if short not in plans:
        there = [plan.name for plan in plans.values()] if own else names()
        raise ConfigError("limits", f"no preset {name!r}; there are: {_nearest(name, there)}")
    return plans[short]


def provider_of(host: str | None = None, model: object = None) -> Provider:
    """The provider that a request goes to.

    Args:
        host: name of the host, if it is known. It alone decides then: ``openai/…`` can be
            the name of a model at any host.
        model: name of the model, as litellm writes it: ``"cerebras/gpt-oss-120b"``.

    Returns:
        Facts about it; `UNKNOWN` if nobody knows it.

    >>> provider_of("api.cerebras.ai").name, provider_of(model="groq/gpt-oss-20b").name
    ('cerebras', 'groq')
    """
    if host is not None:
        domain = host.lower().partition(":")[0].rstrip(".")
        while domain and domain not in _by_host():
            domain = domain.partition(".")[2]
        return _by_host().get(domain, UNKNOWN)
    prefix, slash, _ = model.partition("/") if isinstance(model, str) else ("", "", "")
    return _by_prefix().get(prefix, UNKNOWN) if slash else UNKNOWN


def names() -> list[str]:
    """The names of all plans, sorted."""
    return sorted(plan.name for sheet in sheets() for plan in sheet.plans.values())


def sheets() -> list[Sheet]:
    """All providers' data files, by name."""
    return [_shipped(name) for name in sorted(_files())]


def sheet(name: str) -> Sheet:
    """One data file: a provider's, by its name, or your own, by a path that ends in ``.toml``.

    Raises:
        ConfigError: no such provider, or something is wrong with the file.
    """
    if name.endswith(_SUFFIX):
        known = {sheet.provider.name: sheet.provider for sheet in sheets()}
        return parse(_text(Path(name)), name, prefix=f"{name}#", known=known)
    if name not in _files():
        there = _nearest(name, _files())
        raise ConfigError("limits", f"no provider {name!r}; there are: {there}")
    return _shipped(name)


def split(name: str) -> tuple[str, str]:
    """The parts of a plan's name: the provider or the file, and the plan, empty if none is named.

    >>> split("cerebras/code-max"), split("limits/own.toml#team"), split("limits/own.toml")
    (('cerebras', 'code-max'), ('limits/own.toml', 'team'), ('limits/own.toml', ''))
    """
    file, mark, short = name.rpartition("#")
    if mark and file.endswith(_SUFFIX):
        return file, short
    if name.endswith(_SUFFIX):
        return name, ""
    provider, _, short = name.partition("/")
    return provider, short


def _nearest(name: str, there: Iterable[str]) -> str:
    """All names in one line, the most similar one first."""
    found = list(there)
    return ", ".join(get_close_matches(name, found, n=max(1, len(found)), cutoff=0.0)) or "none"


def _text(file: Traversable) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError("limits", f"{file} cannot be read: {error}") from error


@cache
def _files() -> dict[str, Traversable]:
    with LOADING:
        files = list(resources.files(__package__).iterdir())
    return {file.name.removesuffix(_SUFFIX): file for file in files if file.name.endswith(_SUFFIX)}


@cache
def _shipped(name: str) -> Sheet:
    file = _files()[name]
    with LOADING:
        return parse(_text(file), file.name, prefix=f"{name}/")


@cache
def _by_host() -> dict[str, Provider]:
    return {host: sheet.provider for sheet in sheets() for host in sheet.hosts}


@cache
def _by_prefix() -> dict[str, Provider]:
    return {prefix: sheet.provider for sheet in sheets() for prefix in sheet.prefixes}
