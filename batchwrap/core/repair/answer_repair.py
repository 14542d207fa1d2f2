"""Repairs one answer before anything else reads it: chunks, choices, and the end.

A healthy chunk or completion is returned as the same object, or as None for "unchanged".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from batchwrap.core.formats import chat
from batchwrap.core.formats.format import Place, Take
from batchwrap.core.repair import faults, shape
from batchwrap.core.repair.answer_forms import as_chunks
from batchwrap.core.repair.choice import ChoiceRepair, call_of
from batchwrap.core.repair.declared_tools import DeclaredTools
from batchwrap.core.repair.diagnosis import read_fault
from batchwrap.core.repair.faults import Broken, Fault
from batchwrap.core.repair.leaks.families import family_of
from batchwrap.core.repair.leaks.leak_gates import Gates
from batchwrap.core.repair.leaks.refused import refused_calls
from batchwrap.core.repair.repair_counts import RepairCounts
from batchwrap.options import Repair

_SWEEP_AT = 64  # chunks of choices that may wait no longer


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AnswerContext:
    """What the repair of an answer depends on.

    Attributes:
        body: the agent's request.
        tools: the tools of both views.
        may_be_empty: whether an empty answer is handed on. After a retry it is.
    """

    body: chat.Body
    tools: DeclaredTools
    may_be_empty: bool = False


class AnswerRepair:
    """Repairs one answer, plain or streamed.

    Attributes:
        is_over: whether the answer has ended with an error. Nothing is handed out after that.

    Args:
        options: what to repair.
        asked: what the repair depends on.
        random_text: returns that many random characters of ``[A-Za-z0-9]``.
        ledger: where repairs are counted.
    """

    def __init__(
        self,
        options: Repair,
        asked: AnswerContext,
        random_text: Callable[[int], str],
        ledger: RepairCounts,
    ) -> None:
        self._options = options
        self._asked = asked
        self._random_text = random_text
        self._ledger = ledger
        self._choices: dict[Any, ChoiceRepair] = {}
        self._gates = Gates(asked.tools, asked.body)
        self._family = family_of(asked.body.get("model"))
        self._chunks: dict[int, chat.Body] = {}  # of choices that wait, by their identity
        self._sweep_at = _SWEEP_AT
        self._last: chat.Body = {"object": "chat.completion.chunk"}
        self._usage: dict[str, Any] | None = None
        self._has_usage = False
        self.is_over = False

    def completion(self, completion: chat.Body) -> chat.Body:
        """A complete completion.

        Raises:
            Broken: it cannot be used.
        """
        error = faults.error_in(completion) if self._options.errors else None
        if error is not None and not completion.get("choices"):
            raise Broken(self._recorded(read_fault(error)))
        listed = completion.get("choices")
        new = list(listed) if isinstance(listed, list) else []
        places = (place for place, choice in enumerate(new) if isinstance(choice, dict))
        try:
            for place, (index, choice) in zip(places, chat.choices(completion), strict=True):
                new[place] = self._choice(index).plain(choice)
        except Broken as broken:
            raise Broken(self._recorded(broken.fault)) from None
        if isinstance(listed, list) and any(a is not b for a, b in zip(new, listed, strict=True)):
            completion = {**completion, "choices": new}
        return self._with_usage(completion)

    def chunk(self, chunk: chat.Body) -> list[chat.Body] | None:
        """The chunks to hand on for one that arrived; None if it goes out unchanged.

        A chunk with an ``error`` is the last one.
        """
        if self.is_over:
            return []
        if "choices" not in chunk or "error" in chunk:
            error = faults.error_in(chunk) if self._options.errors else None
            if error is not None:
                return self._of_error(error, chunk)
        made = self._in_shape(chunk)
        if made is None:
            return []
        try:
            return self._repaired(made, chunk)
        except Broken as broken:
            return self._broken(broken.fault, None)

    def take_of(self, index: int, place: Place) -> Take | None:
        """The function that adds the next piece of a text of a choice, or of a call's arguments.

        Args:
            index: the index of the choice.
            place: the text, or the call.

        Returns:
            None if the chunk must be read in full.
        """
        choice = self._choices.get(index)
        return None if choice is None or self.is_over else choice.take_of(place)

    def end(self, *, marked: bool | None) -> list[chat.Body]:
        """The chunks to hand on when the stream is over.

        Args:
            marked: whether the stream ended with its end mark; None if that is unknown.
        """
        if self.is_over:
            return []
        fault = self._unfinished(marked)
        if fault is not None:
            return self._broken(fault, None)
        try:
            held = [
                one
                for choice in self._choices.values()
                for one in (choice.conclude() if marked else choice.close())
            ]
        except Broken as broken:
            return self._broken(broken.fault, None)
        out = [self._chunk_of(one, self._last) for one in held]
        if self._usage is not None and not self._has_usage and self._options.stream:
            self._ledger.repaired("usage")
            choice = {"index": 0, "delta": {}, "finish_reason": None}
            out.append({**_head(self._last), "choices": [choice], "usage": self._usage})
        return out

    def lost(self, fault: Fault) -> list[chat.Body]:
        """The chunks to hand on after an event that cannot be read, so part of the answer is lost.

        After the end of the answer, nothing can be lost.
        """
        finished = any(choice.is_finished for choice in self._choices.values())
        return [] if self.is_over or finished else self._broken(fault, None)

    def rebuilt(self, error: Mapping[str, Any]) -> chat.Body | None:
        """The completion that an error withholds, if it consists of calls that may go out."""
        if self._options.leaked_calls == "off":
            return None
        promoted = refused_calls(error, self._asked.tools, self._family, self._gates)
        if not promoted:
            return None
        calls = [call_of(one, self._random_text) for one in promoted]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
        return {
            "id": f"chatcmpl-bw{self._random_text(24)}",
            "object": "chat.completion",
            "created": 0,
            "model": self._asked.body.get("model"),
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        }

    def _of_error(self, error: Mapping[str, Any], chunk: chat.Body) -> list[chat.Body]:
        """The chunks for an error: the calls that it withholds, or the end of the answer."""
        has_called = any(choice.has_called for choice in self._choices.values())
        withheld = None if has_called else self.rebuilt(error)
        if withheld is None:
            return self._broken(read_fault(error), chunk)
        self._ledger.repaired("refused_calls")
        out: list[chat.Body] = []
        for one in as_chunks(withheld, with_usage=False):
            made = self._repaired(one, one)
            out += [one] if made is None else made
        return out

    def _unfinished(self, marked: bool | None) -> Fault | None:
        """Why a stream is incomplete; None if it is complete."""
        if not self._options.errors:
            return None
        if any(choice.is_open for choice in self._choices.values()):
            return faults.INCOMPLETE
        finished = any(choice.is_finished for choice in self._choices.values())
        return None if finished or marked is not False else faults.INCOMPLETE

    def _in_shape(self, chunk: chat.Body) -> chat.Body | None:
        """The chunk with a list of choices; None if it is to be dropped."""
        if not self._options.stream or type(chunk.get("choices")) is list:
            return chunk
        made = shape.with_choices(chunk)
        if made is not chunk:
            self._ledger.repaired("chunk_shape")
        return made

    def _repaired(self, made: chat.Body, chunk: chat.Body) -> list[chat.Body] | None:
        self._last = chunk
        self._note_usage(made)
        out: list[chat.Body] = []
        new: list[Any] = []
        given = list(chat.choices(made))
        for index, choice in given:
            released = self._choice(index).delta(choice)
            if not released:
                self._keep(choice, chunk)
                continue
            # What was held is released, and this choice is held instead.
            if id(released[-1]) in self._chunks:
                out += [self._chunk_of(one, made) for one in released]
                self._keep(choice, chunk)
                continue
            out += [self._chunk_of(one, made) for one in released[:-1]]
            new.append(released[-1])
        if not given or (
            len(new) == len(given) and all(a is b for a, (_, b) in zip(new, given, strict=True))
        ):
            return None if made is chunk and not out else [*out, made]
        if new:
            return [*out, {**made, "choices": new}]
        if made.get("usage"):  # the chunk is dropped, but its usage must arrive
            silent = {**given[0][1], "delta": {}}
            return [*out, {**made, "choices": [silent]}]
        return out

    def _keep(self, choice: dict[str, Any], chunk: chat.Body) -> None:
        """Keep the chunk of a choice that is held, and sometimes drop chunks that are replaced."""
        self._chunks[id(choice)] = chunk
        if len(self._chunks) < self._sweep_at:
            return
        held = {id(one) for choice in self._choices.values() for one in choice.held}
        self._chunks = {key: kept for key, kept in self._chunks.items() if key in held}
        self._sweep_at = 2 * len(self._chunks) + _SWEEP_AT

    def _chunk_of(self, choice: dict[str, Any], like: chat.Body) -> chat.Body:
        """The chunk of a choice that was held, or a new chunk."""
        waited = self._chunks.pop(id(choice), None)
        if waited is not None and len(waited.get("choices") or ()) == 1:
            return waited
        return {**_head(waited or like), "choices": [choice]}

    def _flushed(self) -> list[chat.Body]:
        """The texts that the choices hold, unchanged."""
        held = (one for choice in self._choices.values() for one in choice.flush())
        return [self._chunk_of(one, self._last) for one in held]

    def _broken(self, fault: Fault, chunk: chat.Body | None) -> list[chat.Body]:
        """The last chunks of an answer that cannot be continued: the held texts, and the error."""
        texts = self._flushed()
        self.is_over = True
        self._recorded(fault)
        # SDKs raise their own error for an event with an `error` object, and for no other shape.
        wrapped = chunk is not None and isinstance(chunk.get("error"), dict)
        if chunk is not None and wrapped:
            return [*texts, chunk]
        error = faults.error_in(chunk) if chunk is not None else None
        return [*texts, {"error": dict(error)} if error else fault.body()]

    def _recorded(self, fault: Fault) -> Fault:
        self._ledger.defect(fault.kind, **fault.facts)
        return fault

    def _note_usage(self, chunk: chat.Body) -> None:
        # Some servers report usage only inside a choice or under another name.
        self._has_usage = self._has_usage or bool(chunk.get("usage"))
        if not self._has_usage:
            self._usage = shape.usage_inside(chunk) or self._usage

    def _with_usage(self, completion: chat.Body) -> chat.Body:
        usage = None if completion.get("usage") else shape.usage_inside(completion)
        if usage is None or not self._options.stream:
            return completion
        self._ledger.repaired("usage")
        return {**completion, "usage": usage}

    def _choice(self, index: Any) -> ChoiceRepair:
        if index not in self._choices:
            self._choices[index] = ChoiceRepair(
                self._options,
                tools=self._asked.tools,
                family=self._family,
                gates=self._gates,
                random_text=self._random_text,
                ledger=self._ledger,
                may_be_empty=self._asked.may_be_empty,
            )
        return self._choices[index]


def _head(chunk: chat.Body) -> chat.Body:
    """The fields that all chunks of an answer share."""
    return {key: value for key, value in chunk.items() if key not in ("choices", "usage")}
