"""The `Format` of chat completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from batchwrap.core.formats import chat, sse
from batchwrap.core.formats.chat import answers
from batchwrap.core.formats.chat import tools as chat_tools
from batchwrap.core.formats.chat.entry import ChatEntry, said
from batchwrap.core.formats.chat.salvage import ChatSalvage
from batchwrap.core.formats.chat.thinking import asks_to_think
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import (
    Binding,
    Body,
    Local,
    OriginOf,
    Settings,
)


class ChatFormat:
    """Chat completions of the OpenAI API and of compatible servers."""

    is_repaired = True
    leaves = ""
    items_key: str = "messages"
    end_mark: bytes | None = sse.DONE
    carries_scripts = True
    binding: Binding | None = None

    def may_rewrite(self, body: Body) -> bool:
        """Always True: providers store nothing of a request."""
        return True

    def declined(self, body: Body, helper: str) -> None:
        """Always None: all helpers of SDKs send the whole conversation."""

    def is_kept(self, body: Body) -> bool:
        """Always False: each request holds the whole conversation."""
        return False

    def is_continued(self, body: Body) -> bool:
        """Always False: each request holds the whole conversation."""
        return False

    understands = staticmethod(chat.is_understood)

    def items(self, body: Body) -> list[Any]:
        """The messages."""
        messages = body.get("messages")
        return messages if isinstance(messages, list) else []

    def with_items(self, body: Body, items: list[Any]) -> Body:
        """A copy of the request with other messages."""
        return {**body, "messages": items}

    def read(self, items: Sequence[Any]) -> list[Entry]:
        """One entry for each message."""
        return [ChatEntry(message) for message in items]

    def write(self, entries: Sequence[Entry]) -> list[Any]:
        """One message for each entry."""
        return [entry.message for entry in cast(Sequence[ChatEntry], entries)]

    def key_of(self, item: object) -> str | None:
        """The id of a message's last tool call; None if it has no call."""
        if not isinstance(item, dict) or not item.get("tool_calls"):
            return None
        calls = chat.tool_calls(item)
        found = calls[-1].get("id") if calls else None
        return found if isinstance(found, str) else None

    said = staticmethod(said)

    def settings(self, body: Body) -> Settings:
        """The settings of a request."""
        choice, parallel = body.get("tool_choice"), body.get("parallel_tool_calls")
        return Settings(
            tools=frozenset(chat.tool_names(body.get("tools"))),
            choice=None if choice == "auto" else choice,
            is_forced=isinstance(choice, dict),
            parallel=parallel if isinstance(parallel, bool) else None,
            is_one_answer=body.get("n") in (None, 1),
            thinks=asks_to_think(body),
        )

    def tool_items(self, body: Body) -> object:
        """The request's `tools`."""
        return body.get("tools")

    tools = staticmethod(chat_tools.read_tools)
    definition = staticmethod(chat_tools.definition)
    with_tools = staticmethod(chat_tools.with_tools)
    deltas = staticmethod(answers.deltas)
    piece_alone = staticmethod(chat.piece_alone)
    with_calls = staticmethod(answers.with_calls)
    stream = staticmethod(answers.ChatStream)

    def salvage(self, origin_of: OriginOf) -> ChatSalvage:
        """A new record of one stream."""
        return ChatSalvage(origin_of)

    def event_name(self, event: Body) -> None:
        """Always None: chunks have no `event:` line."""

    is_silent = staticmethod(answers.is_silent)
    head = staticmethod(answers.head)

    def usage(self, answer: Body) -> Any:
        """The usage that an answer or a chunk reports."""
        return answer.get("usage")

    cached = staticmethod(answers.cached)
    timing = staticmethod(answers.timing)
    local = staticmethod(answers.local)

    def local_events(self, answer: Local, *, with_usage: bool) -> list[Body]:
        """A local answer as chunks."""
        return answers.local_events(answer, with_usage=with_usage)

    def wants_usage(self, body: Body) -> bool | None:
        """The value of `stream_options.include_usage`; False if it cannot be added."""
        options = body.get("stream_options")
        if options is None:
            return None
        if not isinstance(options, dict):
            return False
        return bool(options["include_usage"]) if "include_usage" in options else None

    def with_usage(self, body: Body) -> Body:
        """The request with `stream_options.include_usage`."""
        options = {**(body.get("stream_options") or {}), "include_usage": True}
        return {**body, "stream_options": options}

    def is_empty(self, event: Body) -> bool:
        """Whether a chunk has no choices."""
        return not event.get("choices")


CHAT_FORMAT = ChatFormat()
