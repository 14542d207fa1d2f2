"""What the model reads of a message: its texts, and tokens for everything else.

Ids of calls are not counted, since nearly all chat templates leave them out.
"""

from __future__ import annotations

from typing import Any

from batchwrap.core.formats import chat
from batchwrap.throttle.tokens.images import image_tokens
from batchwrap.throttle.tokens.schemas import json_text

# The role and separators of a message: OpenAI's cookbook finds 3, and 1 for the role.
_PER_MESSAGE = 4
# What the templates of gpt-oss and Qwen write around a call's name and arguments: 8 to 11.
_PER_CALL = 8
# A guess of two pages: the size of a file does not show how much of it is text or pictures.
_PER_FILE = 2_000
# OpenAI counts 10 tokens a second of sound. Bytes a second: 24 kHz mono at 16 bits; 128 kbit/s.
_PER_SECOND = 10
_WAV_RATE, _MP3_RATE = 48_000, 16_000


def read_message(message: object, model: str, texts: list[str]) -> int:
    """Add a message's texts to the list; returns the tokens of everything else in it.

    Reasoning content that the agent sends back counts, since most templates keep it within a tool
    loop. If both of its fields are present, it counts once.
    """
    if not isinstance(message, dict):
        return 0
    tokens = _PER_MESSAGE
    content = message.get("content")
    if isinstance(content, str):
        texts.append(content)
    elif content:
        tokens += _parts(content, model, texts)
    calls = message.get("tool_calls")
    if calls:
        tokens += _calls(calls, texts)
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(reasoning, str):
        texts.append(reasoning)
    name = message.get("name")
    if isinstance(name, str):
        texts.append(name)
        tokens += 1
    return tokens


def _calls(calls: object, texts: list[str]) -> int:
    tokens = 0
    for call in calls if isinstance(calls, list) else ():
        called = isinstance(call, dict) and (call.get("function") or call.get("custom"))
        if isinstance(called, dict):
            tokens += _PER_CALL
            for part in called.values():
                if isinstance(part, str):
                    texts.append(part)
                elif part is not None:
                    texts.append(json_text(part))
    return tokens


def _parts(content: object, model: str, texts: list[str]) -> int:
    texts.extend(chat.texts(content))
    parts = content if isinstance(content, list) else ()
    return sum(_part(part, model) for part in parts if isinstance(part, dict))


def _part(part: dict[str, Any], model: str) -> int:
    kind = part.get("type")
    if kind == "image_url":
        return image_tokens(part.get("image_url"), model)
    if kind == "input_audio":
        return _audio(part.get("input_audio"))
    return _PER_FILE if kind == "file" else 0


def _audio(audio: object) -> int:
    given: dict[Any, Any] = audio if isinstance(audio, dict) else {}
    data = given.get("data")
    rate = _WAV_RATE if given.get("format") == "wav" else _MP3_RATE
    # Base64 writes three bytes as four characters.
    seconds = len(data) * 3 // 4 // rate if isinstance(data, str) else 0
    return _PER_SECOND * (seconds + 1)
