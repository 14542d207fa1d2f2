"""Scripts of the model's in a conversation: how far each has come, and what it does next.

    model    run_script(code)                       one round trip
    agent    grep            -> result              wave 1: all that the script waits for at first
    agent    read, read      -> results             wave 2: the same script, run again with a result
    model    <- what was printed, and which calls ran

All follows from the program and from the results that stand in the agent's history: a retry gets
the same wave, a fork its own, and another process goes on where this one stopped. What ran once
stands there, so it is never run again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from operator import is_

from batchwrap.core.failures import ResultStatus, status_of
from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats.calls import Call, Fragment, Written, canonical_json
from batchwrap.core.formats.entries import Entry
from batchwrap.core.moves import ids
from batchwrap.core.moves.agent_notes import distinct_notes, split_notes
from batchwrap.core.moves.cap import tokens_of
from batchwrap.core.moves.conflict import Effect, Waves, effect_of
from batchwrap.core.moves.results import label
from batchwrap.core.moves.script_run import (
    ScriptCall,
    ScriptOutcome,
    ScriptResult,
    ScriptRun,
)
from batchwrap.core.moves.turn_memory import Group, Placed, WrittenScript
from batchwrap.core.recent import Recent
from batchwrap.core.tools.multi import SCRIPT
from batchwrap.core.tools.script_tool import ScriptTool, code_of

NO_PROGRAM = (
    'The call holds no program: its arguments must be {"code": "<Python>"}, as complete JSON. '
    "Nothing was run."
)
# A longer text whose words alone tell of an error is what a tool was to return, such as a log.
_MOST_ERROR_CHARS = 2_000
_IMAGE = "[a part of this result is no text, and was left out]"
# Names of calls that are listed one by one where a script was stopped.
_MOST_NAMED = 8
_MOST_TOLD = 2  # accounts of one script and the same calls; two are as good as many
# Characters of the calls of an outcome that is kept for later requests.
_MOST_KEPT_CHARS = 100_000


class Outcomes:
    """How scripts turned out, by their runs: looked up, since a run has one outcome only.

    Args:
        kept: outcomes of earlier requests, by the digests of their runs.
        now_s: the time.
    """

    def __init__(self, kept: Recent[bytes, ScriptOutcome], now_s: float) -> None:
        self._kept = kept
        self._now_s = now_s
        self._own: dict[bytes, ScriptOutcome] = {}

    def of(self, run: ScriptRun) -> ScriptOutcome | None:
        """The outcome of a run; None: nobody has run it yet."""
        return self._own.get(run.digest) or self._kept.get(run.digest, self._now_s)

    def put(self, run: ScriptRun, outcome: ScriptOutcome) -> None:
        """Keep the outcome of a run; a large one for this request only, since it can be run again.

        Nobody asks for the calls of a script that is over.
        """
        self._own[run.digest] = outcome
        kept = replace(outcome, calls=()) if outcome.is_over else outcome
        if sum(len(one.arguments) for one in kept.calls) <= _MOST_KEPT_CHARS:
            self._kept.put(run.digest, kept, self._now_s)


@dataclass(frozen=True, slots=True)
class ScriptFacts:
    """What is counted of one script.

    Attributes:
        calls: its calls that have a result.
        failed: how many of these failed.
        ended: ``"over"``, ``"error"``, ``"denied"``, or ``"stopped"`` before its end.
        tokens: about how many tokens its results are longer than what the model is told.
    """

    calls: int
    failed: int
    ended: str
    tokens: int


@dataclass(slots=True, repr=False)
class TurnScripts:
    """The scripts of one turn, and how far they have come.

    They run one after the other: the next one begins when the one before it is over.

    Attributes:
        scripts: in the order of the model.
        tool: what runs them.
        results: of the calls that they made, by the group of the script and the call's number.
        outcomes: what is known of their runs.
        told: what the model was told of them before, by their calls and their runs.
        is_past: whether the model has spoken since. What it was told stays then, though an agent
            may cut or clear old results.
    """

    scripts: Sequence[WrittenScript]
    tool: ScriptTool
    outcomes: Outcomes
    results: Mapping[Group, Mapping[int, ScriptResult]] = field(default_factory=dict)
    told: dict[bytes, dict[bytes, str]] = field(default_factory=dict)
    is_past: bool = False
    _runs: dict[Group, ScriptRun] = field(default_factory=dict)
    _known: dict[Group, ScriptOutcome] = field(default_factory=dict)

    def run(self, script: WrittenScript) -> ScriptRun:
        """The run of a script with the results that are there."""
        known = self._runs.get(script.group)
        if known is None:
            results = self.results.get(script.group, {})
            known = ScriptRun(script.code or "", self.tool.functions, results, self.tool.limits)
            self._runs[script.group] = known
        return known

    def outcome(self, script: WrittenScript) -> ScriptOutcome | None:
        """How far a script has come; None: it has to be run to know."""
        known = self._known.get(script.group)
        if known is None:
            none = script.code is None
            known = ScriptOutcome(error=NO_PROGRAM) if none else self.outcomes.of(self.run(script))
            if known is not None:
                self._known[script.group] = known
        return known

    @property
    def over(self) -> int:
        """How many of them are over: those behind the first one that is not have not begun."""
        for place, script in enumerate(self.scripts):
            outcome = self.outcome(script)
            if outcome is None or not outcome.is_over:
                return place
            if outcome.is_denied:
                return place + 1
        return len(self.scripts)

    @property
    def is_denied(self) -> bool:
        """Whether a person denied a call of theirs, which ends all of them."""
        return any(
            outcome is not None and outcome.is_denied for outcome in map(self.outcome, self.scripts)
        )

    @property
    def active(self) -> WrittenScript | None:
        """The script that goes on; None where all are over, or one was denied a call."""
        over = self.over
        return None if over == len(self.scripts) or self.is_denied else self.scripts[over]

    def has_begun(self, script: WrittenScript) -> bool:
        """Whether a script of the turn is over, or goes on."""
        return script.place < self.over or script is self.active

    @property
    def next_run(self) -> ScriptRun | None:
        """The run whose outcome decides what comes next; None: all that matters is known."""
        script = self.active
        if script is None or self.outcome(script) is not None:
            return None
        return self.run(script)

    def next_wave(self, waves: Waves, handed_out: Callable[[str], bool]) -> list[Placed]:
        """The calls that go out next; empty where no script waits for any.

        Args:
            waves: puts them into waves; they know of the other calls that go out with these.
            handed_out: whether a call was handed out before, by its id. Then the agent has answered
                a part of a wave only, and gets the rest one by one.
        """
        script = self.active
        outcome = None if script is None else self.outcome(script)
        if script is None or outcome is None:
            return []
        made = [self._placed(script, number, outcome.calls[number]) for number in outcome.waiting]
        if any(handed_out(one.call_id) for one, _ in made):
            return [made[0][0]]
        return [placed for placed, effect in made if not waves.place(effect)]

    def _placed(
        self, script: WrittenScript, number: int, made: ScriptCall
    ) -> tuple[Placed, Effect]:
        """A call of a script as the agent gets it, and what it touches."""
        derived = ids.DerivedId(script.nonce, number, 0, SCRIPT, script.origin)
        written = Written(Fragment(None, ids.encode(derived), made.tool, made.arguments))
        if not number and script.asked:
            written.add_extras(carried(script))
        tools = {one.tool.name: one.tool for one in self.tool.functions.values()}
        effect = effect_of(tools.get(made.tool), made.arguments)
        return Placed(written, script.first_wave + number, effect.kind, effect.defaults), effect

    def facts(self, script: WrittenScript) -> ScriptFacts | None:
        """What is counted of a script; None where it has not begun, or cannot be known here."""
        outcome, account = self.outcome(script), self.account(script)
        if outcome is None or account is None or not self.has_begun(script):
            return None
        ran = self.results.get(script.group, {}).values()
        ended = "over" if outcome.is_over else "stopped"
        ended = "denied" if outcome.is_denied else "error" if outcome.error else ended
        failed = sum(one.status is ResultStatus.FAILED for one in ran)
        tokens = sum(tokens_of(one.text) for one in ran) - tokens_of(account)
        return ScriptFacts(len(ran), failed, ended, tokens)

    def account(self, script: WrittenScript) -> str | None:
        """What the model is told of a script; None where it cannot be known here."""
        outcome, run = self.outcome(script), self.run(script)
        told = self.told.setdefault(_digest_of_calls(script, run), {})
        if self.is_past and run.digest not in told and len(told) == 1:
            return next(iter(told.values()))
        account = None if outcome is None else self._account(outcome, run.results)
        # Of forks with the same calls and different results, nobody knows which one was cut.
        if account is not None and not self.is_past and len(told) < _MOST_TOLD:
            told[run.digest] = account
        return account

    def _account(self, outcome: ScriptOutcome, ran: Mapping[int, ScriptResult]) -> str:
        said = [outcome.printed.rstrip("\n")]
        if outcome.dropped:
            said.append(f"[{outcome.dropped} more characters were printed and are left out]")
        said += [outcome.value or "", outcome.error or ""]
        if not outcome.is_over:
            said.append(_stopped(outcome, ran))
        notes = distinct_notes(note for _, one in sorted(ran.items()) for note in one.notes)
        return "\n".join([*filter(None, said), _calls_that_ran(ran.values()), *notes])


def _digest_of_calls(script: WrittenScript, run: ScriptRun) -> bytes:
    """The calls that a script has made, whatever came of them."""
    made = [
        [number, one.tool, canonical_json(one.arguments)]
        for number, one in sorted(run.results.items())
    ]
    return blake2b(fingerprint([*script.group, made]), digest_size=16).digest()


def result_of(
    call: Call, answers: Sequence[Entry], failed: Callable[[str], bool] | None
) -> ScriptResult:
    """What became of one call, as a script gets it.

    Args:
        call: as it stands in the history.
        answers: its results; the first counts.
        failed: the user's own idea of which text tells of a failure; None: he has none.
    """
    result = answers[0]
    text, notes = _read(result)
    status = _status(text, failed, is_error=result.is_error)
    return ScriptResult(call.name, call.arguments, text, status, notes)


def _status(text: str, failed: Callable[[str], bool] | None, *, is_error: bool) -> ResultStatus:
    """How a call ended. A longer text that reads as an error may be what the tool was to return."""
    status = status_of(text, is_error=is_error)
    if failed is not None and not is_error:
        if not failed(text):
            return ResultStatus.SUCCEEDED
        return ResultStatus.FAILED if status is ResultStatus.SUCCEEDED else status
    if status is not ResultStatus.FAILED:
        return status
    return status_of(text, is_error=is_error, longest_message=_MOST_ERROR_CHARS)


def carried(script: WrittenScript) -> dict[str, object]:
    """The field of a script's first call in which its program travels."""
    own = {"name": script.name, "arguments": script.arguments, "for": script.asked}
    return {_FIELD: own}


