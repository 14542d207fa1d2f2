"""Estimates the prompt tokens of chat requests before they are sent.

Each request contains the whole conversation again, so the counts of texts are remembered. The raw
estimate comes from the texts alone; calibration corrects it by the usage that providers report. It
learns from raw estimates, so that it never learns from its own corrections.
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
    """The bundled encoding for a model: cl100k for GPT-4 and 3.5, o200k for all others."""
    return "cl100k_base" if _CL100K.match(_bare(model)) else "o200k_base"


def _bare(model: object) -> str:
    """A model's own name, without prefixes of routers and owners, and of fine-tuning."""
    return str(model).lower().rsplit("/", 1)[-1].removeprefix("ft:")


class Estimator:
    """Estimates prompt tokens, in tokens of the model that the request names.

    All methods are thread-safe, and none fails, whatever the body is.

    Args:
        encoding: the encoding for all models; None chooses it by the model's name.
    """

    def __init__(self, encoding: EncodingName | None = None) -> None:
        self._encoding = encoding
        self._counts = {name: Counts(name) for name in get_args(EncodingName)}
        self._calibration = Calibration()

    def __call__(self, body: chat.Body) -> int:
        """The prompt's tokens, including tools, corrected by the model's answers so far."""
        return self.calibrated(body.get("model"), self.raw(body))

    def raw(self, body: chat.Body) -> int:
        """The estimate without calibration, which `calibrate` takes later."""
        model = _bare(body.get("model"))
        counts = self._counts[self._encoding or encoding_of(model)]
        messages, texts = body.get("messages"), list[str]()
        listed = messages if isinstance(messages, list) else ()
        tokens = sum([read_message(message, model, texts) for message in listed])
        return tokens + counts.total(texts) + _schemas(body, model, counts)

    def calibrated(self, model: object, raw: int) -> int:
        """A raw estimate, corrected by the usage in the model's answers so far."""
        return self._calibration.apply(str(model), raw)

    def most(self, model: object, raw: int) -> int:
        """The corrected estimate plus a margin for the errors of this model's estimates."""
        return self._calibration.most(str(model), raw)

    def calibrate(self, model: object, raw: int, real: int) -> None:
        """Learn from an answer.

        Args:
            model: as the request named it.
            raw: the result of `raw` for the request's body.
            real: its `prompt_tokens` as reported by the provider, including cached ones.
        """
        self._calibration.learn(str(model), raw, real)


def _schemas(body: chat.Body, model: str, counts: Counts) -> int:
    tools, answer_format = body.get("tools"), body.get("response_format")
    if not tools and not answer_format:
        return 0
    typescript = bool(_OPENAI.match(model))
    key = hash((fingerprint([tools, answer_format]), typescript))
    return counts.of(key, lambda: shown(tools, answer_format, typescript=typescript))
