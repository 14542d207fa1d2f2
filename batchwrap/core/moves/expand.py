"""Expand: turns the model's multi-call into single calls of the agent's own tools, item by item.

    the model writes                          the agent receives
    multi_read(files=[{path: a.py},           read_file(path: a.py)    while b.py is being written
                      {path: b.py}])          read_file(path: b.py)

Read-only items go out as soon as each is complete. From the first item that changes something, the
rest of a multi-call is held back until all of it is there and valid (`reading`): changes are made
all together or not at all.

A complete answer is handled as a stream of one piece, so the two cannot differ.
"""

from __future__ import annotations

from collections import deque
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
from batchwrap.core.tools.tidied import defaults_of
from batchwrap.core.tools.tool_set import ToolSet

# So many calls that are being written are looked at each time that another one begins.
_MOST_UNSETTLED = 64


@dataclass(slots=True, repr=False)
class _Open:
    """A call of the model that is still being written and does not go out piece by piece.

    Attributes:
        index: its index in the provider's stream.
        written: the call as received so far.
        multi: the multi-tool that it calls; None for a single call that may have to wait.
        reading: reads the items of a multi-call.
        nonce: the nonce of its derived ids; empty until the first one is needed.
        seen: how many items were read.
        out: how many calls were made of it.
        first: the first of these calls, and its index in the agent view; None if it waits.
    """

    index: Any
    written: Written
    multi: MultiTool | None
    reading: Reading | None
    is_script: bool = False
    nonce: str = ""
    seen: int = 0
    out: int = 0
    first: tuple[Placed, int | None] | None = None

    @property
    def origin(self) -> str:
        return self.written.call_id

    @property
    def is_closed(self) -> bool:
        return self.reading is not None and self.reading.is_closed


@dataclass(slots=True, repr=False)
class _Passed:
    """A call of the model that goes out piece by piece.

    Attributes:
        place: its index in the agent view.
        placed: the call.
        number: its number in `Waves`.
    """

    place: int
    placed: Placed
    number: int


