"""What a provider's data file (TOML) says: facts, and the limits of its plans.

A file is checked when it is read; an error names the file and the field. All its fields, most
of which may be left out. What is left out is not known, and nothing is guessed in its place:

========================================  ==================================================
``name``                                  the provider, as in ``cerebras/code-max``
``hosts``                                 names of its API's hosts; their subdomains count, too
``prefixes``                              how litellm begins its models' names, without ``/``
``source``, ``date``, ``note``            where the facts stand, when, and how sure they are
``caches_prompts``, ``context_tokens``,   as in `batchwrap.core.provider.Provider`
``usage_in_streams``
``[counting]``                            as in `batchwrap.core.limits.cost.Rule`
``[plans.<name>]``                        a plan
``source``, ``date``, ``note``            where its amounts stand, when, and how sure they are
``scope``                                 ``"model"`` or ``"account"``, see `Plan`
``models``                                patterns of the models that it is for
``caches_prompts``, ``context_tokens``    where the plan differs from its provider
``limits``                                a list of tables with the fields of `Limit`
========================================  ==================================================
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, NoReturn, get_args

from batchwrap.core.limits.cost import Rule
from batchwrap.core.provider import UNKNOWN, Provider
from batchwrap.errors import ConfigError
from batchwrap.options import Limit

Scope = Literal["model", "account"]

_Types = tuple[type, ...]
_WORDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
    dt.date: "a date",
}
_ABOUT: Mapping[str, _Types] = {"source": (str,), "date": (dt.date,), "note": (str,)}
_VARYING: Mapping[str, _Types] = {"caches_prompts": (bool,), "context_tokens": (int,)}
_FACTS: Mapping[str, _Types] = {**_VARYING, "usage_in_streams": (bool,)}
_COUNTING: Mapping[str, _Types] = {field.name: (type(field.default),) for field in fields(Rule)}
_LIMIT: Mapping[str, _Types] = {
    "kind": (str,),
    "amount": (int, float),
    "per_s": (int, float),
    "mode": (str,),
    "burst": (int, float),
    "zone": (str,),
}
_PLAN: Mapping[str, _Types] = {
    **_ABOUT,
    **_VARYING,
    "scope": (str,),
    "models": (list,),
    "limits": (list,),
}
_FILE: Mapping[str, _Types] = {
    **_ABOUT,
    **_FACTS,
    "name": (str,),
    "hosts": (list,),
    "prefixes": (list,),
    "counting": (dict,),
    "plans": (dict,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is known of a plan: its limits, and how its provider behaves.

    Attributes:
        name: as in ``limits="cerebras/code-max"``; empty if there is none.
        provider: facts about the provider, as they are for this plan.
        limits: its limits; a request has to fit all of them.
        scope: ``"model"``: each model has buckets of its own; ``"account"``: all share them.
        models: patterns of the models that the limits are for; empty for all.
        source: where the amounts stand.
        date: when they stood there, or were read there if the source has no date.
        note: how sure they are, and what is not known.
    """

    name: str = ""
    provider: Provider = UNKNOWN
    limits: tuple[Limit, ...] = ()
    scope: Scope = "model"
    models: tuple[str, ...] = ()
    source: str = ""
    date: dt.date | None = None
    note: str = ""

    def covers(self, model: object) -> bool:
        """Whether the limits are for a model, named with or without its provider and path.

        >>> flash = Plan(models=("gemini-*-flash",))
        >>> flash.covers("gemini/gemini-3.5-flash"), flash.covers("gemini-3.5-pro")
        (True, False)
        """
        if not self.models:
            return True
        if not isinstance(model, str):
            return False
        whole = model.lower()
        given = (whole, whole.rpartition("/")[2])
        return any(fnmatchcase(name, pattern.lower()) for name in given for pattern in self.models)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One provider's data file.

    Attributes:
        provider: facts about the provider.
        hosts: names of its API's hosts; their subdomains count, too.
        prefixes: how litellm begins its models' names, without the ``/``.
        plans: its plans by their short names (``code-max``), as they stand in the file.
        source: where the facts stand.
        date: when they were read there.
        note: how sure they are, and what is not known.
    """

    provider: Provider
    hosts: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    plans: Mapping[str, Plan]
    source: str = ""
    date: dt.date | None = None
    note: str = ""


def parse(
    text: str, file: str, *, prefix: str, known: Mapping[str, Provider] | None = None
) -> Sheet:
    """What a file says.

    Args:
        text: its content.
        file: its name, for errors.
        prefix: what the names of its plans begin with.
        known: facts about providers, by name; a file that names one of them goes on from
            its facts.

    Raises:
        ConfigError: the file is no TOML, or a field is unknown or wrong.

    >>> own = 'name = "own"\\n[plans.team]\\nlimits = [{kind = "requests", amount = 10}]'
    >>> parse(own, "own.toml", prefix="own/").plans["team"].name
    'own/team'
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("limits", f"{file} is no TOML: {error}") from error
    at = f"{file}: "
    _check(table, _FILE, at)
    name = table.get("name", "")
    provider = _provider(table, (known or {}).get(name, Provider(name=name)), at)
    plans = table.get("plans", {})
    return Sheet(
        provider=provider,
        hosts=tuple(host.lower() for host in _texts(table, "hosts", at)),
        prefixes=_texts(table, "prefixes", at),
        plans={
            short: _plan(plan, f"{prefix}{short}", provider, f"{at}plans.{short}")
            for short, plan in plans.items()
        },
        **{field: table[field] for field in _ABOUT if field in table},
    )


