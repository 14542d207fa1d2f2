"""Expand: the model's multi-call becomes the agent's own single calls, item by item.

Plain and streamed answers take the same road: a plain message is a stream of one piece.
Read-only items go out as each closes. From the first one that changes something, the rest
of a multi-call is held until all of it is there and fits: an edit is never run in part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from batchwrap.core.exchange_metrics import ExchangeMetrics
from batchwrap.core.formats.calls import Fragment, Written
from batchwrap.core.formats.format import Take, Taken
from batchwrap.core.moves import ids
from batchwrap.core.moves.conflict import Effect, Waves, effect_of
from batchwrap.core.moves.reading import Reading
from batchwrap.core.moves.scripts import TurnScripts
from batchwrap.core.moves.turn_memory import SCRIPT_WAVES, Placed, Turn, WrittenScript
from batchwrap.core.parse import is_json, is_object
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.meaning import Meant, corrections, decoded
from batchwrap.core.tools.multi import AHEAD, SCRIPT, SINGLE, MultiTool
from batchwrap.core.tools.offer import example
from batchwrap.core.tools.script_tool import arguments_of, code_of
from batchwrap.core.tools.tool_set import ToolSet


@dataclass(slots=True, repr=False)
class _Open:
    """One call of the model that is still being written, and is not handed out as it comes."""

    index: Any
    written: Written
    multi: MultiTool | None
    reading: Reading | None
    is_script: bool = False
    nonce: str = ""
    seen: int = 0
    out: int = 0
    first: tuple[Placed, int | None] | None = None  # its first call, and under which index

    @property
    def origin(self) -> str:
        return self.written.call_id

    @property
    def is_closed(self) -> bool:
        return self.reading is not None and self.reading.is_closed


@dataclass(slots=True, repr=False)
class _Passed:
    """A call of the model that goes out as it comes; `number` is what the waves know it by."""

    place: int
    placed: Placed
    number: int


class Expander:
    """Expands the tool calls of one turn of the model.

    Feed it the calls (or their streamed fragments) in the order in which they came. While
    a call is open, fragments of later ones wait, so that the agent gets the calls in the
    model's order.

    Args:
        tool_set: what follows from the agent's tools.
        waves: puts the calls into waves.
        random_text: makes the nonces.
        metrics: where counts and events go.
        is_offered: whether the model was offered multi-tools, by an API that signs.
        is_bound: whether something is signed for the conversation as the model sees it. Then one
            of the turn's calls has an id of ours, so that the history shows in every process
            what the model was offered; and a multi-call of which nothing runs goes to the agent
            as it is, since a memory is needed to tell the model of it later.
        asked: makes the digest of the request that travels with a script; None: nothing may.
    """

    def __init__(
        self,
        tool_set: ToolSet,
        waves: Waves,
        random_text: Callable[[int], str],
        metrics: ExchangeMetrics,
        *,
        is_offered: bool = False,
        is_bound: bool = False,
        asked: Callable[[], str] | None = None,
    ) -> None:
        self._tool_set = tool_set
        self._waves = waves
        self._random_text = random_text
        self._metrics = metrics
        self._asked = asked
        self._scripts: list[_Open] = []
        self._before_scripts: Waves | None = None  # as they stood before the first script
        self._is_offered = is_offered
        self._is_bound = self._marks = False
        self.turn = Turn()
        self._next_index = 0
        self._groups = 0
        # By the provider's index, in the order in which they came.
        self._passed: dict[Any, _Passed] = {}
        self._unsettled: list[_Passed] = []  # of these, those that were still being written
        self._later: dict[Any, list[Fragment]] = {}
        self._ended: set[Any] = set()
        self._open: _Open | None = None
        self._unread: list[tuple[_Open, str]] = []  # multi-calls of which nothing ran, and why
        self.problems: dict[str, str] = {}
        if is_bound:
            self.bind()

    def bind(self) -> None:
        """From here on, something in the turn is signed for what the model was sent."""
        if self._is_offered and not self._is_bound:
            self._is_bound = self._marks = True

    def fragment(self, part: Fragment) -> list[Fragment]:
        """The agent's fragments for one streamed fragment; the same object if unchanged."""
        index, opened = part.index, self._open
        if index in self._ended:
            return []
        if index in self._passed:
            return [self._pass_on(index, part)]
        if opened is None:
            return self._begin(index, part)
        if index == opened.index:
            return self._feed(opened, opened.written.take(part), part.extras)
        self._later.setdefault(index, []).append(part)
        calls: list[Fragment] = []
        while self._later and self._open is not None and self._open.written.is_complete:
            calls += self._close()
        return calls

    def take_of(self, index: int, handed_out: Callable[[], None]) -> Take | None:
        """What takes in the next piece of a call's arguments; None where more is to be read.

        Args:
            index: of the call.
            handed_out: is called when calls come to light in it.
        """
        passed, opened = self._passed.get(index), self._open
        if index in self._ended:
            return None
        if passed is not None:
            return passed.placed.written.add if passed.place == index else None
        if opened is None or opened.index != index:
            return None

        def take(text: str) -> Taken:
            opened.written.add(text)
            found = () if opened.reading is None else opened.reading.feed(text)
            calls = self._placed(opened, found) if found else ()
            if calls:
                handed_out()
            return calls

        return take

    def end(self, index: Any) -> list[Fragment]:
        """What is left of a call that the provider has ended; those before it are ended, too."""
        calls: list[Fragment] = []
        while self._open is not None and (index == self._open.index or index in self._later):
            calls += self._close()
        return calls

    def finish(self) -> list[Fragment]:
        """What is left when the message is complete."""
        calls: list[Fragment] = []
        while self._open is not None:
            calls += self._close()
        return calls if self.turn.scripts else [*calls, *self._end_unread()]

    def run_scripts(self, scripts: TurnScripts) -> list[Fragment]:
        """The first calls of the turn's scripts, or what stands behind those that make none.

        Args:
            scripts: those of the turn, and how far they come without any result.
        """
        assert self._before_scripts is not None
        placed: list[Placed] = []
        script = scripts.active
        if script is not None and (not script.place or not self.turn.calls):
            placed = scripts.next_wave(self._before_scripts, lambda _: False)
            self.turn.add([replace(one, wave=0) for one in placed], script)
        elif not self.turn.delivered and not scripts.is_denied:
            due = [one for one in self.turn.calls if one.wave < (scripts.over + 1) * SCRIPT_WAVES]
            placed = [one for one in due if one.wave == min(it.wave for it in due)]
            self.turn.hand_out(tuple(one.call_id for one in placed))
        if not self.turn.calls:
            ended = zip(self._scripts, self.turn.scripts, strict=True)
            self._unread += [(opened, scripts.account(script) or "") for opened, script in ended]
        calls = [self._handed_out(one) for one in placed]
        return [*calls, *self._end_unread()]

    def add_reads(self, reads: Sequence[tuple[SingleTool, str]]) -> list[Fragment]:
        """The calls of reads that are added to the turn's only call; their ids tell."""
        origin = self.turn.said[0].call_id if reads else ""
        if not origin:
            return []
        nonce = self._new_nonce()
        calls: list[Fragment] = []
        for place, (tool, arguments) in enumerate(reads):
            derived = ids.DerivedId(nonce, place, 0, AHEAD, origin)
            calls += self._out(derived, tool.name, arguments, effect_of(tool, arguments))
        return calls

    def _begin(self, index: Any, part: Fragment) -> list[Fragment]:
        """The first fragment of a call: it goes out as it comes, or the call is opened."""
        self._settle_passed()
        name = part.function
        multi, script = self._tool_set.multi(name), self._tool_set.script
        is_script = script is not None and name == script.name
        may_wait = self._waves.may_wait(self._effect(name or "", ""))
        if multi is None and not is_script and not may_wait and not (self._marks and name):
            return [self._pass_on(index, part)]
        written = Written(part)
        reading = None if multi is None else Reading(multi, self._tool_set.toolbox)
        self._open = opened = _Open(index, written, multi, reading, is_script)
        return self._feed(opened, written.text, {})

    def _feed(self, opened: _Open, text: str, extras: Mapping[str, Any]) -> list[Fragment]:
        """Takes in more of the open call; late fields of it follow its first call."""
        calls: list[Fragment] = []
        if extras and opened.first is not None:
            placed, index = opened.first
            placed.written.add_extras(extras)
            calls += [] if index is None else [Fragment(index, form="", extras=extras)]
        if opened.reading is None or not text:
            return calls
        return calls + self._placed(opened, opened.reading.feed(text))

    def _placed(self, opened: _Open, found: Sequence[Meant]) -> list[Fragment]:
        """The next items of the open call, as calls of the agent's."""
        calls: list[Fragment] = []
        for place, meant in enumerate(found, start=1):
            is_last = opened.is_closed and place == len(found)
            count = opened.seen + 1 if is_last else 0  # the last one tells their number
            calls += self._place(opened, opened.seen, count, meant)
            opened.seen += 1
        return calls

    def _close(self) -> list[Fragment]:
        """Ends the open call and lets those through that waited for it."""
        assert self._open is not None
        opened, self._open = self._open, None
        self._ended.add(opened.index)
        calls = self._end(opened)
        while self._later and self._open is None:
            index = next(iter(self._later))
            first, *others = self._later.pop(index)
            calls += self._begin(index, first)
            calls += [made for part in others for made in self.fragment(part)]
        return calls

    def _end(self, opened: _Open) -> list[Fragment]:
        multi, reading = opened.multi, opened.reading
        self.turn.said.append(opened.written)
        if opened.is_script:
            return self._end_script(opened)
        if multi is None or reading is None:
            return self._end_own(opened)
        calls: list[Fragment] = []
        parts = reading.finish()
        count = opened.seen + len(parts)
        for index, part in enumerate(parts, start=opened.seen):
            if isinstance(part, Meant):
                calls += self._place(opened, index, count, part)
            else:
                notes = self.turn.notes.setdefault(ids.short(opened.origin), {})
                notes[index] = corrections.why_not(part, self._tool_set.toolbox)
        self.turn.counts[ids.short(opened.origin)] = count
        self.turn.readings.append((multi.name, reading.understood))
        if opened.out:
            opened.written.correct(reading.arguments)
            self._metrics.add("multi_calls")
            self._metrics.add("items", opened.out)
            self._metrics.note("expanded", tool=multi.name, items=opened.out)
        elif self._is_bound:
            return self._raw(opened)
        else:
            right = example(multi, ("a.py", "b.py"))
            told = corrections.problem(multi.name, parts, self._tool_set.toolbox, right)
            self._unread.append((opened, told))
        return calls

    def _end_unread(self) -> list[Fragment]:
        """What becomes of multi-calls of which nothing ran, when the message is complete.

        Beside calls that run, the model is told at the next request. Where there are none, the
        agent gets something to answer: the raw arguments.
        """
        unread, self._unread = self._unread, []
        if self.turn.calls:
            for opened, told in unread:
                self._nonce(opened)
                if opened.reading is not None:
                    opened.written.correct(opened.reading.arguments)
                self.turn.refused[ids.short(opened.origin)] = told
            return []
        self.problems = {opened.origin: told for opened, told in unread}
        return [call for opened, _ in unread for call in self._raw(opened)]

    def _end_script(self, opened: _Open) -> list[Fragment]:
        """A script is there as a whole. It runs when the message is complete."""
        written, scripts = opened.written, self.turn.scripts
        code, nonce = code_of(written.text), self._nonce(opened)
        if not is_object(written.text):  # every provider wants an object
            written.correct(arguments_of(written.text))
        asked = "" if self._asked is None or code is None else self._asked()
        origin, name = ids.short(opened.origin), written.call.name
        self._marks = False
        self._scripts.append(opened)
        scripts.append(WrittenScript(origin, nonce, len(scripts), code, name, asked))
        before = self._waves.hold_back(SCRIPT_WAVES)
        self._before_scripts = self._before_scripts or before
        return []

    def _end_own(self, opened: _Open) -> list[Fragment]:
        """A call of the model's own that may have to wait for others of its turn, or is marked."""
        written = opened.written
        effect = self._effect(written.call.function, written.text)
        wave = self._waves.place_own(effect)
        # What is no call is left to the agent, as it came.
        if not written.is_call or not (wave or self._marks):
            self.turn.calls.append(Placed(written, 0, effect.kind))
            return [written.handed_out(self._take_index(opened.index))]
        self._marks = False
        derived = ids.DerivedId(self._nonce(opened), 0, 1, SINGLE, opened.origin)
        whole = written.handed_out(None)
        held = Written(replace(whole, call_id=ids.encode(derived), is_typed=True))
        self.turn.calls.append(Placed(held, wave, effect.kind))
        if wave:
            return []
        return [replace(held.handed_out(self._take_index()), origin=opened.origin)]

    def _place(self, opened: _Open, index: int, count: int, meant: Meant) -> list[Fragment]:
        assert opened.multi is not None
        opened.out += 1
        tool, arguments = meant.tool, meant.arguments
        kind, nonce = opened.multi.kind, self._nonce(opened)
        derived = ids.DerivedId(nonce, index, count, kind, opened.origin)
        return self._out(derived, tool.name, arguments, effect_of(tool, arguments), opened)

    def _raw(self, opened: _Open) -> list[Fragment]:
        """The raw arguments as one call, which the agent's own error handling answers.

        They go to the tool of that kind only if it is sure to refuse them. Else they keep the
        name that the model called: the agent has no such tool, as without batchwrap.
        """
        multi, text = opened.multi, opened.written.text
        kind = SCRIPT if multi is None else multi.kind
        derived = ids.DerivedId(self._nonce(opened), 0, 1, kind.upper(), opened.origin)
        name = opened.written.call.name if multi is None else multi.name
        if multi is not None and _is_refused(multi, text):
            name = multi.single.name
        return self._out(derived, name, text, Effect("barrier", None), opened)

    def _out(
        self,
        derived: ids.DerivedId,
        name: str,
        arguments: str,
        effect: Effect,
        opened: _Open | None = None,
    ) -> list[Fragment]:
        """Places a derived call; the first one of a call carries the fields that it has beside."""
        is_first = opened is not None and opened.first is None
        self._marks = False
        written = Written(Fragment(None, ids.encode(derived), name, arguments))
        if opened is not None and is_first:
            written.add_extras(opened.written.extras)
        wave = self._waves.place(effect)
        placed = Placed(written, wave, effect.kind)
        self.turn.calls.append(placed)
        index = None if wave else self._take_index()
        if opened is not None and is_first:
            opened.first = placed, index
        return [] if index is None else [replace(written.handed_out(index), origin=derived.origin)]

    def _handed_out(self, placed: Placed) -> Fragment:
        """A call that was placed before, as the agent gets it now."""
        derived = ids.decode(placed.call_id)
        call = placed.written.handed_out(self._take_index())
        return call if derived is None else replace(call, origin=derived.origin)

    def _pass_on(self, index: Any, part: Fragment) -> Fragment:
        """A call, or a part of one, that goes out as it is."""
        passed = self._passed.get(index)
        if passed is not None:
            passed.placed.written.take(part)
        else:
            effect = self._effect(part.function or "", "")
            placed = Placed(Written(part), 0, effect.kind)
            number = self._waves.pass_on(effect)
            passed = _Passed(self._take_index(index), placed, number)
            self._passed[index] = passed
            self._unsettled.append(passed)
            self.turn.said.append(placed.written)
            self.turn.calls.append(placed)
        return part if index in (None, passed.place) else replace(part, index=passed.place)

    def _settle_passed(self) -> None:
        """Tells the waves what calls touch that went out before their arguments were there."""
        still = []
        for passed in self._unsettled:
            written = passed.placed.written
            if written.is_complete:
                effect = self._effect(written.call.function, written.text)
                self._waves.settle(passed.number, effect)
            else:
                still.append(passed)
        self._unsettled = still

    def _effect(self, name: str, arguments: str) -> Effect:
        """The effect of a single call; on any path while its arguments are not all there."""
        tool = self._tool_set.singles.get(name)
        if tool is None or is_json(arguments):
            return effect_of(tool, arguments)
        return Effect(tool.kind, None)

    def _nonce(self, opened: _Open) -> str:
        """What names the group of a call; made when the first derived id needs it."""
        if not opened.nonce:
            opened.nonce = self._new_nonce()
            opened.written.name(f"call_{self._random_text(24)}")
        return opened.nonce

    def _new_nonce(self) -> str:
        """What names the next group of this turn."""
        self.turn.nonce = self.turn.nonce or self._random_text(ids.NONCE_LENGTH)
        self._groups += 1
        return ids.group_nonce(self.turn.nonce, self._groups - 1)

    def _take_index(self, own: Any = None) -> int:
        """The next free index; the provider's own while nothing was taken apart."""
        kept = isinstance(own, int) and own > self._next_index and not self.turn.nonce
        place = own if kept else self._next_index
        self._next_index = place + 1
        return int(place)


def _is_refused(multi: MultiTool, arguments: str) -> bool:
    """Whether some arguments of a multi-call lack what a single call of its tool must have."""
    if multi.is_mixed or multi.single.kind == "barrier":
        return False
    value, required = decoded(arguments), multi.single.required
    return bool(required) and not (isinstance(value, dict) and value.keys() >= set(required))
