"""Writes a reply in the form of the chat completions API, plain and streamed.

A reply is first split into fragments, as a model generates them. The streamed form sends them one
by one and the plain form joins them, so both have the same content.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from batchwrap.lab.simulated_model import Call, Reply
from batchwrap.lab.tokenizing import Tokens

_ALPHABET = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class ReplyFragment:
    """A few tokens of a reply.

    Attributes:
        kind: what it is a part of; ``"call"`` begins a call, and its text is the tool's name.
        text: the text of the tokens.
        tokens: the number of tokens.
        call: the index of the call; 0 for the other kinds.
    """

    kind: Literal["reasoning", "content", "call", "arguments"]
    text: str
    tokens: int
    call: int = 0


def random_id(prefix: str, length: int) -> str:
    """An id like OpenAI's: a prefix and alphanumerics."""
    return prefix + "".join(random.choices(_ALPHABET, k=length))


def fragments(
    reply: Reply, tokens: Tokens, size: int, cap: int | None
) -> tuple[list[ReplyFragment], str]:
    """The reply in fragments of `size` tokens, cut at `cap` tokens, and its finish reason."""
    found: list[ReplyFragment] = []
    left = cap
    for part in _parts(reply, tokens, size):
        if left is not None and part.tokens > left:
            # A tool's name is never cut: an API sends a call with its whole name, or no call.
            text = tokens.cut(part.text, left)
            if left and part.kind != "call":
                found.append(ReplyFragment(part.kind, text, left, part.call))
            return found, reply.finish_reason or "length"
        left = None if left is None else left - part.tokens
        found.append(part)
    return found, reply.finish_reason or ("tool_calls" if reply.calls else "stop")


def _parts(reply: Reply, tokens: Tokens, size: int) -> list[ReplyFragment]:
    split = tokens.split
    parts = [
        ReplyFragment("reasoning", text, count) for text, count in split(reply.reasoning, size)
    ]
    parts += [ReplyFragment("content", text, count) for text, count in split(reply.text, size)]
    for at, call in enumerate(reply.calls):
        parts.append(ReplyFragment("call", call.name, tokens.count(call.name), at))
        parts += [
            ReplyFragment("arguments", text, count, at)
            for text, count in split(_arguments(call), size)
        ]
    return parts


def _arguments(call: Call) -> str:
    if isinstance(call.arguments, str):
        return call.arguments
    return orjson.dumps(call.arguments).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyUsage:
    """What a request cost.

    Attributes:
        prompt: tokens of the prompt.
        completion: tokens generated, over all choices.
        reasoning: how many of these were reasoning.
    """

    prompt: int
    completion: int
    reasoning: int

    def as_json(self) -> dict[str, Any]:
        """The `usage` object."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        }


class Completion:
    """One response: writes its JSON as a whole, or chunk by chunk."""

    def __init__(self, reply: Reply, *, model: str, created: int, choices: int) -> None:
        self._common = {
            "id": random_id("chatcmpl-", 29),
            "created": created,
            "model": model,
            "system_fingerprint": "fp_batchwrap_lab",
        }
        # A scripted id is used in the first choice only, since ids are unique over all choices.
        self._ids = [
            [(call.id if at == 0 else None) or random_id("call_", 24) for call in reply.calls]
            for at in range(choices)
        ]

    def whole(self, parts: Sequence[ReplyFragment], finish_reason: str, usage: ReplyUsage) -> bytes:
        """The body of a plain response."""
        choices = [
            {
                "index": at,
                "message": _message(parts, ids),
                "logprobs": None,
                "finish_reason": finish_reason,
            }
            for at, ids in enumerate(self._ids)
        ]
        body = {"object": "chat.completion", "choices": choices, "usage": usage.as_json()}
        return orjson.dumps({**self._common, **body})

    def opening(self, choice: int) -> dict[str, Any]:
        """The choice of a stream's first chunk."""
        return _delta(choice, {"role": "assistant", "content": ""})

    def piece(self, choice: int, part: ReplyFragment) -> dict[str, Any]:
        """The choice of a chunk that carries one fragment."""
        if part.kind in ("reasoning", "content"):
            return _delta(choice, {part.kind: part.text})
        call: dict[str, Any] = {"index": part.call}
        if part.kind == "call":
            call |= {"id": self._ids[choice][part.call], "type": "function"}
            call["function"] = {"name": part.text, "arguments": ""}
        else:
            call["function"] = {"arguments": part.text}
        return _delta(choice, {"tool_calls": [call]})

    def closing(self, choice: int, finish_reason: str) -> dict[str, Any]:
        """The choice of a choice's last chunk."""
        return _delta(choice, {}, finish_reason)

    def event(
        self, choices: list[dict[str, Any]], usage: ReplyUsage | None, *, asked: bool
    ) -> bytes:
        """A chunk as a server-sent event; with `asked` it has a field `usage`, perhaps null."""
        body = {**self._common, "object": "chat.completion.chunk", "choices": choices}
        if asked:
            body["usage"] = usage.as_json() if usage else None
        return b"data: " + orjson.dumps(body) + b"\n\n"


def _delta(choice: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}


def _message(parts: Sequence[ReplyFragment], ids: Sequence[str]) -> dict[str, Any]:
    pieces: dict[tuple[str, int], list[str]] = {}
    for part in parts:
        pieces.setdefault((part.kind, part.call), []).append(part.text)
    texts = {key: "".join(some) for key, some in pieces.items()}
    calls = [
        {
            "id": ids[at],
            "type": "function",
            "function": {"name": name, "arguments": texts.get(("arguments", at), "")},
        }
        for (kind, at), name in texts.items()
        if kind == "call"
    ]
    message: dict[str, Any] = {"role": "assistant"}
    message["content"] = texts.get(("content", 0), None if calls else "")
    if ("reasoning", 0) in texts:
        message["reasoning"] = texts["reasoning", 0]
    return {**message, "tool_calls": calls} if calls else message