def script_in(call: Call, place: int) -> WrittenScript | None:
    """The script that travels with a call, or that it is; None for any other call.

    Args:
        call: as it stands in the history.
        place: how many scripts stand before it in its turn.
    """
    derived, own = ids.decode(call.call_id), call.extras.get(_FIELD)
    if derived is not None and derived.kind == SCRIPT.upper():  # it made no call, so it is one
        own = {"name": call.name, "arguments": call.arguments, "for": ""}
    elif derived is None or derived.kind != SCRIPT or not isinstance(own, dict):
        return None
    name, given, asked = own.get("name"), own.get("arguments"), own.get("for")
    if not (isinstance(name, str) and isinstance(given, str) and isinstance(asked, str)):
        return None
    code = code_of(given)
    return WrittenScript(derived.origin, derived.nonce, place, name, given, code, asked)


# The field of a call in which a program travels through the agent's history.
_FIELD = "batchwrap_script"


def without_script(call: Call) -> Call:
    """The call without what travels with it: no provider knows that field."""
    if _FIELD not in call.extras:
        return call
    extras = {key: value for key, value in call.extras.items() if key != _FIELD}
    return replace(call, extras=extras, source=None)


def without_scripts(entry: Entry) -> Entry:
    """An entry without the programs that travel with its calls; mostly the same object."""
    if not entry.calls:
        return entry
    calls = [without_script(call) for call in entry.calls]
    return entry if all(map(is_, calls, entry.calls)) else entry.with_calls(calls)


