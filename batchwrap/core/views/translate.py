"""The translator between the two views: one for each request and its answer.

    agent view  -> fold -> offer -> remind -> provider view
    agent view  <- expand <- repair        <- provider view

What changes nothing returns None, so that the caller can hand on the original bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchwrap.core import chat
from batchwrap.core.memory import Turns
from batchwrap.core.reminders.schedule import remind
from batchwrap.core.repair.calls import CallRepair
from batchwrap.core.tally import Tally
from batchwrap.core.views.conflict import Waves
from batchwrap.core.views.deliver import LocalAnswer, digest, looks_failed, next_calls, turn_of
from batchwrap.core.views.expand import Expander
from batchwrap.core.views.find import SingleTool, find
from batchwrap.core.views.fold import fold
from batchwrap.core.views.multi import MultiTool, made_up, multi_tools
from batchwrap.core.views.offer import offer, wants_one_tool
from batchwrap.options import Batching, Options


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the translator of one exchange is given from outside.

    Attributes:
        options: the user's options.
        random_text: gives so many random characters of ``[A-Za-z0-9]``.
        turns: the shared memory of turns that were taken apart.
        tally: where counts and events go.
    """

    options: Options
    random_text: Callable[[int], str]
    turns: Turns
    tally: Tally


class Translator:
    """Translates one request into the provider view and its answer back."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._body: chat.Body = {}
        self._understood: bool | None = None
        self._multis: dict[str, MultiTool] = {}
        self._singles: dict[str, SingleTool] = {}
        self._expanders: dict[Any, Expander] = {}
        self._repairs: dict[Any, CallRepair] = {}
        self._head: chat.Body = {}
        self._usage: Any = None

    def local_answer(self, body: chat.Body) -> LocalAnswer | None:
        """What the agent gets without a round trip: the next wave of a turn, if it is due."""
        batching = self._context.options.batching
        if batching is None or not self._understands(body) or body.get("n") not in (None, 1):
            return None
        turn = turn_of(body, self._context.turns)
        if turn is None:
            return None
        go_on = batching.on_failure == "go_on"
        calls = next_calls(turn, body, batching.failed or looks_failed, go_on=go_on)
        if calls is None or digest(body, turn.length) != turn.digest:
            return None
        self._context.tally.add("local_answers")
        usage = turn.usage if batching.local_usage == "last_prompt" else None
        return LocalAnswer(turn, calls, f"chatcmpl-bw{self._context.random_text(24)}", usage)

    def request(self, body: chat.Body) -> chat.Body | None:
        """The request in the provider view; None if it stays as it is."""
        context, tally = self._context, self._context.tally
        if not self._understands(body):
            tally.add("not_understood")
            return None
        batching = context.options.batching
        if batching is None or context.turns.is_off(body.get("model")):
            return None
        self._body = body
        folded = fold(body["messages"], context.turns, tally)
        new = body if folded is None else {**body, "messages": folded}
        offered = self._choose(body, batching)
        if offered:
            new = offer(new, offered, batching)
            tally.add("offers")
            if context.options.reminders is not None:
                new["messages"], reminded = remind(
                    new["messages"], offered, context.options.reminders
                )
                tally.add("reminders", reminded)
        return None if new is body else new

    def _understands(self, body: chat.Body) -> bool:
        if self._understood is None:
            self._understood = chat.is_understood(body)
        return self._understood

    def refused(self) -> None:
        """The provider did not understand the request: it goes out as the agent wrote it."""
        self._multis, self._singles, self._expanders = {}, {}, {}
        self._context.tally.add("failed_open")
        self._context.tally.note("failed_open", model=self._body.get("model"))

    def give_up(self) -> None:
        """The agent's own request was understood: this model gets no more of ours."""
        self._context.turns.switch_off(self._body.get("model"))

    def response(self, completion: chat.Body) -> chat.Body | None:
        """A plain completion in the agent view; None if it stays as it is."""
        listed, changed = completion.get("choices"), False
        new = list(listed) if isinstance(listed, list) else []
        places = (place for place, choice in enumerate(new) if isinstance(choice, dict))
        for place, (index, choice) in zip(places, chat.choices(completion), strict=True):
            repaired = self._repair(index, choice)
            calls = self._expander(index).message(chat.tool_calls(chat.part_of(repaired)))
            if calls is not None:
                repaired = {**repaired, "message": {**repaired["message"], "tool_calls": calls}}
            if repaired is not choice:
                new[place], changed = repaired, True
        self._note(completion)
        self._keep_turns()
        return {**completion, "choices": new} if changed else None

    def chunk(self, chunk: chat.Body) -> list[chat.Body] | None:
        """The chunks of the agent view for one chunk of a stream; None if it stays as it is."""
        self._note(chunk)
        before: list[chat.Body] = []
        new, changed = [], False
        for index, choice in chat.choices(chunk):
            seen = self._expand_choice(index, self._repair(index, choice))
            if seen is not choice:
                changed = True
                if seen is None and chunk.get("usage"):
                    seen = {**choice, "delta": {}}
                elif seen is not None and seen.get("finish_reason"):
                    before += self._calls_before_finish(chunk, index, seen)
                    seen = {**seen, "delta": _without_calls(chat.part_of(seen))}
            if seen is not None:
                new.append(seen)
        if not changed:
            return None
        return [*before, {**chunk, "choices": new}] if new else before

    def end(self, chunk: chat.Body | None) -> list[chat.Body]:
        """What is left at the end of a stream that did not finish its choices.

        Args:
            chunk: any chunk of the stream, whose other fields the new ones take over.
        """
        left = [(index, expander.finish()) for index, expander in self._expanders.items()]
        self._keep_turns()
        return [
            _calls_chunk(chunk or {"object": "chat.completion.chunk"}, index, calls)
            for index, calls in left
            if calls
        ]

    def _note(self, answer: chat.Body) -> None:
        """Remember what local answers repeat of this one."""
        if not self._head:
            fields = ("model", "created", "system_fingerprint")
            self._head = {name: answer[name] for name in fields if name in answer}
        self._usage = answer.get("usage") or self._usage

    def _keep_turns(self) -> None:
        """Remember the turns that were taken apart, for folding and for what is held back."""
        for expander in self._expanders.values():
            turn = expander.turn
            if turn.nonces:
                turn.length = len(self._body["messages"])
                turn.digest = digest(self._body, turn.length)
                turn.head, turn.usage = self._head, self._usage
                self._context.turns.keep(turn)
                self._context.turns.judge(self._body.get("model"), malformed=turn.malformed)

    def _choose(self, body: chat.Body, batching: Batching) -> list[MultiTool]:
        """The multi-tools to offer. All that there could be are known: models go by habit."""
        if not body.get("tools"):
            return []
        names = {function["name"] for function in chat.function_tools(body["tools"])}
        singles = find(body["tools"], batching)
        self._singles = {single.name: single for single in singles}
        multis = multi_tools(singles, names, mixed=batching.mixed)
        known = [*made_up(self._singles, names), *multis]
        self._multis = {multi.name: multi for multi in known}
        several = body.get("n") not in (None, 1)  # choices of which only one goes on
        off = batching.offer == "never" or several or wants_one_tool(body["messages"])
        return [] if off or self._is_plain(body) else multis

    def _is_plain(self, body: chat.Body) -> bool:
        """Whether the model stumbles over multi-calls, and the conversation began after that."""
        turns = self._context.turns
        if not turns.stumbles(body.get("model")):
            return False
        roles = [message.get("role") for message in body["messages"]]
        start = roles.index("assistant") if "assistant" in roles else len(roles)
        conversation = digest(body, start)
        if start == len(roles):
            turns.keep_plain(conversation)
        return turns.is_plain(conversation)

    def _repair(self, index: Any, choice: dict[str, Any]) -> dict[str, Any]:
        options = self._context.options.repair
        if options is None:
            return choice
        if index not in self._repairs:
            self._repairs[index] = CallRepair(
                options, self._context.random_text, self._context.tally
            )
        return self._repairs[index].choice(choice)

    def _expander(self, index: Any) -> Expander:
        if index not in self._expanders:
            context, batching = self._context, self._context.options.batching or Batching()
            serial = self._body.get("parallel_tool_calls") is False
            waves = Waves(
                batching.max_items,
                one_by_one=batching.delivery == "serial"
                or (serial and batching.delivery == "auto"),
                changes_one_by_one=batching.approvals,
            )
            self._expanders[index] = Expander(
                self._multis, self._singles, waves, context.random_text, context.tally
            )
        return self._expanders[index]

    def _expand_choice(self, index: Any, choice: dict[str, Any]) -> dict[str, Any] | None:
        """The choice with its calls expanded; the same object if unchanged, None if empty."""
        expander = self._expander(index)
        delta = choice["delta"] if isinstance(choice.get("delta"), dict) else {}
        given = chat.tool_calls(delta)
        calls = [made for call in given for made in expander.fragment(call)]
        if choice.get("finish_reason"):
            calls += expander.finish()
        if len(calls) == len(given) and all(
            new is old for new, old in zip(calls, given, strict=True)
        ):
            return choice
        rest = _without_calls(delta)
        if calls:
            return {**choice, "delta": {**rest, "tool_calls": calls}}
        said = any(value for key, value in rest.items() if key != "role")
        first = bool(delta.get("role"))
        return {**choice, "delta": rest} if said or first or choice.get("finish_reason") else None

    def _calls_before_finish(
        self, chunk: chat.Body, index: Any, choice: dict[str, Any]
    ) -> list[chat.Body]:
        """A chunk of its own for calls that came to light with the finish of their choice."""
        calls = chat.tool_calls(chat.part_of(choice))
        return [_calls_chunk(chunk, index, calls)] if calls else []


def _without_calls(delta: chat.Message) -> chat.Message:
    return {key: value for key, value in delta.items() if key != "tool_calls"}


def _calls_chunk(like: chat.Body, index: Any, calls: list[chat.ToolCall]) -> chat.Body:
    head = {key: value for key, value in like.items() if key not in ("choices", "usage")}
    choice = {"index": index, "delta": {"tool_calls": calls}, "finish_reason": None}
    return {**head, "choices": [choice]}
