"""What is known of the provider that a request goes to, before it has said anything.

Values alone: the data files that they come from, one for each provider, are read outside of the
core (`batchwrap.providers`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from batchwrap.core.limits.cost import Rule
from batchwrap.core.limits.signals import LimitSignals

ReasoningRule = Literal["keep", "drop", "want"]
CallIds = Literal["any", "mistral"]
OutputField = Literal["max_tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRules:
    """What a server takes in a request; the defaults are what all of them take.

    Attributes:
        developer: takes the role "developer".
        null_content: takes null as the content beside calls.
        empty_content: takes an empty text there.
        refused: fields of a request that it refuses, and that do not change the answer.
        refused_of_messages: the same for fields of messages.
        reasoning: what becomes of `reasoning_content` in the history: ``"keep"``, ``"drop"``,
            ``"want"`` (it must be there beside calls).
        max_field: the name of the field for the most output tokens; None: either.
        strict_mixed: takes tools of which only some are strict.
        ids: the form of call ids: ``"mistral"`` (nine alphanumerics), ``"any"``.
        alternates: users and assistants take turns, in its template.
        system_first: its template takes a system message at the beginning only.
        single_calls: takes one call in each assistant message.
        stream_options: takes `stream_options`.
        reserves_output: a request that asks for much output is slowed down by it, since it is
            charged in advance: such a request is reported, and may be capped.
    """

    developer: bool = True
    null_content: bool = True
    empty_content: bool = True
    refused: frozenset[str] = frozenset()
    refused_of_messages: frozenset[str] = frozenset()
    reasoning: ReasoningRule = "keep"
    max_field: OutputField | None = None
    strict_mixed: bool = True
    ids: CallIds = "any"
    alternates: bool = False
    system_first: bool = False
    single_calls: bool = False
    stream_options: bool = True
    reserves_output: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Facts about one provider; None where nobody knows.

    Attributes:
        name: as its data file is named; empty for one that is not known.
        rule: how it counts.
        caches_prompts: whether a repeated prompt is cheaper there.
        context_tokens: size of its models' context window.
        usage_in_streams: whether streams report usage if ``stream_options`` ask for it.
        signals: how it tells of its limits: in headers and in refusals.
        requests: what it takes in a request.
        telemetry_name: its name in the conventions of OpenTelemetry, where that is another.
    """

    name: str = ""
    rule: Rule = field(default_factory=Rule)
    caches_prompts: bool | None = None
    context_tokens: int | None = None
    usage_in_streams: bool | None = None
    signals: LimitSignals = field(default_factory=LimitSignals)
    requests: RequestRules = field(default_factory=RequestRules)
    telemetry_name: str = ""


UNKNOWN = Provider()
