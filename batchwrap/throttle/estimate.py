"""Estimating the prompt tokens of chat requests before they are sent.

Each request brings the whole conversation again; a text that was counted is not counted
again. The raw estimate comes from the texts alone; calibration corrects it by the usage
that providers reported, and is taught with the raw one, so that it never feeds on itself.
"""

from __future__ import annotations

import re
from typing import get_args

from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats import chat
from batchwrap.encodings import EncodingName
from batchwrap.throttle.tokens.calibration import Calibration
from batchwrap.throttle.tokens.counting import Counts
from batchwrap.throttle.tokens.message_tokens import read_message
from batchwrap.throttle.tokens.schemas import shown

_CL100K = re.compile(r"gpt-4(?![.o])|gpt-3\.?5|text-embedding")
_OPENAI = re.compile(r"gpt-|chatgpt|codex|o\d")


def encoding_of(model: object) -> EncodingName:
    """The bundled table for a model: cl100k for GPT-4 and 3.5, o200k for everything else."""
    return "cl100k_base" if _CL100K.match(_bare(model)) else "o200k_base"


def _bare(model: object) -> str:
    """A model's own name, without routers and owners in front, or the mark of fine-tuning."""
    return str(model).lower().rsplit("/", 1)[-1].removeprefix("ft:")


class Estimator:
    """Estimates prompt tokens, in tokens of the model that the request names.

    All methods may be called by several threads at once, and no body makes them fail.

    Args:
        encoding: the table to count with, for all models; chosen by the model's name if None.
    """

    def __init__(self, encoding: EncodingName | None = None) -> None:
        self._encoding = encoding
        self._counts = {name: Counts(name) for name in get_args(EncodingName)}
        self._calibration = Calibration()

    def __call__(self, body: chat.Body) -> int:
        """The prompt's tokens, tools included, as the model's answers so far suggest."""
        return self.calibrated(body.get("model"), self.raw(body))

    def raw(self, body: chat.Body) -> int:
        """The same without calibration: what `calibrate` wants to be told later."""
        model = _bare(body.get("model"))
        counts = self._counts[self._encoding or encoding_of(model)]
        messages, texts = body.get("messages"), list[str]()
        listed = messages if isinstance(messages, list) else ()
        tokens = sum([read_message(message, model, texts) for message in listed])
        return tokens + counts.total(texts) + _schemas(body, model, counts)

    def calibrated(self, model: object, raw: int) -> int:
        """A raw estimate corrected by what the model's answers so far have shown."""
        return self._calibration.apply(str(model), raw)

    def most(self, model: object, raw: int) -> int:
        """The same with a margin for what estimates of this model have been off by."""
        return self._calibration.most(str(model), raw)

    def calibrate(self, model: object, raw: int, real: int) -> None:
        """Learn from an answer.

        Args:
            model: as the request named it.
            raw: what `raw` gave for the body that was answered.
            real: its `prompt_tokens` as the provider reported them, cached ones included.
        """
        self._calibration.learn(str(model), raw, real)


def _schemas(body: chat.Body, model: str, counts: Counts) -> int:
    tools, answer_format = body.get("tools"), body.get("response_format")
    if not tools and not answer_format:
        return 0
    typescript = bool(_OPENAI.match(model))
    key = hash((fingerprint([tools, answer_format]), typescript))
    return counts.of(key, lambda: shown(tools, answer_format, typescript=typescript))
