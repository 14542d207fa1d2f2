"""Finds facts: a plan by its name, a provider by its host or by the name of a model.

Each file is read when it is first needed, and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from batchwrap._forks import LOADING
from batchwrap.checks import nearest
from batchwrap.core.provider import UNKNOWN, Provider, RequestRules
from batchwrap.core.repair.request.servers import SERVERS
from batchwrap.errors import ConfigError
from batchwrap.providers.file_format import Plan, ProviderFile, parse

_SUFFIX = ".toml"
_MOST_LISTED = 20


def plan(name: str) -> Plan:
    """A plan by its name: ``"cerebras/code-max"``, or ``"path/to/own.toml#plan"`` for your own.

    A file of your own has the same format; most fields may be left out. If it names a known
    provider, it extends that provider's facts.

    Raises:
        ConfigError: the plan does not exist (the message names the most similar one), or the file
            is wrong.
    """
    where, short = split_plan_name(name)
    known = where.endswith(_SUFFIX) or where in _files()
    plans = provider_file(where).plans if known else {}
    if short not in plans:
        there = [plan.name for plan in plans.values()] if known else plan_names()
        raise ConfigError("limits", f"no plan {name!r}; {_there(name, there)}")
    return plans[short]


def provider_of(host: str | None = None, model: object = None) -> Provider:
    """The provider that a request goes to.

    Args:
        host: the name of the host; None if it is unknown. A known host alone decides, since
            ``openai/…`` can be the name of a model at any host.
        model: the name of the model, as litellm writes it: ``"cerebras/gpt-oss-120b"``.

    Returns:
        The facts about it; `UNKNOWN` if it has no file.

    >>> provider_of("api.cerebras.ai").name, provider_of(model="groq/gpt-oss-20b").name
    ('cerebras', 'groq')
    """
    if host is not None:
        domain = host.lower().partition(":")[0].rstrip(".")
        while domain and domain not in _by_host():  # a subdomain belongs to the same provider
            domain = domain.partition(".")[2]
        return _by_host().get(domain, UNKNOWN)
    prefix, slash, _ = model.partition("/") if isinstance(model, str) else ("", "", "")
    return _by_prefix().get(prefix, UNKNOWN) if slash else UNKNOWN


def provider_named(name: str) -> Provider:
    """A provider by the name of its data file; `UNKNOWN` if it has none."""
    return _shipped(name).provider if name in _files() else UNKNOWN


def rules_named(name: str) -> RequestRules:
    """The rules for requests, by the name of a provider or of a kind of server.

    Returns:
        The rules; those that every server accepts for an unknown name.

    >>> rules_named("mistral").ids, rules_named("strict-template").system_first
    ('mistral', True)
    """
    if name in SERVERS:
        return SERVERS[name]
    return provider_named(name).requests


def plan_names() -> list[str]:
    """The names of all plans, sorted."""
    return sorted(plan.name for file in provider_files() for plan in file.plans.values())


def provider_files() -> list[ProviderFile]:
    """All providers' data files, by name."""
    return [_shipped(name) for name in sorted(_files())]


def provider_file(name: str) -> ProviderFile:
    """One data file: a provider's, by its name, or your own, by a path that ends with ``.toml``.

    Raises:
        ConfigError: the provider does not exist, or the file is wrong.
    """
    if name.endswith(_SUFFIX):
        known = {file.provider.name: file.provider for file in provider_files()}
        return parse(_text(Path(name)), name, prefix=f"{name}#", known=known)
    if name not in _files():
        if plans := [plan for plan in plan_names() if plan.endswith(f"/{name}")]:
            raise ConfigError("limits", f"no provider {name!r}; did you mean {plans[0]!r}?")
        raise ConfigError("limits", f"no provider {name!r}; {_there(name, sorted(_files()))}")
    return _shipped(name)


def split_plan_name(name: str) -> tuple[str, str]:
    """The parts of a plan's name: the provider or the file, and the plan; it may be empty.

    >>> split_plan_name("cerebras/code-max"), split_plan_name("limits/own.toml#team")
    (('cerebras', 'code-max'), ('limits/own.toml', 'team'))
    >>> split_plan_name("limits/own.toml")
    ('limits/own.toml', '')
    """
    file, mark, short = name.rpartition("#")
    if mark and file.endswith(_SUFFIX):
        return file, short
    if name.endswith(_SUFFIX):
        return name, ""
    provider, _, short = name.partition("/")
    return provider, short


def _there(name: str, names: Sequence[str]) -> str:
    """What there is instead of a name: a short list, or the command that has it; the nearest."""
    if len(names) > _MOST_LISTED:
        return f"batchwrap limits shows all {len(names)}{nearest(name, names)}"
    listed = f"there are: {', '.join(names) or 'none'}"
    return listed + (nearest(name, names) if len(names) > 1 else "")


def _text(file: Traversable) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError("limits", f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError("limits", f"{file} cannot be read: {error}") from error


@cache
def _files() -> dict[str, Traversable]:
    with LOADING:
        files = list(resources.files(__package__).iterdir())
    return {file.name.removesuffix(_SUFFIX): file for file in files if file.name.endswith(_SUFFIX)}


@cache
def _shipped(name: str) -> ProviderFile:
    file = _files()[name]
    with LOADING:  # a fork waits until the read is done
        return parse(_text(file), file.name, prefix=f"{name}/")


@cache
def _by_host() -> dict[str, Provider]:
    return {host: file.provider for file in provider_files() for host in file.hosts}


@cache
def _by_prefix() -> dict[str, Provider]:
    return {prefix: file.provider for file in provider_files() for prefix in file.prefixes}
