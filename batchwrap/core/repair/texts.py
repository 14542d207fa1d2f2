"""Repairs the texts of a message: reasoning in the text, leaked calls, residue of markup.

Deltas are held only while their text may be markup, and go out as the same objects if it is
not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from batchwrap.core.formats import chat
from batchwrap.core.repair.faults import TRUNCATED, Broken
from batchwrap.core.repair.leaks.dialect import Leak
from batchwrap.core.repair.leaks.families import Family, prefills_think
from batchwrap.core.repair.leaks.leak_gates import Gates, Promoted
from batchwrap.core.repair.leaks.scanner import Found, LeakScanner
from batchwrap.core.repair.repair_counts import RepairCounts
from batchwrap.core.repair.think import Channels, ReasoningSplitter, ThinkTags
from batchwrap.options import Repair

_COMPLETE = (None, "stop", "tool_calls")  # reasons of an answer that came to its end
Choice = dict[str, Any]


class TextRepair:
    """Repairs the texts of one choice.

    Args:
        options: what to repair.
        family: the model's family.
        gates: decide when markup is a call.
        ledger: where repairs are counted.
    """

    def __init__(self, options: Repair, family: Family, gates: Gates, ledger: RepairCounts) -> None:
        self._gates = gates
        self._ledger = ledger
        self._queue: list[Choice] = []
        self._said = self._has_thought = False
        self._index: Any = 0
        gated = options.leaked_calls == "gated" and gates.may_call
        dialects = family.dialects if gated else ()
        residue = family.residue if options.calls and gates.may_call else ()
        self._content = LeakScanner(dialects, residue)
        # A call of a `whole` dialect is the whole answer, which reasoning never is.
        self._thoughts = LeakScanner([d for d in dialects if not d.whole])
        self._splitters: list[ReasoningSplitter] = []
        if options.think_tags != "off":
            prefilled = options.think_tags == "prefilled" and prefills_think(gates.model)
            self._splitters.append(ThinkTags(prefilled=prefilled))
        if options.leaked_calls == "gated" and family.has_channels:
            self._splitters.append(Channels())
        self.is_needed = bool(dialects or residue or self._splitters)

    @property
    def held(self) -> Sequence[Choice]:
        """The choices that are held because their text may be markup."""
        return self._queue

    def passes(self, content: str) -> bool:
        """A quick check whether a text can go out at once. If so, it is recorded."""
        if self._queue or self._splitters or not self._content.passes(content):
            return False
        if content.strip():
            self._said = True
        return True

    def passes_reasoning(self, text: str) -> bool:
        """The same for reasoning content."""
        return not self._queue and self._thoughts.passes(text)

    def delta(self, choice: Choice) -> list[Choice]:
        """The choices to hand on for a choice with text; the same object if it needs no repair."""
        self._index = choice.get("index", 0)
        choice = self._split(choice)
        delta = chat.part_of(choice)
        clear = self._feed(delta)
        if not clear:
            self._queue.append(choice)
            return []
        queue, self._queue = self._queue, []
        return [*queue, choice]

    def finish(
        self, finish_reason: object, called: Sequence[tuple[str, str]]
    ) -> tuple[list[Choice], list[Promoted]]:
        """The held choices at the end of the answer, and the calls that were found in them.

        Args:
            finish_reason: the provider's, in the API's words.
            called: name and arguments of the message's structured calls.

        Raises:
            Broken: the text ends in the middle of a call.
        """
        self._flush_splitters()
        # Beside structured calls, remains of markup at the end are no text of the model.
        left = self._content.residue() if called else None
        if left is not None:
            self._ledger.repaired("residue")
            return self._release(self._content, left), []
        found, scanner = self._content.finish(), self._content
        # Some models put their calls into the reasoning. That counts only if there is no answer.
        if found is None and not self._said:
            found, scanner = self._thoughts.finish(), self._thoughts
        promoted: list[Promoted] = []
        cut = self._left_over(found, called)
        if cut is None and found is not None and not called:
            promoted = self._promote(found, finish_reason)
            cut = found.before if promoted else None
        elif not called and finish_reason in (*_COMPLETE, "length"):
            self._refuse_truncated_call(is_cut=finish_reason == "length")
        return self._release(scanner, cut), promoted

    def _refuse_truncated_call(self, *, is_cut: bool) -> None:
        """Raise an error for a call that breaks off: no agent would run it, or notice the loss.

        Args:
            is_cut: whether the finish reason says that the answer was cut off. Otherwise its
                structure decides, because routers rewrite the reason.
        """
        cut = [one for one in (self._content, self._thoughts) if one.is_cut]
        if not cut or (cut[0] is self._thoughts and self._said):
            return
        is_call = self._gates.is_truncated_call(cut[0].block)
        if is_call and (is_cut or cut[0].breaks_off):
            raise Broken(TRUNCATED)
        if is_cut:
            self._ledger.defect(TRUNCATED.kind, **TRUNCATED.facts)
        elif is_call:
            self._ledger.defect("leaked_call", reason="not_closed")

    def flush(self) -> list[Choice]:
        """The held choices, unchanged, of an incomplete answer."""
        self._flush_splitters()
        return self._release(self._content, None)

    def _feed(self, delta: chat.Message) -> bool:
        """Pass a delta to the scanners; returns whether everything that is held can go out."""
        content, thoughts = delta.get("content"), _thoughts_of(delta)
        clear = not self._thoughts.size and not self._content.size
        if thoughts:
            clear = self._thoughts.feed(thoughts) and not self._content.size
        if isinstance(content, str) and content:
            clear = self._content.feed(content)
            if content.strip():
                self._said = self._said or clear
        if self._said and self._thoughts.size:
            self._thoughts.release()  # reasoning followed by an answer holds no leaked call
        return clear and not self._thoughts.size

    def _left_over(self, found: Found | None, called: Sequence[tuple[str, str]]) -> int | None:
        """Where the held text ends if the rest merely repeats the structured calls."""
        if not called or found is None:
            return None
        if not all(_is_among(call, called) for call in found.calls):
            return None
        self._ledger.repaired("residue")
        return found.before

    def _promote(self, found: Found, finish_reason: object) -> list[Promoted]:
        judged = self._gates.judge(found.calls, found.blocks, finish_reason)
        if isinstance(judged, str):
            kind = "truncated_tool_call" if judged == "finish_length" else "leaked_call"
            self._ledger.defect(kind, reason=judged)
            return []
        self._ledger.repaired("leaked_calls")
        return judged

    def _release(self, scanner: LeakScanner, cut: int | None) -> list[Choice]:
        """The held choices. With `cut`, they become one choice with the text up to there."""
        queue, self._queue = self._queue, []
        if cut is not None and queue:
            queue = _as_one(queue, scanner is self._thoughts, scanner.size - cut)
        for one in (self._content, self._thoughts):
            one.release()
        return queue

    def _split(self, choice: Choice) -> Choice:
        """The choice with reasoning moved from the text into its own field."""
        delta = chat.part_of(choice)
        content = delta.get("content")
        if not self._splitters or not isinstance(content, str) or not content:
            return choice
        text, thoughts = content, ""
        for splitter in self._splitters:
            text, thought = splitter.feed(text)
            thoughts += thought
        self._splitters = [one for one in self._splitters if not one.is_done]
        self._note_thoughts(thoughts)
        if text == content:
            return choice
        return _with_texts(choice, text, thoughts)

    def _note_thoughts(self, thoughts: str) -> None:
        if thoughts and not self._has_thought:
            self._has_thought = True
            self._ledger.repaired("think_tags")

    def _flush_splitters(self) -> None:
        """Pass what the splitters hold to the scanners, as one more delta."""
        text, thoughts = "", ""
        for splitter in self._splitters:
            passed, thought = splitter.feed(text) if text else ("", "")
            left, more = splitter.finish()
            text, thoughts = passed + left, thoughts + thought + more
        self._splitters = []
        self._note_thoughts(thoughts)
        if text or thoughts:
            bare: Choice = {"index": self._index, "delta": {}, "finish_reason": None}
            choice = _with_texts(bare, text, thoughts)
            self._feed(choice["delta"])
            self._queue.append(choice)


def _thoughts_of(delta: chat.Message) -> str:
    found = (delta.get(name) for name in chat.TEXTS[1:])
    return next((text for text in found if isinstance(text, str) and text), "")


def _with_texts(choice: Choice, content: str, thoughts: str) -> Choice:
    """A copy of the choice with other text and reasoning."""
    delta = {k: v for k, v in chat.part_of(choice).items() if k != "content"}
    if content or "role" in delta:
        delta["content"] = content
    if thoughts:
        delta["reasoning_content"] = _thoughts_of(delta) + thoughts
    return {**choice, "delta": delta}


def _as_one(queue: Sequence[Choice], in_thoughts: bool, less: int) -> list[Choice]:
    """One choice in place of several, with that many characters removed at the end."""
    first = queue[0]
    deltas = [chat.part_of(choice) for choice in queue]
    content = "".join(str(delta.get("content") or "") for delta in deltas)
    thoughts = "".join(map(_thoughts_of, deltas))
    if in_thoughts:
        thoughts = thoughts[: len(thoughts) - less].rstrip()
    else:
        content = content[: len(content) - less].rstrip()
    role = {k: v for k, v in chat.part_of(first).items() if k == "role"}
    bare = {**first, "delta": role}
    if not (content or thoughts or role):
        return []
    return [_with_texts(bare, content, thoughts)]


def _is_among(leak: Leak, called: Sequence[tuple[str, str]]) -> bool:
    """Whether a call in the text repeats one of the structured calls."""
    return any(leak.name == name and _same(leak.given, text) for name, text in called)


def _same(given: str | dict[str, Any], text: str) -> bool:
    try:
        wanted = orjson.loads(given) if isinstance(given, str) else given
        return bool(wanted == orjson.loads(text))
    except orjson.JSONDecodeError:
        return False