def _provider(table: Mapping[str, Any], base: Provider, at: str) -> Provider:
    counting = table.get("counting", {})
    _check(counting, _COUNTING, f"{at}counting.")
    return replace(base, rule=replace(base.rule, **counting), **_only(_FACTS, table))


def _plan(table: object, name: str, provider: Provider, at: str) -> Plan:
    if not isinstance(table, dict):
        _refuse(at, f"{table!r} is not {_WORDS[dict]}")
    _check(table, _PLAN, f"{at}.")
    scope = table.get("scope", "model")
    if scope not in get_args(Scope):
        _refuse(f"{at}.scope", f"{scope!r} is not one of {', '.join(map(repr, get_args(Scope)))}")
    if not table.get("limits"):
        _refuse(f"{at}.limits", "a plan has at least one limit")
    return Plan(
        name=name,
        provider=replace(provider, **_only(_VARYING, table)),
        limits=tuple(
            _limit(limit, f"{at}.limits[{index}]") for index, limit in enumerate(table["limits"])
        ),
        scope=scope,
        models=_texts(table, "models", f"{at}."),
        **_only(_ABOUT, table),
    )


def _limit(table: object, at: str) -> Limit:
    if not isinstance(table, dict):
        _refuse(at, f"{table!r} is not {_WORDS[dict]}")
    _check(table, _LIMIT, f"{at}.")
    for needed in ("kind", "amount"):
        if needed not in table:
            _refuse(f"{at}.{needed}", "is missing")
    try:
        return Limit(**table)
    except ConfigError as error:
        raise ConfigError("limits", f"{at}: {error}") from error


def _check(table: Mapping[str, Any], allowed: Mapping[str, _Types], at: str) -> None:
    """Refuse what is no field, and what is of another type (`true` is no number here)."""
    for name, value in table.items():
        if name not in allowed:
            _refuse(f"{at}{name}", f"no such field; there are: {', '.join(sorted(allowed))}")
        if type(value) not in allowed[name]:
            _refuse(f"{at}{name}", f"{value!r} is not {_WORDS[allowed[name][-1]]}")
        if type(value) is int and value < 0:
            _refuse(f"{at}{name}", f"{value} is below 0")


def _texts(table: Mapping[str, Any], name: str, at: str) -> tuple[str, ...]:
    texts = table.get(name, [])
    for text in texts:
        if not isinstance(text, str) or not text:
            _refuse(f"{at}{name}", f"{text!r} is not a text with something in it")
    return tuple(texts)


def _only(names: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: table[name] for name in names if name in table}


def _refuse(at: str, problem: str) -> NoReturn:
    raise ConfigError("limits", f"{at}: {problem}")
