"""Decides when a reminder is due, by the conversation and the facts at each place of it (`gates`).

    user    Fix the tests.
    model   read_file(a.py)                   single call 1
    result  text of a.py, which names b.py
    model   read_file(b.py)                   single call 2: a lapse, both could have been one batch
    result  text of b.py
            [Reminder: …]                     added here, and again in every later request

The agent's history never contains reminders. So each request walks through the conversation again
and comes to the same decisions: a reminder stands at the same place, with the same text, in every
later request, and the prompt prefix stays stable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry, Role
from batchwrap.core.model import Order
from batchwrap.core.moves import cap
from batchwrap.core.moves.mentions import Mentions
from batchwrap.core.moves.past_turns import by_id
from batchwrap.core.moves.results import added_in
from batchwrap.core.reminders import directives, placement
from batchwrap.core.reminders.directives import Ready
from batchwrap.core.reminders.gates import Facts, Places
from batchwrap.core.reminders.left import left_to_read
from batchwrap.core.reminders.modes import marker_in
from batchwrap.core.reminders.prompts import SEVERAL, Named, is_prompt, names_several
from batchwrap.core.reminders.turns import Made, Single, could_be_one, could_be_scripted
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.multi import MultiTool
from batchwrap.core.tools.script_tool import ScriptTool
from batchwrap.directives import DirectiveKind, Marker, Mode
from batchwrap.options import Reminders

# A reminder is due after this number of turns that only update the to-do list.
_ALONE = 2
_NO_FACTS = Facts()
_CHANGES = ("edit", "write")
# A reminder is due after this number of single calls that a program could have made.
_CHAINED = 3
# A plan turns to edits with a single edit after this number of turns that only look; a batch of
# reads counts as two. In 597 recorded sessions, 9 of 10 such edits were followed by more turns with
# edits, by 8 on average, whether 1, 2, 3 or 4 turns came before.
_LOOKED = 2
# A directive that follows from the conversation alone (a prompt that names files, a plan that turns
# to edits) is not given again in it after it was ignored this often in a row.
_IGNORED = 2
# At most this many single calls of a lapse are remembered; a reminder shows the last two.
_MOST_LAPSES = 32


@dataclass(frozen=True, kw_only=True)  # no slots: it keeps what follows from its fields
class Offered:
    """What reminders need to know of the request besides its conversation.

    Attributes:
        multis: the multi-tools on offer, by name.
        cap: the number of items that their schemas allow.
        failed: whether the text of a result reports a failure.
        context_tokens: the size of the model's context window; None if it is unknown.
        ready: the directives that may be given.
        todo: the name of the agent's tool for a to-do list; None if it has none.
        batches: names of other tools whose calls are batches.
        avoided: places where the model takes no reminder as a message of its own.
        script: runs programs over the tools; None if it is not offered.
    """

    multis: Mapping[str, MultiTool]
    cap: int
    failed: Callable[[str], bool]
    context_tokens: int | None = None
    ready: Sequence[Ready] = ()
    todo: str | None = None
    batches: Set[str] = frozenset()
    avoided: Set[Order] = frozenset()
    script: ScriptTool | None = None

    @cached_property
    def own(self) -> dict[str, MultiTool]:
        """The multi-tools for a single tool, by the name of that tool."""
        return {multi.single.name: multi for multi in self.multis.values() if not multi.is_mixed}

    @cached_property
    def singles(self) -> dict[str, SingleTool]:
        """The tools that the multi-tools run, by name."""
        return {name: tool for multi in self.multis.values() for name, tool in multi.tools.items()}


@dataclass(repr=False)  # no slots: each request copies it as a whole
class Walk:
    """The state of a walk through a conversation, in the provider view, up to one entry.

    Attributes:
        offered: what is offered to the model.
        options: the user's options; None if reminders are switched off.
        cap: the number of items that a batch may have, by the failures so far.
        tokens: a rough estimate of the entries' tokens; 0 if the context's size is unknown.
        turns: the turns of the model since the last batch or reminder.
        lapse: consecutive single calls that could have been one batch.
        chain: consecutive single calls that a program could have made.
        reminded: the number of reminders so far.
        given: the number of reminders by directive.
        costs: a rough estimate of the reminders' tokens in a request, by directive.
        latest: the directive that was given at the last place; None if none was.
        withheld: (directive, reason) of the directives that were due there and held back.
        judged: (directive, whether it was followed) if the last turn decided that.
    """

    offered: Offered
    options: Reminders | None
    cap: cap.Cap
    tokens: int = 0
    turns: int = 0
    lapse: list[Single] = field(default_factory=list)
    chain: list[Call] = field(default_factory=list)
    reminded: int = 0
    given: Mapping[str, int] = field(default_factory=dict)
    costs: Mapping[str, int] = field(default_factory=dict)
    latest: Ready | None = None
    withheld: Sequence[tuple[str, str]] = ()
    judged: tuple[str, bool] | None = None
    _is_over: bool = False  # all reminders were given: what leads to one matters no more
    _marked: Mode | None = None
    _is_planning: bool = False
    _alone: int = 0  # turns that only updated the to-do list
    _since_reminder: int | None = None
    _waiting: Ready | None = None  # the last directive, while it is not known if it was followed
    _prompt: Entry | None = None  # the user's last message since the model's last turn
    _spoken: int = 0  # the number of entries up to the model's last turn
    _named: Named = field(default_factory=Named)
    _added: set[str] = field(default_factory=set)  # tool and path of what read-ahead has delivered
    _looked: int = 0  # turns that only looked since the last edits in a batch
    _turns_to_edits: bool = False  # whether the last turn was a single edit after such turns
    _ignored: Mapping[DirectiveKind, int] = field(default_factory=dict)  # in a row, by kind
    _calls: Mapping[str, Call] = field(default_factory=dict)  # by id
    _open: set[str] = field(default_factory=set)  # ids of calls without a result

    @classmethod
    def begin(cls, offered: Offered, options: Reminders | None) -> Walk:
        """The walk before the first entry."""
        is_over = options is not None and options.max_per_conversation <= 0
        return cls(offered, options, cap.Cap.of(offered.cap), _is_over=is_over)

    def copy(self) -> Walk:
        """A copy that can be continued independently."""
        new = Walk.__new__(Walk)
        new.__dict__.update(self.__dict__)
        new.cap, new.lapse, new._open = self.cap.copy(), self.lapse.copy(), self._open.copy()
        new.chain, new._named = self.chain.copy(), self._named.copy()
        new._added = self._added.copy()
        return new

    @property
    def room(self) -> int | None:
        """The free tokens of the context; None if its size is unknown."""
        window = self.offered.context_tokens
        return None if window is None else max(0, window - self.tokens)

    @property
    def most(self) -> int:
        """The number of items that a batch may have at this point."""
        return cap.by_room(self.cap.most, self.room)

    def go(
        self,
        entries: Sequence[Entry],
        following: Role | None = None,
        *,
        before: Sequence[Entry] = (),
        ends: Sequence[int] = (),
        places: Places | None = None,
    ) -> list[Entry]:
        """Walk through the next entries, and add their reminders.

        A reminder is put at the end of the entry that the model answers next, or directly after it.

        Args:
            entries: the next entries.
            following: the role of the entry after them; None if they are the last.
            before: the earlier entries, with their reminders.
            ends: for each of the entries, the place after it in the agent view.
            places: the facts at each place; None if there are none.

        Returns:
            The next entries with their reminders. Entries without one are the same objects.
        """
        made = list(before)
        roles = [*(entry.role for entry in entries[1:]), following]
        mentions = Mentions(made)
        for number, entry in enumerate(entries):
            role = roles[number]
            self._see(entry, mentions)
            if self.options and entry.role != "model" and role in (None, "model"):
                facts = _NO_FACTS
                if places is not None and (role is None or not self._is_over):
                    facts = places.at(ends[number], is_last=role is None)
                made += self._at(entry, facts, made)
            else:
                made.append(entry)
        return made[len(before) :]

    def _see(self, entry: Entry, before: Mentions) -> None:
        """Record an entry."""
        if self.offered.context_tokens is not None:
            self.tokens += cap.tokens_in(entry)
        if entry.role == "model":
            self._turn(entry, before)
        elif entry.role == "result":
            self._result(entry)
        if self.options and entry.role != "model" and not self._is_over:
            self._prompt = entry if is_prompt(entry) else self._prompt
            self._mark(marker_in(entry, self.options.modes, self._tool_of(entry)))

    def _turn(self, entry: Entry, before: Mentions) -> None:
        """Record a turn of the model: a batch ends a lapse, and a single call may continue it."""
        offered = self.offered
        self._calls, self.judged = by_id(entry), None
        is_over = self._is_over
        if is_over and self._waiting is None:
            return
        made = Made.of(entry, offered.multis, offered.singles, offered.batches)
        self._judge(made)
        if is_over:
            return
        self._open = set(self._calls)
        self._prompt, self._spoken = None, len(before.entries) + 1
        self._look(made)
        self.turns += 1
        if self._since_reminder is not None:
            self._since_reminder += 1
        self._alone += made.names == {offered.todo}
        self._link(entry.calls, is_batch=made.is_batch)
        if made.is_batch:
            self.turns = 0
            self.lapse.clear()
        else:
            self._note(made.single(offered.own, len(before.entries)), before)

    def _look(self, made: Made) -> None:
        """Record whether a turn only looks, or turns to edits with a single one."""
        changes = not made.kinds.isdisjoint(_CHANGES)
        if made.is_batch and changes:
            self._looked = 0
        elif made.kinds and not changes:
            self._looked += 1 + made.is_batch
        self._turns_to_edits = changes and self._looked >= _LOOKED

    def _link(self, calls: Sequence[Call], *, is_batch: bool) -> None:
        """Record whether a turn goes on with single calls that a program could have made."""
        offered = self.offered
        if offered.script is None:
            return
        is_single = not is_batch and len(calls) == 1 and calls[0].name in offered.singles
        if not is_single or not could_be_scripted([*self.chain[-1:], *calls], offered.singles):
            self.chain.clear()
        if is_single:
            self.chain = [*self.chain[1 - _CHAINED :], *calls]

    def _note(self, single: Single | None, before: Mentions) -> None:
        """Record a turn that was not a batch; `single` is its single call, if it is just one."""
        if single is None:
            self.lapse.clear()
        elif any(single.arguments == other.arguments for other in self.lapse):
            return  # a repeated call is not a missed batch
        elif f"{single.multi.single.name} {single.path}" in self._added:
            return  # the same: the file came with an earlier read
        else:
            if self.lapse and not could_be_one(self.lapse[0], single, before):
                self.lapse.clear()
            self.lapse.append(single)
            # The first call stays: what could be batched depends on what was known before it.
            del self.lapse[1:-_MOST_LAPSES]

    def _result(self, entry: Entry) -> None:
        """Record a result: the outcome of edits, and a failure, which ends a lapse."""
        offered = self.offered
        self._open.discard(entry.call_id or "")
        self._added.update(() if self._is_over else added_in(entry))
        multis, singles = offered.multis, offered.singles
        outcome = cap.outcome(self._calls, entry, multis, singles, offered.failed)
        if outcome is not None:
            self.cap.take(outcome)
        led = self.lapse or self.chain or self._turns_to_edits
        if led and offered.failed(entry.text):
            self.lapse.clear()  # the next call may be a reaction to the failure
            self.chain.clear()
            self._turns_to_edits = False

    def _mark(self, marker: Marker | None) -> None:
        """Record a marker of the agent's mode."""
        if marker is not None:
            self._marked = marker.mode
            if marker.switch:  # it marks a change, so the other mode held before
                self._is_planning = marker.mode == "build"

    def _tool_of(self, entry: Entry) -> str | None:
        """The name of the tool whose result an entry is; None if that is unknown."""
        call = None if entry.call_id is None else self._calls.get(entry.call_id)
        return None if call is None else call.name

    def _judge(self, made: Made) -> None:
        """Decide whether the last reminder was followed, at the first turn that could follow it."""
        waiting = self._waiting
        followed = made.follows(waiting.directive.kind, self.offered.todo) if waiting else None
        if waiting is not None and followed is not None:
            self.judged, self._waiting = (waiting.directive.id, followed), None
            if followed:
                self._ignored = {**self._ignored, waiting.directive.kind: 0}

    def _at(self, entry: Entry, facts: Facts, before: Sequence[Entry]) -> Sequence[Entry]:
        """An entry that the model answers next, with a reminder if one is due."""
        options = self.options
        assert options is not None
        self.latest, self.withheld = None, ()
        due = None if self._is_over or not entry.takes_text else self._due(facts, before)
        if due is None:
            return [entry]
        most = self.most if self.most < self.offered.cap else None
        script = self.offered.script
        program = "" if script is None else script.program(self.chain)
        left = self._left([*before, entry]) if "{left}" in due.text else ()
        text = directives.written(due, self.lapse[-2:], most, program, left)
        self._give(due, text)
        return placement.place(entry, text, options.placement, self.offered.avoided)

    def _left(self, entries: Sequence[Entry]) -> Sequence[Mapping[str, Any]]:
        """The arguments of the calls that are left after a lapse, as far as they are known."""
        last = list(self._calls.values())[-1:]
        singles = self.offered.singles
        return left_to_read(entries, last[0], singles, self.most) if last else ()

    def _due(self, facts: Facts, before: Sequence[Entry]) -> Ready | None:
        """The directive that is due here; None if none is, or all that are due are held back."""
        assert self.options is not None
        kinds = list(self._kinds(self._switch(facts), before))
        if self._open:  # the model's calls are not all answered yet
            return None
        # A directive that is held back makes room for the next kind.
        for kind in kinds:
            ready = self._next(kind)
            reason = self._reason(ready, facts) if ready else None
            if ready is not None and reason is None:
                return ready
            if ready is not None:
                self.withheld = (*self.withheld, (ready.directive.id, str(reason)))
                self._settle(kind)
        return None

    def _switch(self, facts: Facts) -> DirectiveKind | None:
        """The kind of directive for a change of mode; None without a change.

        Everything that is not known to be planning counts as building.
        """
        was, self._is_planning = self._is_planning, (facts.mode or self._marked) == "plan"
        if was == self._is_planning:
            return None
        return "prefetch" if self._is_planning else "group_edits"

    def _kinds(
        self, switched: DirectiveKind | None, before: Sequence[Entry]
    ) -> Iterator[DirectiveKind]:
        """The kinds of directives that are due, the most urgent first."""
        options = self.options
        assert options is not None
        if switched is not None:
            yield switched
        if switched != "prefetch" and self._is_heeded("prefetch") and self._names_files(before):
            yield "prefetch"
        rested = self._since_reminder is None or self._since_reminder >= options.cooldown
        if options.on_lapse and rested and len(self.lapse) > 1:
            yield "lapse"
        if options.on_lapse and rested and len(self.chain) >= _CHAINED:
            yield "script"
        if self._turns_to_edits and self._is_heeded("group_edits"):
            yield "group_edits"
        if options.on_lapse and rested and self._alone >= _ALONE:
            yield "bookkeeping"
        if options.every is not None and self.turns >= options.every:
            yield "general"

    def _names_files(self, before: Sequence[Entry]) -> bool:
        """Whether the user's newest message names several files that are new."""
        prompt = self._prompt
        if prompt is None or not names_several(prompt):
            return False
        self._named.read(before, self._spoken)
        return len(self._named.new_in(prompt)) >= SEVERAL

    def _is_heeded(self, kind: DirectiveKind) -> bool:
        """Whether a kind of directive was not ignored too often in this conversation."""
        return self._ignored.get(kind, 0) < _IGNORED

    def _next(self, kind: DirectiveKind) -> Ready | None:
        """The first of the directives of a kind that were given least; None if none fits."""
        modes = ("always", "plan" if self._is_planning else "build")
        fitting = [
            ready
            for ready in self.offered.ready
            if ready.directive.kind == kind and ready.directive.when in modes
        ]
        return min(fitting, key=lambda ready: self.given.get(ready.directive.id, 0), default=None)

    def _reason(self, ready: Ready, facts: Facts) -> str | None:
        """Why a due directive is held back; None if it is given."""
        assert self.options is not None
        kind = ready.directive.kind
        edits = kind == "lapse" and self.lapse[-1].multi.single.kind in _CHANGES
        if ready.is_opposed:
            return "system_prompt"
        if kind == "prefetch" and facts.thinks and not self.options.prefetch_when_thinking:
            return "thinking"
        return "speed" if facts.slow and (edits or kind == "group_edits") else None

    def _settle(self, kind: DirectiveKind) -> None:
        """Reset what made a kind of directive due, after it was held back."""
        if kind == "lapse":
            self.lapse.clear()
        elif kind == "script":
            self.chain.clear()
        elif kind == "bookkeeping":
            self._alone = 0
        elif kind == "group_edits":
            self._looked = 0
        elif kind == "general":
            self.turns = 0

    def _give(self, ready: Ready, text: str) -> None:
        """Record that a directive is given here."""
        assert self.options is not None
        self.latest = ready
        self.reminded += 1
        self._is_over = self.reminded >= self.options.max_per_conversation
        name, kind = ready.directive.id, ready.directive.kind
        self._ignored = {**self._ignored, kind: self._ignored.get(kind, 0) + 1}
        self.given = {**self.given, name: self.given.get(name, 0) + 1}
        self.costs = {**self.costs, name: self.costs.get(name, 0) + cap.tokens_of(text)}
        self._waiting = ready if ready.directive.judged else None
        self.turns = self._alone = 0
        if kind != "prefetch":  # that is about the prompt, and not about what the model did
            self._since_reminder = self._looked = 0
        self.lapse.clear()
        self.chain.clear()
