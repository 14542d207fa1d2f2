"""The `Format` of Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from batchwrap.core.formats import messages
from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry, Role
from batchwrap.core.formats.format import (
    Binding,
    Body,
    Local,
    OriginOf,
    Settings,
    ToolSpec,
)
from batchwrap.core.formats.messages import answers
from batchwrap.core.formats.messages.calls import is_call, write_call
from batchwrap.core.formats.messages.entry import MessagesEntry, read, write
from batchwrap.core.formats.messages.salvage import MessagesSalvage
from batchwrap.core.formats.messages.thinking import ThinkingBinding

_MARK = "cache_control"


class _System(dict[str, Any]):
    """The system prompt as the first item. In the request it is a field of its own."""


class MessagesFormat:
    """Anthropic's Messages API."""

    is_repaired = False
    leaves = "with a thread, which the provider stores"
    items_key: str = "messages"
    end_mark: bytes | None = None
    carries_scripts = False
    binding: Binding | None = ThinkingBinding()

    def may_rewrite(self, body: Body) -> bool:
        """Whether a request names no thread.

        The provider would store the provider view in it, and later requests do not repeat it.
        """
        return not messages.has_thread(body)

    def declined(self, body: Body, helper: str) -> Body | None:
        """The error for a tool runner's thread: the runner then sends the whole history instead."""
        return messages.no_threads() if messages.begins_thread(body, helper) else None

    is_kept = staticmethod(messages.is_kept)

    def is_continued(self, body: Body) -> bool:
        """Always False: threads are never translated, so they hold no calls of batchwrap's."""
        return False

    def understands(self, body: object, known: int = 0) -> bool:
        """Whether a request has the shape that batchwrap translates."""
        has_system = isinstance(body, dict) and "system" in body
        return messages.is_understood(body, max(0, known - has_system))

    def items(self, body: Body) -> list[Any]:
        """The system prompt, if there is one, and the messages."""
        listed = body.get("messages")
        given = listed if isinstance(listed, list) else []
        if "system" not in body:
            return given
        return [_System(role="system", content=body["system"]), *given]

    def with_items(self, body: Body, items: list[Any]) -> Body:
        """A copy of the request with other items."""
        if not items or not isinstance(items[0], _System):
            return {**body, "messages": items}
        return {**body, "system": items[0]["content"], "messages": items[1:]}

    def read(self, items: Sequence[Any]) -> list[Entry]:
        """The entries of a list of messages."""
        return list(read(items))

    def write(self, entries: Sequence[Entry]) -> list[Any]:
        """The messages of a list of entries."""
        return list(write(entries))

    def key_of(self, item: object) -> str | None:
        """The id of the last call in a message; None if it has no call."""
        content = item.get("content") if isinstance(item, dict) else None
        ids = [block.get("id") for block in messages.blocks_of(content) if is_call(block)]
        return ids[-1] if ids and isinstance(ids[-1], str) else None

    def said(self, role: Role, text: str | None, calls: Sequence[Call] = ()) -> Entry:
        """A new message with a text and calls."""
        if not calls:
            return MessagesEntry(role, text or "")
        said = [messages.text_block(text)] if text else []
        return MessagesEntry(role, [*said, *map(write_call, calls)])

    def settings(self, body: Body) -> Settings:
        """The settings of a request."""
        choice = body.get("tool_choice")
        kind = choice.get("type") if isinstance(choice, dict) else None
        one = isinstance(choice, dict) and choice.get("disable_parallel_tool_use") is True
        tools = body.get("tools")
        names = [tool.get("name") for tool in messages.blocks_of(tools)]
        thinking = body.get("thinking")
        asked = thinking.get("type") if isinstance(thinking, dict) else None
        return Settings(
            tools=frozenset(name for name in names if isinstance(name, str)),
            choice=None if kind == "auto" else choice,
            is_forced=kind == "tool",
            parallel=False if one else None,
            thinks=None if asked is None else asked != "disabled",
        )

    def tool_items(self, body: Body) -> object:
        """The request's `tools`."""
        return body.get("tools")

    def tools(self, listed: object) -> list[ToolSpec]:
        """The client's own functions that the model sees from the beginning."""
        return [
            ToolSpec(tool["name"], tool["input_schema"], str(tool.get("description") or ""))
            for tool in messages.blocks_of(listed)
            if _is_function(tool)
        ]

    def definition(self, tool: ToolSpec) -> object:
        """A function in the form in which requests list it."""
        named = {"name": tool.name, "description": tool.description}
        return {**named, "input_schema": tool.parameters}

    def with_tools(
        self,
        body: Body,
        added: Sequence[Any],
        hidden: Set[str],
        runs: Mapping[str, Iterable[str]],
    ) -> Body:
        """A copy of the request with more tools.

        They stand before a last tool with a cache mark: the mark caches everything up to it, and a
        request may have only four marks.
        """
        forced = self.settings(body).is_forced
        own = [
            tool
            for tool in body["tools"]
            if forced or not (_is_function(tool) and tool["name"] in hidden)
        ]
        end = len(own) - bool(own and isinstance(own[-1], dict) and own[-1].get(_MARK))
        return {**body, "tools": [*own[:end], *added, *own[end:]]}

    deltas = staticmethod(answers.deltas)
    piece_alone = staticmethod(answers.piece_alone)
    with_calls = staticmethod(answers.with_calls)
    stream = staticmethod(answers.MessagesStream)

    def salvage(self, origin_of: OriginOf) -> MessagesSalvage:
        """A new record of one stream."""
        return MessagesSalvage(origin_of)

    def event_name(self, event: Body) -> str | None:
        """The event's type. The anthropic SDK ignores events without an `event:` line."""
        kind = event.get("type")
        return kind if isinstance(kind, str) else None

    is_silent = staticmethod(answers.is_silent)
    head = staticmethod(answers.head)
    usage = staticmethod(answers.usage)
    cached = staticmethod(answers.cached)

    def timing(self, answer: Body) -> tuple[float | None, float | None]:
        """The output tokens. No provider of this API reports the seconds."""
        return answers.output_tokens(answer), None

    local = staticmethod(answers.local)

    def local_events(self, answer: Local, *, with_usage: bool) -> list[Body]:
        """A local answer as events, always with its usage."""
        return answers.local_events(answer)

    def wants_usage(self, body: Body) -> bool:
        """Always True: every stream reports its usage."""
        return True

    def with_usage(self, body: Body) -> Body:
        """The unchanged request: every stream reports its usage."""
        return body

    is_empty = staticmethod(answers.is_empty)


def _is_function(tool: object) -> bool:
    """Whether a tool is the client's own, may be called directly by the model, and is shown."""
    if not isinstance(tool, dict) or tool.get("type") not in (None, "custom"):
        return False
    callers = tool.get("allowed_callers")
    is_direct = not isinstance(callers, list) or "direct" in callers
    named = isinstance(tool.get("name"), str) and isinstance(tool.get("input_schema"), dict)
    return named and is_direct and not tool.get("defer_loading")


MESSAGES_FORMAT = MessagesFormat()
