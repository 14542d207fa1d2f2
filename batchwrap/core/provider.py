"""The facts about a provider that are known before its first answer.

These are values only. They come from data files, one for each provider, which are read outside the
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
    """What a server accepts in a request. The defaults are accepted by every server.

    Attributes:
        developer: accepts the role "developer".
        null_content: accepts null as the content beside calls.
        empty_content: accepts an empty text as the content beside calls.
        refused: fields of a request that it refuses, and that do not change the answer.
        refused_of_messages: fields of messages that it refuses, likewise.
        reasoning: what is done with `reasoning_content` in the history: ``"keep"``, ``"drop"``,
            or ``"want"`` (it is required beside calls).
        max_field: the name of the field that limits the output; None if it accepts both.
        strict_mixed: accepts tools of which only some are strict.
        ids: the form of call ids: ``"mistral"`` (nine alphanumerics), or ``"any"``.
        alternates: its template requires user and assistant messages to alternate.
        system_first: its template accepts a system message only at the beginning.
        single_calls: accepts only one call in each assistant message.
        stream_options: accepts `stream_options`.
        reserves_output: charges the output in advance, so a request that asks for much output
            waits longer. Such a request is reported, and may be capped.
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
    """The facts about one provider; unknown ones are None.

    Attributes:
        name: the name of its data file; empty for an unknown provider.
        rule: how it counts.
        caches_prompts: whether it caches prompts.
        context_tokens: the size of its models' context window.
        usage_in_streams: whether streams report usage if ``stream_options`` asks for it.
        signals: how to read what its headers and refusals say about limits.
        requests: what it accepts in a request.
        telemetry_name: its name in OpenTelemetry's conventions, if that differs.
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
