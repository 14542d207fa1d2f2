"""The format of a provider's data file (TOML): facts, and the limits of its plans.

A file is checked when it is read; an error names the file and the field. Most fields may be left
out. What is left out counts as unknown, and nothing is guessed instead. All fields:

========================================  ==================================================
``name``                                  the provider, as in ``cerebras/code-max``
``hosts``                                 names of its API's hosts; their subdomains count, too
``prefixes``                              how litellm begins its models' names, without ``/``
``caches_prompts``, ``context_tokens``,   as in `batchwrap.core.provider.Provider`
``usage_in_streams``
``[counting]``                            as in `batchwrap.core.limits.cost.Rule`
``[headers]``                             as in `batchwrap.core.limits.headers.HeaderRules`
``[[refusals]]``                          as in `batchwrap.core.limits.matchers.Matcher`
``[clock]``                               the zone of times in messages that name none:
``utc_offset_s``                          seconds east of UTC
``[requests]``                            as in `batchwrap.core.provider.RequestRules`
``[telemetry]``                           its name in the conventions of OpenTelemetry, as in
``provider_name``                         ``gen_ai.provider.name``, where that is another
``[plans.<name>]``                        a plan
``scope``                                 ``"model"`` or ``"account"``, see `Plan`
``models``                                patterns of the models that it is for
``caches_prompts``, ``context_tokens``    where the plan differs from its provider
``limits``                                a list of tables with the fields of `Limit`
========================================  ==================================================

The file and each of these tables have ``source``, ``date`` and ``note``: the source of the facts,
its date, and how certain they are. A table without them has those of the file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from batchwrap.core.limits.cost import Rule
from batchwrap.core.limits.headers import HeaderRules
from batchwrap.core.limits.matchers import Matcher
from batchwrap.core.limits.signals import LimitSignals
from batchwrap.core.provider import UNKNOWN, Provider, RequestRules
from batchwrap.errors import ConfigError
from batchwrap.options import Limit
from batchwrap.providers.fields import Annotations, annotations_of, checked, made, refuse
from batchwrap.toml_text import parsed

Scope = Literal["model", "account"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The source of the facts in a table.

    Attributes:
        source: an address, or the person or organisation that says so.
        date: the date of the source, or the day on which it was read if it has none.
        note: how certain the facts are, and what is unknown.
    """

    source: str = ""
    date: dt.date | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The facts about a plan: its limits, and how its provider behaves.

    Attributes:
        name: as in ``limits="cerebras/code-max"``; empty if there is none.
        provider: the facts about the provider, as they are for this plan.
        limits: its limits; a request must fit all of them.
        scope: ``"model"`` if each model has its own buckets; ``"account"`` if all share them.
        models: patterns for the models that the limits are for; empty for all.
        source: the source of the amounts.
        date: the date of the source, or the day on which it was read if it has none.
        note: how certain the amounts are, and what is unknown.
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
class ProviderFile:
    """One provider's data file.

    Attributes:
        provider: the facts about the provider.
        hosts: the names of its API's hosts, which include their subdomains.
        prefixes: the prefixes of its models' names in litellm, without the ``/``.
        plans: its plans by their short names (``code-max``), in the order of the file.
        source: the source of the facts.
        date: the day on which they were read there.
        note: how certain they are, and what is unknown.
        sources: the sources of tables that have their own, by the tables' names; tables in a
            list have a number: ``refusals[0]``.
    """

    provider: Provider
    hosts: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    plans: Mapping[str, Plan]
    source: str = ""
    date: dt.date | None = None
    note: str = ""
    sources: Mapping[str, Source] = field(default_factory=dict)


# The fields of the tables that have no dataclass of their own.
_VARYING: Annotations = {"caches_prompts": bool, "context_tokens": int}
_FACTS: Annotations = {**_VARYING, "usage_in_streams": bool}
_CLOCK: Annotations = {"utc_offset_s": float}
_TELEMETRY: Annotations = {"provider_name": str}
_PLAN: Annotations = {
    **annotations_of(Source),
    **_VARYING,
    "scope": Scope,
    "models": tuple[str, ...],
    "limits": list,
}
_FILE: Annotations = {
    **annotations_of(Source),
    **_FACTS,
    "name": str,
    "hosts": tuple[str, ...],
    "prefixes": tuple[str, ...],
    "refusals": list,
    **dict.fromkeys(("counting", "headers", "clock", "requests", "telemetry", "plans"), dict),
}


