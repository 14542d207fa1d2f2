"""What providers want of a request: data only.

A profile is a set of rules by name; `mend` knows what each one does. Names of hosts and of
templates (what self-hosted servers apply) stand side by side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The rules of one provider.

    Attributes:
        developer: takes the role "developer".
        null_content: takes null as the content beside calls.
        empty_content: takes an empty text there.
        refused: fields of a request that it refuses, and that do not change the answer.
        refused_of_messages: the same for fields of messages.
        reasoning: what becomes of `reasoning_content` in the history: ``"keep"``, ``"drop"``,
            ``"rename"`` (to `reasoning`), ``"want"`` (it must be there beside calls).
        max_field: the name of the field for the most output tokens; None: either.
        strict_mixed: takes tools of which only some are strict.
        ids: the form of call ids: ``"mistral"`` (nine alphanumerics), ``"any"``.
        alternates: users and assistants take turns, in its template.
        system_first: its template takes a system message at the beginning only.
        single_calls: takes one call in each assistant message.
        stream_options: takes `stream_options`.
        reserves_output: charges the most output tokens against the rate in advance.
    """

    developer: bool = True
    null_content: bool = True
    empty_content: bool = True
    refused: frozenset[str] = frozenset()
    refused_of_messages: frozenset[str] = frozenset()
    reasoning: str = "keep"
    max_field: str | None = None
    strict_mixed: bool = True
    ids: str = "any"
    alternates: bool = False
    system_first: bool = False
    single_calls: bool = False
    stream_options: bool = True
    reserves_output: bool = False


ANY = Profile()
MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")
_OPENAI_ONLY = frozenset({"store", "metadata"})
PROFILES: Mapping[str, Profile] = {
    "any": ANY,
    "cerebras": Profile(
        developer=False,
        refused=_OPENAI_ONLY,
        reasoning="drop",
        strict_mixed=False,
        reserves_output=True,
    ),
    "groq": Profile(refused=_OPENAI_ONLY, refused_of_messages=frozenset({"reasoning_content"})),
    "mistral": Profile(
        developer=False,
        refused=_OPENAI_ONLY | {"stream_options"},
        max_field="max_tokens",
        ids="mistral",
    ),
    "deepseek": Profile(developer=False, reasoning="want"),
    "kimi-k2": Profile(developer=False),
    "moonshot": Profile(developer=False),
    "no-developer-role": Profile(developer=False),
    "bedrock": Profile(empty_content=False),
    "no-null-content": Profile(null_content=False),
    "no-stream-options": Profile(stream_options=False),
    "max_tokens-only": Profile(max_field="max_tokens"),
    "strict-template": Profile(developer=False, system_first=True),
    "strict-alternation": Profile(alternates=True),
    "single-call": Profile(single_calls=True),
}


def profile_of(name: str | None) -> Profile:
    """The rules of a provider; those that all have for a name that nobody knows."""
    return PROFILES.get(name or "any", ANY)
