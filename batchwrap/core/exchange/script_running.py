"""The scripts of one exchange: which run has to be known before it can go on.

The core cannot run a program. It says which run it needs, and is told the outcome:

    request   a turn of the history has scripts -> for the next wave, or what the model is told
    answer    the model has written a script    -> for the calls that go out with the answer
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange_metrics import ScriptTrace
from batchwrap.core.formats.calls import Fragment
from batchwrap.core.formats.entries import Entry
from batchwrap.core.moves import ids
from batchwrap.core.moves.past_turns import PastTurn
from batchwrap.core.moves.script_run import ScriptOutcome, ScriptResult, ScriptRun
from batchwrap.core.moves.scripts import Outcomes, TurnScripts, result_of
from batchwrap.core.moves.turn_memory import Group, Turn
from batchwrap.core.tools.multi import SCRIPT
from batchwrap.core.tools.script_tool import ScriptTool


class ScriptRunning:
    """What is known of the scripts of one exchange.

    Args:
        context: what the exchange is given from outside.
        entries: the conversation.
        tool: what runs scripts; None: nothing does.

    Attributes:
        due: the run that is needed next; None: none is.
    """

    def __init__(
        self, context: Context, entries: Sequence[Entry], tool: Callable[[], ScriptTool | None]
    ) -> None:
        self._entries = entries
        self._tool = tool
        self._outcomes = Outcomes(context.memory.outcomes, context.now_s)
        batching = context.options.batching
        self._metrics = context.metrics
        self._failed = batching.failed if batching is not None else None
        self._past: dict[int, TurnScripts] = {}  # by the identity of the turn
        self._settled = 0  # turns of the history for which no run is needed any more
        self.due: ScriptRun | None = None

    def of_past(self, spoken: PastTurn) -> TurnScripts | None:
        """The scripts of a turn of the history, with the results that stand there."""
        turn = spoken.known
        if turn is None or not turn.scripts:
            return None
        known = self._past.get(id(spoken))
        if known is None:
            made = self._made(turn)
            if made is None:
                return None
            made.results = _results(spoken, self._failed)
            made.told = turn.told
            since = self._entries[spoken.end :]
            made.is_past = any(one.role == "model" and not one.says_nothing for one in since)
            known = self._past[id(spoken)] = made
        return known

    def of_answer(self, turn: Turn) -> TurnScripts | None:
        """The scripts of an answer, which have no results yet."""
        if not turn.scripts:
            return None
        # Kept with the turn: with other tools, the same program could come to something else.
        turn.script_tool = turn.script_tool or self._tool()
        return self._made(turn)

    def _made(self, turn: Turn) -> TurnScripts | None:
        tool = turn.script_tool or self._tool()
        return None if tool is None else TurnScripts(turn.scripts, tool, self._outcomes)

    def need(self, turn: Turn) -> bool:
        """Whether a run has to be known before an answer can be handed out; it is due then."""
        return self._needs(self.of_answer(turn))

    def need_for(self, history: Sequence[PastTurn]) -> bool:
        """The same for the turns of a history, which are always the same."""
        while self._settled < len(history):
            if self._needs(self.of_past(history[self._settled])):
                return True
            self._settled += 1
        return False

    def _needs(self, scripts: TurnScripts | None) -> bool:
        self.due = None if scripts is None else scripts.next_run
        return self.due is not None

    def ran(self, outcome: ScriptOutcome) -> None:
        """The run that was due has this outcome."""
        assert self.due is not None
        self._outcomes.put(self.due, outcome)
        self.due = None

    def count_wave(self, turn: Turn, calls: Sequence[Fragment]) -> int:
        """Count the calls of scripts among those that are handed out; returns their number."""
        derived = [one for call in calls if (one := ids.decode(call.call_id)) is not None]
        made = Counter(one.group for one in derived if one.kind == SCRIPT)
        for group, count in made.items():
            turn.waves.setdefault(group, []).append((self._metrics.now_unix_s, count))
        self._metrics.add("script_calls", made.total())
        return made.total()

    def count_told(self, spoken: PastTurn) -> None:
        """Count what the scripts of a turn have kept from the model, which is told of them now."""
        scripts, metrics = self.of_past(spoken), self._metrics
        if scripts is None:
            return
        for script in scripts.scripts:
            facts = scripts.facts(script)
            if facts is not None:
                metrics.add("script_tokens", max(facts.tokens, 0))
                metrics.note("script", calls=facts.calls, failed=facts.failed, ended=facts.ended)
                waves = () if spoken.known is None else spoken.known.waves.get(script.group, ())
                course = ScriptTrace(script.name, facts.ended, tuple(waves), metrics.now_unix_s)
                metrics.scripts.append(course)


def _results(
    spoken: PastTurn, failed: Callable[[str], bool] | None
) -> dict[Group, dict[int, ScriptResult]]:
    """The results of the calls that scripts of a turn made, by group and number."""
    answers = {entry.call_id: entry for entry in reversed(spoken.answers)}
    found: dict[Group, dict[int, ScriptResult]] = {}
    for member in spoken.members:
        derived, answer = member.derived, answers.get(member.call_id)
        if derived is not None and derived.kind == SCRIPT and answer is not None:
            results = found.setdefault(derived.group, {})
            results.setdefault(derived.index, result_of(member.call, [answer], failed))
    return found