def parse(
    text: str, file: str, *, prefix: str, known: Mapping[str, Provider] | None = None
) -> ProviderFile:
    """Parse a data file.

    Args:
        text: its content.
        file: its name, for errors.
        prefix: the prefix of the names of its plans.
        known: the facts about known providers by name; a file that names one of them extends
            its facts.

    Raises:
        ConfigError: the file is not TOML, or a field is unknown or wrong.

    >>> own = 'name = "own"\\n[plans.team]\\nlimits = [{kind = "requests", amount = 10}]'
    >>> parse(own, "own.toml", prefix="own/").plans["team"].name
    'own/team'
    """
    try:
        table = parsed(text)
    except ValueError as error:
        raise ConfigError("limits", f"{file} is no TOML: {error}") from error
    return _File(table, file, known or {}).read(prefix)


class _File:
    """A file that is being read; it collects the sources of its tables."""

    def __init__(self, table: object, file: str, known: Mapping[str, Provider]) -> None:
        self._at = f"{file}: "
        self._table = checked(table, _FILE, self._at)
        name = self._table.get("name", "")
        self._base = known.get(name, Provider(name=name))
        self._sources: dict[str, Source] = {}

    def read(self, prefix: str) -> ProviderFile:
        """The parsed file."""
        provider = self._provider()
        plans = self._table.get("plans", {})
        return ProviderFile(
            provider=provider,
            hosts=tuple(host.lower() for host in self._table.get("hosts", ())),
            prefixes=self._table.get("prefixes", ()),
            plans={
                short: _plan(plan, f"{prefix}{short}", provider, f"{self._at}plans.{short}")
                for short, plan in plans.items()
            },
            sources=self._sources,
            **_only(annotations_of(Source), self._table),
        )

    def _provider(self) -> Provider:
        """The provider's facts, on top of those that are known already."""
        base, before = self._base, self._base.signals
        headers = self._facts("headers", annotations_of(HeaderRules))
        clock = self._facts("clock", _CLOCK)
        telemetry = self._facts("telemetry", _TELEMETRY)
        refusals = self._table.get("refusals", ())
        return replace(
            base,
            rule=replace(base.rule, **self._facts("counting", annotations_of(Rule))),
            signals=LimitSignals(
                headers=made(lambda: replace(before.headers, **headers), f"{self._at}headers"),
                # The file's own matchers come first, so they win over those that it extends.
                refusals=(*map(self._refusal, range(len(refusals))), *before.refusals),
                utc_offset_s=clock.get("utc_offset_s", before.utc_offset_s),
            ),
            requests=replace(
                base.requests, **self._facts("requests", annotations_of(RequestRules))
            ),
            telemetry_name=telemetry.get("provider_name", base.telemetry_name),
            **_only(_FACTS, self._table),
        )

    def _refusal(self, index: int) -> Matcher:
        name = f"refusals[{index}]"
        at = f"{self._at}{name}"
        facts = self._sourced(
            name, self._table["refusals"][index], annotations_of(Matcher), ("kind",)
        )
        if not any(facts.get(name) for name in ("status", "code", "text")):  # it would match all
            refuse(at, "has neither a status nor a code nor a text")
        return made(lambda: Matcher(**facts), at)

    def _facts(self, name: str, allowed: Annotations) -> dict[str, Any]:
        return self._sourced(name, self._table.get(name, {}), allowed)

    def _sourced(
        self, name: str, table: object, allowed: Annotations, needed: Iterable[str] = ()
    ) -> dict[str, Any]:
        """The facts of a table without its source, which is recorded under the table's name."""
        said = annotations_of(Source)
        found = checked(table, {**said, **allowed}, f"{self._at}{name}", needed=needed)
        if about := _only(said, found):
            self._sources[name] = Source(**about)
        return _only(allowed, found)


def _plan(table: object, name: str, provider: Provider, at: str) -> Plan:
    facts = checked(table, _PLAN, at)
    if not facts.get("limits"):
        refuse(f"{at}.limits", "a plan has at least one limit")
    return Plan(
        name=name,
        provider=replace(provider, **_only(_VARYING, facts)),
        limits=tuple(
            _limit(limit, f"{at}.limits[{index}]") for index, limit in enumerate(facts["limits"])
        ),
        **_only(("scope", "models", *annotations_of(Source)), facts),
    )


def _limit(table: object, at: str) -> Limit:
    facts = checked(table, annotations_of(Limit), at, needed=("kind", "amount"))
    return made(lambda: Limit(**facts), at)


def _only(names: Iterable[str], table: Mapping[str, Any]) -> dict[str, Any]:
    return {name: table[name] for name in names if name in table}
