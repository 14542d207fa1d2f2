"""gpt-oss' own renderer, from OpenAI: our conversations render, and parse back the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise

import pytest
from openai_harmony import (
    Author,
    DeveloperContent,
    HarmonyEncoding,
    HarmonyEncodingName,
    Message,
    RenderConversationConfig,
    Role,
    SystemContent,
    ToolDescription,
    load_harmony_encoding,
)
from openai_harmony import (
    Conversation as HarmonyConversation,
)

from tests.published_tables import published
from tests.real_models.conversations import Body, Conversation, conversations

# As it stands in the history. A request for an answer leaves out the reasoning of earlier turns.
_WHOLE = RenderConversationConfig(auto_drop_analysis=False)
_HELD = conversations()


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HarmonyEncoding]:
    """The encoding, from the table in batchwrap: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("tables")
    (folder / "o200k_base.tiktoken").write_bytes(published("o200k_base"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", str(folder))
        yield load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)


@pytest.mark.parametrize("held", _HELD, ids=str)
def test_renders_and_parses_back(held: Conversation, encoding: HarmonyEncoding) -> None:
    """Every message of every request comes back with author, channel, recipient and text."""
    for body in held.wrapped:
        conversation = harmony(body)
        tokens = encoding.render_conversation(conversation, _WHOLE)
        back = encoding.parse_messages_from_completion_tokens(tokens, strict=True)
        own = conversation.messages
        assert [said(one) for one in back[2:]] == [said(one) for one in own[2:]]
        rendered = encoding.decode(tokens)
        assert all(f"type {tool['function']['name']} = " in rendered for tool in body["tools"])


@pytest.mark.parametrize("held", [one for one in _HELD if one.scene.grows], ids=str)
def test_keeps_the_tokens(held: Conversation, encoding: HarmonyEncoding) -> None:
    """Each request begins with the tokens of the one before it."""
    rendered = [encoding.render_conversation(harmony(body), _WHOLE) for body in held.wrapped]
    for before, after in pairwise(rendered):
        assert after[: len(before)] == before


def said(message: Message) -> tuple[object, ...]:
    """What a message is, however it is made."""
    texts = [getattr(part, "text", None) for part in message.content]
    return message.author.role, message.author.name, message.channel, message.recipient, texts


def harmony(body: Body) -> HarmonyConversation:
    """A request as gpt-oss sees it."""
    tools = [
        ToolDescription.new(
            one["function"]["name"],
            one["function"].get("description", ""),
            parameters=one["function"]["parameters"],
        )
        for one in body["tools"]
    ]
    developer = DeveloperContent.new().with_function_tools(tools)
    made = [Message.from_role_and_content(Role.SYSTEM, SystemContent.new())]
    names: dict[str, str] = {}
    for message in body["messages"]:
        if message["role"] == "system":
            assert len(made) == 1, "harmony has one place for instructions"
            developer = developer.with_instructions(message["content"])
            made.append(Message.from_role_and_content(Role.DEVELOPER, developer))
        elif message["role"] == "user":
            made.append(Message.from_role_and_content(Role.USER, message["content"]))
        elif message["role"] == "tool":
            author = Author.new(Role.TOOL, f"functions.{names[message['tool_call_id']]}")
            result = Message.from_author_and_content(author, message["content"])
            made.append(result.with_channel("commentary").with_recipient("assistant"))
        else:
            made += _assistant(message, names)
    return HarmonyConversation.from_messages(made)


def _assistant(message: Body, names: dict[str, str]) -> Iterator[Message]:
    calls = message.get("tool_calls") or ()
    for key, channel in (
        ("reasoning_content", "analysis"),
        ("content", "commentary" if calls else "final"),
    ):
        if message.get(key):
            text = Message.from_role_and_content(Role.ASSISTANT, message[key])
            yield text.with_channel(channel)
    for call in calls:
        name = names[call["id"]] = call["function"]["name"]
        json.loads(call["function"]["arguments"])
        made = Message.from_role_and_content(Role.ASSISTANT, call["function"]["arguments"])
        yield (
            made.with_channel("commentary")
            .with_recipient(f"functions.{name}")
            .with_content_type("<|constrain|>json")
        )
