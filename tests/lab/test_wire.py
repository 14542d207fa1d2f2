"""Replies in fragments: nothing lost, and counted as the prompt will count them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.lab import Call, Reply
from batchwrap.lab.reply_format import Completion, ReplyUsage, fragments
from batchwrap.lab.tokenizing import Tokens

TOKENS = Tokens("o200k_base")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
calls = st.builds(Call, st.sampled_from(["read", "edit"]), texts)
replies = st.builds(Reply, texts, reasoning=texts, calls=st.lists(calls, max_size=3).map(tuple))


def whole(reply: Reply, size: int = 4, cap: int | None = None) -> dict[str, Any]:
    """The choice of the reply's plain form."""
    parts, finish_reason = fragments(reply, TOKENS, size, cap)
    completion = Completion(reply, model="m", created=0, choices=1)
    body = completion.whole(parts, finish_reason, ReplyUsage(prompt=1, completion=1, reasoning=0))
    return dict(orjson.loads(body)["choices"][0])


@given(replies, st.integers(1, 7))
def test_fragments_join_to_the_reply(reply: Reply, size: int) -> None:
    """Whatever the chunk size, the fragments joined are the reply to the character."""
    message = whole(reply, size)["message"]
    assert (message["content"] or "") == reply.text
    assert message.get("reasoning", "") == reply.reasoning
    made = [call["function"] for call in message.get("tool_calls", ())]
    assert made == [{"name": call.name, "arguments": call.arguments} for call in reply.calls]


@given(replies, st.integers(1, 7))
def test_tokens_do_not_depend_on_the_chunks(reply: Reply, size: int) -> None:
    """A reply costs the tokens of its texts, in chunks of any size."""
    parts, _ = fragments(reply, TOKENS, size, None)
    parts_of_calls = [text for c in reply.calls for text in (c.name, c.arguments)]
    said = [reply.text, reply.reasoning, *parts_of_calls]
    assert sum(part.tokens for part in parts) == sum(TOKENS.count(str(text)) for text in said)
    assert all(part.tokens <= size or part.kind == "call" for part in parts)


@given(replies, st.integers(1, 30))
def test_a_cap_cuts(reply: Reply, cap: int) -> None:
    """No more tokens than the cap are generated, and a cut turn ends with "length"."""
    everything, natural = fragments(reply, TOKENS, 4, None)
    parts, finish_reason = fragments(reply, TOKENS, 4, cap)
    total = sum(part.tokens for part in everything)
    assert sum(part.tokens for part in parts) <= cap
    assert finish_reason == (natural if total <= cap else "length")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply("hi"), "stop"),
        (Reply(calls=(Call("read", {}),)), "tool_calls"),
        (Reply(calls=(Call("read", {}),), finish_reason="stop"), "stop"),
    ],
)
def test_finish_reasons(reply: Reply, reason: str) -> None:
    """A turn ends with "stop" or "tool_calls", unless the script says otherwise."""
    assert whole(reply)["finish_reason"] == reason


def test_objects_become_compact_json_and_texts_stay() -> None:
    """Arguments given as text are sent to the byte, broken or not."""
    reply = Reply(calls=(Call("read", {"path": "ä.py"}), Call("read", '{"path": ')))
    arguments = [call["function"]["arguments"] for call in whole(reply)["message"]["tool_calls"]]
    assert arguments == ['{"path":"ä.py"}', '{"path": ']


def test_prompt_counts_everything_that_is_sent() -> None:
    """Texts, parts, calls and tools all add to the prompt's tokens."""
    message = {"role": "user", "content": "one two three"}
    base = TOKENS.prompt({"messages": [message]})
    parts = [{"type": "text", "text": "one two three"}]
    assert TOKENS.prompt({"messages": [{"role": "user", "content": parts}]}) == base
    call = {"id": "a", "function": {"name": "read", "arguments": '{"path": "a.py"}'}}
    turn = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert TOKENS.prompt({"messages": [message, turn]}) > base + 5
    tools = [{"type": "function", "function": {"name": "read"}}]
    assert TOKENS.prompt({"messages": [message], "tools": tools}) > base + 5