def digest_of(conversation: bytes, model: object) -> str:
    """What a program is only good for: the conversation that it answers, and its model."""
    return blake2b(fingerprint(str(model)), key=conversation, digest_size=16).hexdigest()


def _read(result: Entry) -> tuple[str, tuple[str, ...]]:
    """A result as a script gets it, and the agent's notes in it.

    Its texts are one under the other, and what is no text is named.
    """
    texts: list[str] = []
    notes: list[str] = []
    for part in result.parts:
        text, found = split_notes(part) if isinstance(part, str) else (_IMAGE, ())
        notes += found
        if text or not found:
            texts.append(text)
    return "\n".join(texts), tuple(notes)


def _stopped(outcome: ScriptOutcome, ran: Mapping[int, ScriptResult]) -> str:
    """What is told of a script that has not come to its end."""
    waits = [outcome.calls[number] for number in outcome.waiting if number not in ran]
    named = ", ".join(label(Call("", one.tool, one.arguments)) for one in waits[:_MOST_NAMED])
    more = f", and {len(waits) - _MOST_NAMED} more" if len(waits) > _MOST_NAMED else ""
    return f"[The script was stopped before its end. It waited for {named}{more}: no result came.]"


def _calls_that_ran(ran: Iterable[ScriptResult]) -> str:
    """One line with the calls of a script that ran."""
    listed = list(ran)
    if not listed:
        return "[No call was run.]"
    counts = Counter(one.tool for one in listed)
    failed = sum(one.status is ResultStatus.FAILED for one in listed)
    told = ", ".join(f"{tool} {count}" for tool, count in counts.items())
    calls = "1 call" if len(listed) == 1 else f"{len(listed)} calls"
    return f"[{calls} ran: {told}{f'; {failed} failed' if failed else ''}]"
