"""Which dialects each family of models uses. Data only.

The dialects of other families are not looked for, so that text about them stays text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from batchwrap.core.repair.leaks import json_markup, special_tokens, tags
from batchwrap.core.repair.leaks.dialect import MarkupDialect


@dataclass(frozen=True, slots=True)
class Family:
    """A family of models.

    Attributes:
        dialects: the markup of its calls.
        residue: marks that its servers leave at the end of the text beside structured calls.
        has_channels: whether it writes reasoning and answer into channels (the harmony format).
    """

    dialects: tuple[MarkupDialect, ...]
    residue: tuple[str, ...] = ()
    has_channels: bool = False


_TAGS = ("<tool_call>", "</tool_call>")
_FUNCTIONS = ("</function>", "</parameter>")
_FAMILIES: tuple[tuple[re.Pattern[str], Family], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), family)
    # The order matters: DeepSeek-R1-Distill-Qwen is a DeepSeek, as the first match says.
    for pattern, family in (
        (
            r"gpt-?oss",
            Family((json_markup.HARMONY, json_markup.HARMONY_STRIPPED), has_channels=True),
        ),
        (
            r"kimi|moonshot",
            Family(
                (special_tokens.KIMI,),
                ("<|tool_calls_section_end|>", "<|tool_calls_section_begin|>"),
            ),
        ),
        (r"glm", Family((tags.GLM,), _TAGS)),
        (
            r"deepseek",
            Family((special_tokens.DEEPSEEK, tags.DSML), special_tokens.DEEPSEEK_ENDS),
        ),
        (
            r"minimax",
            Family((tags.MINIMAX, tags.MINIMAX_M3), ("</minimax:tool_call>",)),
        ),
        (
            r"mi(s|x|nis)tral|(dev|code|magi)stral|pixtral",
            Family((json_markup.MISTRAL,), ("[TOOL_CALLS]",)),
        ),
        (
            r"qwen|qwq|hermes|tongyi",
            Family((json_markup.HERMES, tags.QWEN), (*_TAGS, *_FUNCTIONS)),
        ),
        (
            r"llama",
            Family(
                (json_markup.LLAMA, json_markup.LLAMA_TAG, json_markup.BARE_OBJECT),
                ("<|python_tag|>",),
            ),
        ),
    )
)
# The name of the model says nothing: only marks that cannot mean anything else.
UNKNOWN = Family(
    (
        json_markup.HERMES,
        tags.QWEN,
        tags.MINIMAX,
        tags.DSML,
        special_tokens.KIMI,
        special_tokens.DEEPSEEK,
    )
)

# Their chat templates end with ``<think>``, so the answer holds only the closing tag.
# https://github.com/anomalyco/opencode/issues/43770
_PREFILLS = re.compile(r"glm-?(?:4\.[5-9]|5)|deepseek-?r1|qwq|thinking", re.IGNORECASE)


def prefills_think(model: object) -> bool:
    """Whether a model's template opens the reasoning block, so only its end is in the answer."""
    return isinstance(model, str) and _PREFILLS.search(model) is not None


def family_of(model: object) -> Family:
    """The family of a model by its name."""
    return _family_of(model) if isinstance(model, str) else UNKNOWN


@lru_cache(maxsize=256)
def _family_of(model: str) -> Family:
    return next((family for pattern, family in _FAMILIES if pattern.search(model)), UNKNOWN)


MARKERS = tuple(
    dict.fromkeys(
        marker
        for _, family in _FAMILIES
        for dialect in family.dialects
        if not dialect.whole
        for marker in dialect.markers
    )
)