class Expander:
    """Expands the tool calls of one turn of the model.

    It takes the calls, or their streamed fragments, in order of arrival. While one call is open,
    fragments of later calls wait, so that the agent receives the calls in the model's order.

    Args:
        tool_set: the agent's tools and the multi-tools made from them.
        waves: puts the calls into waves.
        random_text: returns that many random characters, for nonces.
        metrics: where counts and events go.
        is_offered: whether multi-tools were offered through an API that signs thinking.
        is_bound: whether something is signed for the provider view of the conversation. Then one
            call of the turn gets a derived id, so that every process can see in the history that
            multi-tools were offered. A multi-call of which nothing runs goes to the agent as raw
            arguments, since explaining it in a later request would depend on memory.
        asked: makes the digest of the request that travels with a script; None: none may travel.

    Attributes:
        turn: the turn as expanded so far.
        problems: what is wrong with each multi-call, by its id, if nothing of the turn runs.
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
        # Calls that go out piece by piece, by the provider's index, in order of arrival.
        self._passed: dict[Any, _Passed] = {}
        self._unsettled: deque[_Passed] = deque()  # those of them whose arguments are incomplete
        self._later: dict[Any, list[Fragment]] = {}  # fragments that wait for the open call
        self._ended: set[Any] = set()
        self._complete: set[Any] = set()  # those that the provider has ended
        self._open: _Open | None = None
        self._unread: list[tuple[_Open, str]] = []  # multi-calls of which nothing runs, and why
        self.problems: dict[str, str] = {}
        if is_bound:
            self.bind()

    def bind(self) -> None:
        """Record that something in the turn is signed for the provider view (`is_bound`)."""
        if self._is_offered and not self._is_bound:
            self._is_bound = self._marks = True

    @property
    def has_calls(self) -> bool:
        """Whether the model has made a call."""
        return bool(self.turn.calls or self._open)

    def wait_no_more(self) -> list[Fragment]:
        """The calls that wait for others; from here on none does."""
        if not self._waves.wait_no_more():
            return []
        calls: list[Fragment] = []
        for place, placed in enumerate(self.turn.calls):
            if placed.wave:
                self.turn.calls[place] = replace(placed, wave=0)
                derived = ids.decode(placed.call_id)
                whole = placed.written.handed_out(self._take_index())
                calls.append(replace(whole, origin=derived.origin if derived else ""))
        return calls

    def fragment(self, part: Fragment) -> list[Fragment]:
        """The fragments for the agent that replace one; the same object if it is unchanged."""
        index, opened = part.index, self._open
        if index in self._ended:
            return []
        if index in self._passed:
            return [self._pass_on(index, part)]
        if opened is None:
            return self._begin(index, part)
        if index == opened.index:
            return self._feed(opened, opened.written.take(part), part.extras)
        # Another call begins. Not all APIs mark the end of a call, but complete JSON shows it.
        self._later.setdefault(index, []).append(part)
        calls: list[Fragment] = []
        while self._later and self._open is not None and self._open.written.is_complete:
            calls += self._close()
        return calls

    def take_of(self, index: int) -> Take | None:
        """The function that processes the next piece of a call's arguments.

        Args:
            index: the index of the call.

        Returns:
            None if pieces of this call must go through `fragment`.
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
            return self._placed(opened, found) if found else ()

        return take

    def end(self, index: Any) -> list[Fragment]:
        """The calls that become complete when the provider ends a call."""
        self._complete.add(index)
        calls: list[Fragment] = []
        while self._open is not None and self._open.index in self._complete:
            calls += self._close()
        return calls

    def finish(self) -> list[Fragment]:
        """The remaining calls when the message is complete."""
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
        if script is None or script.place:
            placed = self._behind_scripts(scripts.over) if not scripts.is_denied else []
        if script is not None and not placed and not (script.place and self.turn.delivered):
            placed = scripts.next_wave(self._before_scripts, lambda _: False)
            if placed:
                placed[0].written.add_extras(self._scripts[script.place].written.extras)
            self.turn.add([replace(one, wave=0) for one in placed], script)
        if not self.turn.calls:
            self._waves = self._before_scripts  # what becomes of the scripts waits for nothing
            ended = zip(self._scripts, self.turn.scripts, strict=True)
            self._unread += [(opened, scripts.account(script) or "") for opened, script in ended]
        calls = [self._handed_out(one) for one in placed]
        return [*calls, *self._end_unread()]

    def _behind_scripts(self, over: int) -> list[Placed]:
        """The first calls behind so many scripts that made none, where nothing else goes out."""
        if self.turn.delivered:
            return []
        due = [one for one in self.turn.calls if one.wave < (over + 1) * SCRIPT_WAVES]
        placed = [one for one in due if one.wave == min(it.wave for it in due)]
        if placed:
            self.turn.hand_out(tuple(one.call_id for one in placed))
        return placed

    def add_reads(self, reads: Sequence[tuple[SingleTool, str]]) -> list[Fragment]:
        """The calls for reads that are added to the only call of the turn.

        Their derived ids hold the id of that call, so that folding can attach their results to it.
        """
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
        """Handle the first fragment of a call: it goes out at once, or the call is opened."""
        self._settle_passed()
        name = part.function
        multi, script = self._tool_set.multi(name), self._tool_set.script
        is_script = script is not None and name == script.name
        may_wait = self._waves.may_wait(self._effect(name or "", ""))
        # Only a single call that cannot conflict goes out piece by piece: what it touches is known
        # when its arguments are complete, and then it is too late to hold it back.
        if multi is None and not is_script and not may_wait and not (self._marks and part.name):
            return [self._pass_on(index, part)]
        written = Written(part)
        reading = None if multi is None else Reading(multi, self._tool_set.toolbox)
        self._open = opened = _Open(index, written, multi, reading, is_script)
        return self._feed(opened, written.text, {})

    def _feed(self, opened: _Open, text: str, extras: Mapping[str, Any]) -> list[Fragment]:
        """Add to the open call. Its late extra fields are sent after the first call made of it."""
        calls: list[Fragment] = []
        if extras and opened.first is not None:
            placed, index = opened.first
            placed.written.add_extras(extras)
            calls += [] if index is None else [Fragment(index, form="", extras=extras)]
        if opened.reading is None or not text:
            return calls
        return calls + self._placed(opened, opened.reading.feed(text))

    def _placed(self, opened: _Open, found: Sequence[Meant]) -> list[Fragment]:
        """The single calls for the next items of the open call."""
        calls: list[Fragment] = []
        for place, meant in enumerate(found, start=1):
            is_last = opened.is_closed and place == len(found)
            # Only the id of the last item holds the number of items, which is not known before.
            count = opened.seen + 1 if is_last else 0
            calls += self._place(opened, opened.seen, count, meant)
            opened.seen += 1
        return calls

    def _close(self) -> list[Fragment]:
        """Ends the open call, and handles the fragments that waited for it."""
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
        """The remaining calls of a call that is complete; records how well it was understood."""
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
            # If the arguments broke off, the history holds them closed, as providers require.
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
        """The calls for multi-calls of which nothing runs, when the message is complete.

        Empty if other calls of the turn run: the next request then explains to the model what was
        wrong. Otherwise the agent needs a call to answer, and gets the raw arguments.
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
        self._marks = False
        self._scripts.append(opened)
        script = WrittenScript(
            ids.short(opened.origin),
            nonce,
            len(scripts),
            written.call.name,
            written.text,
            code,
            "" if self._asked is None or code is None else self._asked(),
        )
        scripts.append(script)
        before = self._waves.hold_back(SCRIPT_WAVES)
        self._before_scripts = self._before_scripts or before
        return []

    def _end_own(self, opened: _Open) -> list[Fragment]:
        """A single call of the model: it goes out, or waits for other calls of the turn.

        A call that waits, or that has to mark the turn (`is_bound`), gets a derived id.
        """
        written = opened.written
        effect = self._effect(written.call.function, written.text)
        wave = self._waves.place_own(effect)
        # Something without a name is not a call. It is left to the agent, unchanged.
        if not written.is_call or not (wave or self._marks):
            self.turn.calls.append(Placed(written, 0, effect.kind, effect.defaults))
            return [written.handed_out(self._take_index(opened.index))]
        self._marks = False
        derived = ids.DerivedId(self._nonce(opened), 0, 1, SINGLE, opened.origin)
        whole = written.handed_out(None)
        held = Written(replace(whole, call_id=ids.encode(derived), is_typed=True))
        self.turn.calls.append(Placed(held, wave, effect.kind, effect.defaults))
        if wave:
            return []
        return [replace(held.handed_out(self._take_index()), origin=opened.origin)]

    def _place(self, opened: _Open, index: int, count: int, meant: Meant) -> list[Fragment]:
        """The call for one item of a multi-call, if it goes out now."""
        assert opened.multi is not None
        opened.out += 1
        tool, arguments = meant.tool, meant.arguments
        kind, nonce = opened.multi.kind, self._nonce(opened)
        derived = ids.DerivedId(nonce, index, count, kind, opened.origin)
        return self._out(derived, tool.name, arguments, effect_of(tool, arguments), opened)

    def _raw(self, opened: _Open) -> list[Fragment]:
        """The raw arguments as one call, which the agent's own error handling answers.

        The call names the single tool only if that tool must refuse the arguments. Otherwise it
        keeps the name of the multi-tool, which is unknown to the agent.
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
        """Put a derived call into a wave; returns it if it goes out now.

        The first call made of a model's call carries the extra fields of that call, such as
        signatures, and folding takes them back from there.
        """
        is_first = opened is not None and opened.first is None
        self._marks = False
        written = Written(Fragment(None, ids.encode(derived), name, arguments))
        if opened is not None and is_first:
            written.add_extras(opened.written.extras)
        wave = self._waves.place(effect)
        placed = Placed(written, wave, effect.kind, effect.defaults)
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
        """The fragment of a call that goes out piece by piece, with its index in the agent view."""
        passed = self._passed.get(index)
        if passed is not None:
            passed.placed.written.take(part)
        else:
            effect = self._effect(part.function or "", "")
            placed = Placed(Written(part), 0, effect.kind, effect.defaults)
            number = self._waves.pass_on(effect)
            passed = _Passed(self._take_index(index), placed, number)
            self._passed[index] = passed
            self._unsettled.append(passed)
            self.turn.said.append(placed.written)
            self.turn.calls.append(placed)
        return part if index in (None, passed.place) else replace(part, index=passed.place)

    def _settle_passed(self) -> None:
        """Tell the waves the effects of calls that went out before their arguments were known.

        If very many are written at the same time, it looks at some of them, in turn. Until a call
        is settled, it may touch any path.
        """
        for _ in range(min(len(self._unsettled), _MOST_UNSETTLED)):
            passed = self._unsettled.popleft()
            written = passed.placed.written
            if written.is_complete:
                effect = self._effect(written.call.function, written.text)
                self._waves.settle(passed.number, effect)
            else:
                self._unsettled.append(passed)

    def _effect(self, name: str, arguments: str) -> Effect:
        """The effect of a single call. Until its arguments are complete, it may touch any path."""
        tool = self._tool_set.singles.get(name)
        if tool is None or is_json(arguments):
            return effect_of(tool, arguments)
        return Effect(tool.kind, None, defaults_of(tool.parameters))

    def _nonce(self, opened: _Open) -> str:
        """The nonce of a call's derived ids, which is made when the first id needs it."""
        if not opened.nonce:
            opened.nonce = self._new_nonce()
            opened.written.name(f"call_{self._random_text(24)}")
        return opened.nonce

    def _new_nonce(self) -> str:
        """The nonce for the next call of this turn that gets derived ids."""
        self.turn.nonce = self.turn.nonce or self._random_text(ids.NONCE_LENGTH)
        self._groups += 1
        return ids.group_nonce(self.turn.nonce, self._groups - 1)

    def _take_index(self, own: Any = None) -> int:
        """The next index in the agent view: the provider's own, until a call was expanded."""
        kept = isinstance(own, int) and own > self._next_index and not self.turn.nonce
        place = own if kept else self._next_index
        self._next_index = place + 1
        return int(place)


def _is_refused(multi: MultiTool, arguments: str) -> bool:
    """Whether the single tool must refuse a multi-call's arguments: a required one is missing."""
    if multi.is_mixed or multi.single.kind == "barrier":
        return False
    value, required = decoded(arguments), multi.single.required
    return bool(required) and not (isinstance(value, dict) and value.keys() >= set(required))
