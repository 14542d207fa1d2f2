"""The Messages API, for the moves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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
    """The system prompt, which stands beside the messages, as the first of them."""


class MessagesFormat:
    """Anthropic's Messages API."""

    is_repaired = False
    leaves = "with a thread or a container, which the provider keeps"
    items_key: str = "messages"
    end_mark: bytes | None = None
    carries_scripts = False
    binding: Binding | None = ThinkingBinding()

    def may_rewrite(self, body: Body) -> bool:
        """Whether the provider keeps nothing of a request, which then holds our view of it."""
        return not messages.is_state(body)

    def declined(self, body: Body, helper: str) -> Body | None:
        """That threads are not supported: the tool runner then sends the whole history."""
        return messages.no_threads() if messages.begins_thread(body, helper) else None

    is_kept = staticmethod(messages.is_kept)

    def is_continued(self, body: Body) -> bool:
        """Never in a way that we have a part in: threads are left alone from their beginning."""
        return False

    def understands(self, body: object, known: int = 0) -> bool:
        """Whether a request has the shape that batchwrap translates."""
        has_system = isinstance(body, dict) and "system" in body
        return messages.is_understood(body, max(0, known - has_system))

    def items(self, body: Body) -> list[Any]:
        """The system prompt and the messages."""
        listed = body.get("messages")
        given = listed if isinstance(listed, list) else []
        if "system" not in body:
            return given
        return [_System(role="system", content=body["system"]), *given]

    def with_items(self, body: Body, items: list[Any]) -> Body:
        """A copy of the request with another conversation."""
        if not items or not isinstance(items[0], _System):
            return {**body, "messages": items}
        return {**body, "system": items[0]["content"], "messages": items[1:]}

    def read(self, items: Sequence[Any]) -> list[Entry]:
        """The entries of some messages."""
        return list(read(items))

    def write(self, entries: Sequence[Entry]) -> list[Any]:
        """The messages of some entries."""
        return list(write(entries))

    def key_of(self, item: object) -> str | None:
        """The id of the last call in a turn of the model."""
        content = item.get("content") if isinstance(item, dict) else None
        ids = [block.get("id") for block in messages.blocks_of(content) if is_call(block)]
        return ids[-1] if ids and isinstance(ids[-1], str) else None

    def said(self, role: Role, text: str | None, calls: Sequence[Call] = ()) -> Entry:
        """A message that is made here."""
        if not calls:
            return MessagesEntry(role, text or "")
        said = [messages.text_block(text)] if text else []
        return MessagesEntry(role, [*said, *map(write_call, calls)])

    def settings(self, body: Body) -> Settings:
        """What a request asks for, besides its conversation."""
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
        """The tools as they stand in a request."""
        return body.get("tools")

    def tools(self, listed: object) -> list[ToolSpec]:
        """The client's own functions among them, which the model is shown from the beginning."""
        return [
            ToolSpec(tool["name"], tool["input_schema"], str(tool.get("description") or ""))
            for tool in messages.blocks_of(listed)
            if _is_function(tool)
        ]

    def definition(self, tool: ToolSpec) -> object:
        """A function as a request lists it."""
        named = {"name": tool.name, "description": tool.description}
        return {**named, "input_schema": tool.parameters}

    def with_tools(
        self,
        body: Body,
        added: Sequence[Any],
        hides: Callable[[str], bool],
        runs: Mapping[str, Iterable[str]],
    ) -> Body:
        """A copy of the request with more tools, before a last one that ends what is cached."""
        forced = self.settings(body).is_forced
        own = [
            tool
            for tool in body["tools"]
            if forced or not (_is_function(tool) and hides(tool["name"]))
        ]
        end = len(own) - bool(own and isinstance(own[-1], dict) and own[-1].get(_MARK))
        return {**body, "tools": [*own[:end], *added, *own[end:]]}

    deltas = staticmethod(answers.deltas)
    piece_alone = staticmethod(answers.piece_alone)
    with_calls = staticmethod(answers.with_calls)
    stream = staticmethod(answers.MessagesStream)

    def salvage(self, origin_of: OriginOf) -> MessagesSalvage:
        """Keeps account of one stream."""
        return MessagesSalvage(origin_of)

    def event_name(self, event: Body) -> str | None:
        """The event's type; anthropic's SDK sees no event without its name."""
        kind = event.get("type")
        return kind if isinstance(kind, str) else None

    is_silent = staticmethod(answers.is_silent)
    head = staticmethod(answers.head)
    usage = staticmethod(answers.usage)
    cached = staticmethod(answers.cached)

    def timing(self, answer: Body) -> tuple[float | None, float | None]:
        """Output tokens; nobody tells the seconds."""
        return answers.output_tokens(answer), None

    local = staticmethod(answers.local)

    def local_events(self, answer: Local, *, with_usage: bool) -> list[Body]:
        """A local answer as events; usage always stands in them."""
        return answers.local_events(answer)

    def wants_usage(self, body: Body) -> bool:
        """Every stream tells its usage."""
        return True

    def with_usage(self, body: Body) -> Body:
        """Nothing has to be asked for."""
        return body

    is_empty = staticmethod(answers.is_empty)


def _is_function(tool: object) -> bool:
    """Whether a tool is one of the client's that a model may call directly, and is shown."""
    if not isinstance(tool, dict) or tool.get("type") not in (None, "custom"):
        return False
    callers = tool.get("allowed_callers")
    is_direct = not isinstance(callers, list) or "direct" in callers
    named = isinstance(tool.get("name"), str) and isinstance(tool.get("input_schema"), dict)
    return named and is_direct and not tool.get("defer_loading")


MESSAGES_FORMAT = MessagesFormat()
