"""Repairs one choice of an answer, plain or streamed: shape, texts, calls, end.

A healthy choice is returned as the same object. A completion is treated as a stream of one delta.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.formats.format import Look, Place, Take, Taken
from batchwrap.core.growing import Growing
from batchwrap.core.repair import faults, shape
from batchwrap.core.repair.call_repair import ID_LENGTH, CallRepair
from batchwrap.core.repair.declared_tools import DeclaredTools
from batchwrap.core.repair.diagnosis import failed
from batchwrap.core.repair.finish_reasons import FAILED, standard_reason
from batchwrap.core.repair.leaks.families import Family
from batchwrap.core.repair.leaks.leak_gates import Gates, Promoted
from batchwrap.core.repair.repair_counts import RepairCounts
from batchwrap.core.repair.snapshots import TextSnapshots
from batchwrap.core.repair.texts import TextRepair
from batchwrap.options import Repair

Choice = dict[str, Any]

_SILENT = frozenset({"role", "tool_calls", "index", "name"})
_THOUGHTS = _SILENT | {"reasoning", "reasoning_content", "reasoning_details"}


class ChoiceRepair:
    """Repairs one choice of an answer. Each choice needs an instance of its own.

    Args:
        options: what to repair.
        tools: what may be called.
        family: the model's family.
        gates: decide when markup in the text is a call.
        random_text: returns that many random characters of ``[A-Za-z0-9]``.
        ledger: where repairs are counted.
        may_be_empty: whether an empty answer is handed on.
    """

    def __init__(
        self,
        options: Repair,
        *,
        tools: DeclaredTools,
        family: Family,
        gates: Gates,
        random_text: Callable[[int], str],
        ledger: RepairCounts,
        may_be_empty: bool = False,
    ) -> None:
        self._options = options
        self._may_be_empty = may_be_empty or not options.errors
        self._random_text = random_text
        self._ledger = ledger
        self._calls = CallRepair(options, tools, random_text, ledger)
        self._texts = TextRepair(options, family, gates, ledger)
        self._reads_text = self._texts.is_needed
        self._snapshots: TextSnapshots | None = None
        if options.snapshots:
            self._snapshots = TextSnapshots(lambda: ledger.repaired("snapshots"))
        self._waiting: list[Choice] = []
        self._pieces: list[str] = []  # of the text, since it was looked at as a whole
        self._content = Growing()
        self._called: list[tuple[str, list[str]]] = []
        self._has_legacy_call = False
        self._index: Any = 0
        self._has_answered = False
        self.has_said = False
        self.is_finished = False

    def delta(self, choice: Choice) -> list[Choice]:
        """The choices to hand on for one of a chunk, in order.

        Raises:
            Broken: the answer cannot go on.
        """
        if self._snapshots is not None:
            return [one for given in self._snapshots.feed(choice) for one in self._any_delta(given)]
        return self._any_delta(choice)

    def take_of(self, place: Place) -> Take | None:
        """The function that adds the next piece of a text, or of a call's arguments.

        Args:
            place: the index of the call; None for the text; the field of reasoning content.

        Returns:
            None if the chunk must be read in full.
        """
        key = "" if isinstance(place, int) else place or "content"
        if self._waiting or not (self._snapshots is None or self._snapshots.passes(key)):
            return None
        if isinstance(place, int):
            return self._with_note(self._calls.take_of(place))
        if not (self.has_said and (place or self._has_answered)):
            return None
        if place:
            return self._take_reasoning if self._reads_text else _unread
        return self._take_text if self._reads_text else self._pieces.append

    def _take_text(self, text: str) -> Taken:
        if not self._texts.passes(text):
            return Look.CLOSER
        self._pieces.append(text)
        return None

    def _take_reasoning(self, text: str) -> Taken:
        return None if self._texts.passes_reasoning(text) else Look.CLOSER

    def _with_note(self, take: Take | None) -> Take | None:
        """The function, extended to record the arguments if they are needed at the end."""
        if take is None or not (self._reads_text and self._called):
            return take
        note = self._called[-1][1].append

        def both(text: str) -> Taken:
            taken = take(text)
            if taken is not Look.CLOSER:
                note(text)
            return taken

        return both

    def plain(self, choice: Choice) -> Choice:
        """The choice of a completion.

        Raises:
            Broken: it cannot be used.
        """
        choice = self._shaped(choice, shape.plain(choice) if self._options.stream else choice)
        message = chat.part_of(choice)
        calls = chat.tool_calls(message)
        self._note_content(message)
        made = self._calls.plain(calls)
        promoted = self._plain_texts(choice, message, made)
        new = promoted[0]
        made += [call_of(one, self._random_text) for one in promoted[1]]
        if len(made) != len(calls) or any(a is not b for a, b in zip(made, calls, strict=False)):
            new = {**new, "tool_calls": made}
        if new is not message:
            choice = {**choice, "message": new}
        self._note_answer([choice])
        return self._ended(choice, len(promoted[1]))

    def flush(self) -> list[Choice]:
        """The texts that were held, for an answer that cannot be continued; no calls."""
        return [*self._last_snapshots(), *self._texts.flush()]

    def _last_snapshots(self) -> list[Choice]:
        """The choices that were held until it was known whether they are snapshots."""
        held = [] if self._snapshots is None else self._snapshots.finish()
        return [one for given in held for one in self._any_delta(given)]

    def conclude(self) -> list[Choice]:
        """The end of an answer that is complete, because the stream's end mark has arrived.

        If no finish reason has arrived, it is derived from the content.

        Raises:
            Broken: it cannot be used.
        """
        is_silent = not (self.has_said or self._calls.has_called or self._has_legacy_call)
        if self.is_finished or self.is_open or is_silent or not self._options.stream:
            return self.close()
        snapshots = self._last_snapshots()
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._calls.mark_sent()
        self._ledger.repaired("finish_reason")
        reason = "tool_calls" if self._calls.has_called else "stop"
        reason = "function_call" if self._has_legacy_call else reason
        silent = {"index": self._index, "delta": {}, "finish_reason": reason}
        return [*snapshots, *waiting, *self._finish(silent)]

    def close(self) -> list[Choice]:
        """Everything that was held, for an answer that ended without a finish reason."""
        snapshots = self._last_snapshots()
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._calls.mark_sent()
        rest = self._calls.finish()
        bare = {"index": self._index, "finish_reason": None}
        calls: list[Choice] = [{**bare, "delta": {"tool_calls": rest}}] if rest else []
        return [*snapshots, *waiting, *self._texts.flush(), *calls]

    @property
    def has_called(self) -> bool:
        """Whether a structured call has arrived."""
        return self._calls.has_called

    @property
    def held(self) -> Iterator[Choice]:
        """The choices that are held until more arrives."""
        yield from self._waiting
        yield from self._texts.held
        yield from () if self._snapshots is None else self._snapshots.held

    @property
    def is_open(self) -> bool:
        """Whether a call is incomplete."""
        return not self.is_finished and self._calls.unfinished

    def _any_delta(self, choice: Choice) -> list[Choice]:
        self._index = choice.get("index", 0)
        if self._options.stream:
            # Some servers send the whole message in the last chunk. Only the rest of it is new.
            if self._pieces and choice.get("message") is not None:
                self._content.add("".join(self._pieces))
                self._pieces.clear()
            said, called = self._content, self._calls.has_called
            choice = self._shaped(choice, shape.streamed(choice, said, has_called=called))
        delta = chat.part_of(choice)
        self._note_content(delta)
        if not self._reads_text:
            self._note_answer([choice])
        out: list[Choice] = []
        if self._reads_text and shape.has_text(delta):
            out = self._texts.delta(choice)
            self._note_answer(out)
            if len(out) == 1 and out[0] is choice:
                out = []
            else:
                choice = shape.without_texts(choice)
                if not shape.is_relevant(choice):
                    return out
        out += self._with_calls(choice)
        if choice.get("finish_reason"):
            ending = out.pop() if out and out[-1].get("finish_reason") else choice
            out += self._finish(ending)
        return out

    def _with_calls(self, choice: Choice) -> list[Choice]:
        """The choice with repaired calls, after the choices that were held for it."""
        delta = chat.part_of(choice)
        calls = chat.tool_calls(delta)
        for call in calls if self._reads_text else ():
            self._note(call)
        waiting, self._waiting = self._waiting, []
        if not calls:
            if waiting:
                self._calls.mark_sent()
            return [*waiting, choice]
        rest = {key: value for key, value in delta.items() if key != "tool_calls"}
        # A delta with anything else in it must not wait.
        alone = not choice.get("finish_reason") and not any(rest.values())
        made = self._calls.delta(calls, may_wait=alone)
        if self._calls.is_waiting:
            self._waiting = [*waiting, choice]
            return []
        if len(made) == len(calls) and all(a is b for a, b in zip(made, calls, strict=True)):
            return [*waiting, choice]
        out = [shape.opening(one) for one in waiting if shape.opens(one)]
        if made:
            return [*out, {**choice, "delta": {**rest, "tool_calls": made}}]
        silent = {**choice, "delta": rest}
        return [*out, silent] if shape.is_relevant(silent) else out

    def _finish(self, choice: Choice) -> list[Choice]:
        """Held texts, the last fragments of calls, and the end of a choice."""
        rest = self._calls.finish()
        called = [(name, "".join(arguments)) for name, arguments in self._called]
        texts, promoted = self._texts.finish(_reason_of(choice), called)
        self._note_answer(texts)
        calls = [*rest, *(call_of(one, self._random_text) for one in promoted)]
        # Calls are promoted only if there is no structured one, so their indices begin at 0.
        for place, call in enumerate(calls[len(rest) :]):
            call["index"] = place
        ended = self._ended(choice, len(promoted))
        if not calls:
            return [*texts, ended]
        between = {**choice, "delta": {"tool_calls": calls}, "finish_reason": None}
        return [*texts, between, ended]

    def _ended(self, choice: Choice, promoted: int = 0) -> Choice:
        """The choice with a correct finish reason.

        Many servers end with ``stop`` although they have sent calls; agents then do not run
        them. https://github.com/vercel/workflow/issues/1387
        """
        error, reason = choice.get("error"), choice.get("finish_reason")
        kind = FAILED.get(reason.lower()) if isinstance(reason, str) else None
        if self._options.errors and (isinstance(error, dict) or kind is not None):
            raise faults.Broken(failed(error, str(reason), kind))
        self.is_finished = self.is_finished or bool(reason)
        has_called = self._calls.has_called or bool(promoted)
        meant = self._true_reason(reason, has_called=has_called)
        silent = not (has_called or self._has_legacy_call)
        if meant == "stop" and silent and not (self.has_said or self._may_be_empty):
            raise faults.Broken(faults.EMPTY)
        if reason and silent and self.has_said and not self._has_answered:
            self._ledger.defect("no_answer")  # it holds reasoning only
        if meant == reason:
            return choice
        self._ledger.repaired("finish_reason")
        return {**choice, "finish_reason": meant}

    def _true_reason(self, reason: object, *, has_called: bool) -> object:
        """The correct finish reason, given whether there are calls."""
        if not isinstance(reason, str) or not self._options.stream:
            return reason
        meant = standard_reason(reason)
        if self._has_legacy_call:  # `function_call` has its own finish reason
            return meant
        if meant in ("stop", "function_call") and has_called and not self._calls.is_cut:
            return "tool_calls"
        if meant == "tool_calls" and not has_called:
            self._ledger.defect("finish_tool_calls_without_calls")
            return "stop"
        return meant

    def _plain_texts(
        self, choice: Choice, message: chat.Message, calls: list[chat.ToolCall]
    ) -> tuple[chat.Message, list[Promoted]]:
        if not self._reads_text:
            return message, []
        texts = {key: message[key] for key in chat.TEXTS if isinstance(message.get(key), str)}
        # A whole message is read like a stream with one delta.
        out = self._texts.delta({"delta": texts})
        called = [(chat.name_of(call), chat.arguments_of(call)) for call in calls]
        held, promoted = self._texts.finish(_reason_of(choice), called)
        deltas = [chat.part_of(one) for one in (*out, *held)]
        said = {key: "".join(str(delta.get(key) or "") for delta in deltas) for key in chat.TEXTS}
        changed = {key: text for key, text in said.items() if text != (texts.get(key) or "")}
        if not changed:
            return message, promoted
        return {**message, **{key: text or None for key, text in changed.items()}}, promoted

    def _shaped(self, before: Choice, after: Choice) -> Choice:
        if after is not before:
            self._ledger.repaired("chunk_shape")
        return after

    def _note_content(self, part: chat.Message) -> None:
        content = part.get("content")
        if isinstance(content, str) and content:
            self._pieces.append(content)
        self.has_said = self.has_said or any(
            value for key, value in part.items() if key not in _SILENT
        )
        self._has_legacy_call |= bool(part.get("function_call"))

    def _note_answer(self, choices: list[Choice]) -> None:
        """Record whether there is more than reasoning content."""
        self._has_answered = self._has_answered or any(
            value
            for choice in choices
            for key, value in chat.part_of(choice).items()
            if key not in _THOUGHTS
        )

    def _note(self, call: chat.ToolCall) -> None:
        """Keep name and arguments of structured calls, to recognise copies of them in the text."""
        function = chat.function_of(call)
        if function.get("name"):
            self._called.append((str(function["name"]), []))
        if self._called and isinstance(function.get("arguments"), str):
            self._called[-1][1].append(function["arguments"])


def _unread(text: str) -> None:
    """Reasoning content goes out as it came, and what is known of the choice stays the same."""


def _reason_of(choice: Choice) -> object:
    """The finish reason, in the API's words."""
    reason = choice.get("finish_reason")
    return standard_reason(reason) if isinstance(reason, str) and reason else None


def call_of(promoted: Promoted, random_text: Callable[[int], str]) -> chat.ToolCall:
    """A promoted call in the form of the API, with a generated id if it has none."""
    function = {"name": promoted.name, "arguments": promoted.arguments}
    call_id = promoted.call_id or random_text(ID_LENGTH)
    return {"id": call_id, "type": "function", "function": function}
