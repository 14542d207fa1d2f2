"""Mistral's own validator and tokenizer: our conversations are valid, and come back the same."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from tests.real_models.conversations import Body, Conversation, conversations, placed

MODEL = "mistral-large-latest"
PLACEMENTS = [placed("append", MODEL), placed("user", MODEL), placed("system", MODEL)]
HELD = [*conversations(), *PLACEMENTS]


@pytest.fixture(scope="module")
def tokenizer() -> MistralTokenizer:
    """The newest one that comes with the package, with the rules of the API."""
    return MistralTokenizer.v7()


@pytest.mark.parametrize("held", HELD, ids=str)
def test_valid_and_the_same(held: Conversation, tokenizer: MistralTokenizer) -> None:
    """Every request passes the validator, and loses nothing on the way."""
    for body in held.wrapped:
        request = asked(body)
        tokenizer.encode_chat_completion(request)
        back = request.to_openai()["messages"]
        assert [said(one) for one in back] == [said(one) for one in body["messages"]]


@pytest.mark.parametrize("held", [one for one in HELD if one.scene.grows], ids=str)
def test_keeps_the_tokens(held: Conversation, tokenizer: MistralTokenizer) -> None:
    """Each request of a task begins with the tokens of the one before it.

    The tools stand before the newest message of the user, with batchwrap and without it.
    """
    pairs = [(one, two) for one, two in pairwise(held.wrapped) if tasks(one) == tasks(two)]
    assert pairs
    for pair in pairs:
        first, second = (tokenizer.encode_chat_completion(asked(one)).tokens for one in pair)
        assert second[: len(first)] == first


def tasks(body: Body) -> int:
    """How many messages of the user there are."""
    return [one["role"] for one in body["messages"]].count("user")


def asked(body: Body) -> ChatCompletionRequest[Any]:
    """A request as Mistral's API gets it, which has no field for reasoning content."""
    messages = [
        {key: value for key, value in one.items() if key != "reasoning_content"}
        for one in body["messages"]
    ]
    return ChatCompletionRequest.from_openai(messages, tools=body["tools"])


def said(message: Body) -> tuple[Any, ...]:
    """What a message says, with arguments as JSON."""
    calls = [
        (one["id"], one["function"]["name"], json.loads(one["function"]["arguments"]))
        for one in message.get("tool_calls") or ()
    ]
    return message["role"], message.get("content") or "", message.get("tool_call_id"), calls
