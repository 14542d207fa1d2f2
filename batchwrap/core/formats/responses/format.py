"""The `Format` of OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from batchwrap.core.formats import responses
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import (
    Binding,
    Body,
    Local,
    OriginOf,
    Settings,
    ToolSpec,
)
from batchwrap.core.formats.responses import answers
from batchwrap.core.formats.responses.calls import is_call
from batchwrap.core.formats.responses.entry import ResponsesEntry, read, said
from batchwrap.core.formats.responses.salvage import ResponsesSalvage

_NO_THINKING = ("none", "minimal")


class _Instructions(dict[str, Any]):
    """The instructions as the first item. In the request they are a field of their own."""


class _Prompt(dict[str, Any]):
    """An input that is a plain text, as an item."""


class ResponsesFormat:
    """OpenAI's Responses API, for agents that send the whole conversation."""

    is_repaired = False
    leaves = (
        "that continue what the provider stores (previous_response_id, conversation), and for the "
        "first request of a conversation, since the next may do so. With store=False, or from the "
        "second request on, they are active if the agent sends the whole input"
    )
    items_key: str = "input"
    end_mark: bytes | None = None
    carries_scripts = False
    binding: Binding | None = None

    may_rewrite = staticmethod(responses.is_whole)

    def declined(self, body: Body, helper: str) -> None:
        """Always None: no helper of an SDK uses a form that cannot be translated."""

    is_kept = staticmethod(responses.is_kept)

    def is_continued(self, body: Body) -> bool:
        """Whether a request names an earlier response or a stored conversation."""
        return bool(body.get("previous_response_id") or body.get("conversation"))

    def understands(self, body: object, known: int = 0) -> bool:
        """Whether a request has the shape that batchwrap translates."""
        has_more = isinstance(body, dict) and "instructions" in body
        return responses.is_understood(body, max(0, known - has_more))

    def items(self, body: Body) -> list[Any]:
        """The instructions, if there are any, and the input."""
        given = body.get("input")
        items: list[Any] = given if isinstance(given, list) else []
        if isinstance(given, str):
            items = [_Prompt(role="user", content=given)]
        if "instructions" not in body:
            return items
        return [_Instructions(role="system", content=body["instructions"]), *items]

    def with_items(self, body: Body, items: list[Any]) -> Body:
        """A copy of the request with other items."""
        new = dict(body)
        if items and isinstance(items[0], _Instructions):
            new["instructions"], items = items[0]["content"], items[1:]
        if len(items) == 1 and isinstance(items[0], _Prompt):
            return {**new, "input": items[0]["content"]}
        return {**new, "input": items}

    def read(self, items: Sequence[Any]) -> list[Entry]:
        """The entries of a list of items."""
        return list(read(items))

    def write(self, entries: Sequence[Entry]) -> list[Any]:
        """The items of a list of entries."""
        return [
            item for entry in entries if isinstance(entry, ResponsesEntry) for item in entry.content
        ]

    def key_of(self, item: object) -> str | None:
        """The `call_id` of a call; None for any other item."""
        call_id = item.get("call_id") if isinstance(item, dict) and is_call(item) else None
        return call_id if isinstance(call_id, str) else None

    said = staticmethod(said)

    def settings(self, body: Body) -> Settings:
        """The settings of a request."""
        choice, parallel = body.get("tool_choice"), body.get("parallel_tool_calls")
        names = [tool.get("name") for tool in responses.items_of(body.get("tools"))]
        reasoning = body.get("reasoning")
        effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
        return Settings(
            tools=frozenset(name for name in names if isinstance(name, str)),
            choice=None if choice == "auto" else choice,
            is_forced=isinstance(choice, dict),
            parallel=parallel if isinstance(parallel, bool) else None,
            thinks=None if effort is None else effort not in _NO_THINKING,
        )

    def tool_items(self, body: Body) -> object:
        """The request's `tools`."""
        return body.get("tools")

    def tools(self, listed: object) -> list[ToolSpec]:
        """The functions that the model may call directly and sees from the beginning."""
        return [
            ToolSpec(tool["name"], tool.get("parameters"), str(tool.get("description") or ""))
            for tool in responses.items_of(listed)
            if _is_function(tool)
        ]

    def definition(self, tool: ToolSpec) -> object:
        """A function in the form in which requests list it.

        It is not strict: strict mode requires every property, and items may leave out optional
        ones.
        """
        named = {"type": "function", "name": tool.name, "description": tool.description}
        return {**named, "parameters": tool.parameters, "strict": False}

    def with_tools(
        self,
        body: Body,
        added: Sequence[Any],
        hidden: Set[str],
        runs: Mapping[str, Iterable[str]],
    ) -> Body:
        """A copy of the request with more tools (`Format.with_tools`)."""
        choice = body.get("tool_choice")
        kind = choice.get("type") if isinstance(choice, dict) else None
        # A tool choice that names tools is refused if one of them is missing, so all of them stay.
        own = [
            tool
            for tool in body["tools"]
            if kind in ("function", "allowed_tools")
            or not (_is_function(tool) and tool["name"] in hidden)
        ]
        offered = {**body, "tools": [*own, *added]}
        if isinstance(choice, dict) and kind == "allowed_tools":
            names = {one.get("name") for one in responses.items_of(choice.get("tools"))}
            more = [
                {"type": "function", "name": name}
                for name, run in runs.items()
                if names.issuperset(run)
            ]
            offered["tool_choice"] = {**choice, "tools": [*(choice.get("tools") or ()), *more]}
        return offered

    deltas = staticmethod(answers.deltas)
    piece_alone = staticmethod(answers.piece_alone)
    with_calls = staticmethod(answers.with_calls)
    stream = staticmethod(answers.ResponsesStream)

    def salvage(self, origin_of: OriginOf) -> ResponsesSalvage:
        """A new record of one stream."""
        return ResponsesSalvage(origin_of)

    def event_name(self, event: Body) -> str | None:
        """The event's type."""
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
        """A local answer as events, always with its usage in the last one."""
        return answers.local_events(answer)

    def wants_usage(self, body: Body) -> bool:
        """Always True: every stream reports its usage."""
        return True

    def with_usage(self, body: Body) -> Body:
        """The unchanged request: every stream reports its usage."""
        return body

    def is_empty(self, event: Body) -> bool:
        """Whether an event belongs to no item of an answer."""
        return "output" not in answers.response_of(event) and "output_index" not in event


def _is_function(tool: object) -> bool:
    """Whether a tool is a function that the model may call directly, and is shown."""
    if not isinstance(tool, dict) or tool.get("type") != "function":
        return False
    callers = tool.get("allowed_callers")
    is_direct = not isinstance(callers, list) or "direct" in callers
    return isinstance(tool.get("name"), str) and is_direct and not tool.get("defer_loading")


RESPONSES_FORMAT = ResponsesFormat()
