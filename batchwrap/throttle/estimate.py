"""Counting the tokens of a request before it is sent, each text once."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

import orjson

from batchwrap.core import chat
from batchwrap.throttle.encodings import EncodingName, load

# Role, separators and the like, for each message (OpenAI's cookbook counts 3 to 4).
_TOKENS_PER_MESSAGE = 4
# An image whose size is not known: OpenAI's "high" detail of a 1024 x 1024 picture.
_TOKENS_PER_IMAGE = 765
_MOST_TEXTS = 8_192


def encoding_of(model: object) -> EncodingName:
    """The bundled table for a model: cl100k for GPT-4 and 3.5, o200k for everything else."""
    name = str(model).rsplit("/", 1)[-1]
    old = name.startswith(("gpt-4", "gpt-3.5", "gpt-35", "text-embedding"))
    return "cl100k_base" if old and not name.startswith(("gpt-4o", "gpt-4.")) else "o200k_base"


class Estimator:
    """Prompt tokens of chat requests. A text that was counted is not counted again."""

    def __init__(self) -> None:
        self._counted: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._lock = Lock()

    def __call__(self, body: chat.Body) -> int:
        """Estimated prompt tokens of a request body, its tools included."""
        encoding = encoding_of(body.get("model"))
        messages = body.get("messages")
        listed = messages if isinstance(messages, list) else ()
        total = sum(self._message(message, encoding) for message in listed)
        tools = body.get("tools")
        return total + (
            self._text(orjson.dumps(tools, default=repr).decode(), encoding) if tools else 0
        )

    def _message(self, message: Any, encoding: EncodingName) -> int:
        if not isinstance(message, dict):
            return 0
        total = _TOKENS_PER_MESSAGE
        for text in chat.texts(message.get("content")):
            total += self._text(text, encoding)
        for call in chat.tool_calls(message):
            for part in chat.function_of(call).values():
                total += self._text(part, encoding) if isinstance(part, str) else 0
        content = message.get("content")
        if isinstance(content, list):
            total += _TOKENS_PER_IMAGE * sum(
                isinstance(part, dict) and part.get("type") == "image_url" for part in content
            )
        return total

    def _text(self, text: str, encoding: EncodingName) -> int:
        key = (encoding, text)
        with self._lock:
            known = self._counted.get(key)
            if known is not None:
                self._counted.move_to_end(key)
                return known
        count = len(load(encoding).encode_ordinary(text))
        with self._lock:
            self._counted[key] = count
            while len(self._counted) > _MOST_TEXTS:
                self._counted.popitem(last=False)
        return count
