"""Who plays a recorded session: the scripted model and the agent.

The model has no memory: what was said and done it sees in the conversation of its request,
and it goes on with the first recorded turn that is not done. Where it cooperates it makes
the whole careful run that begins there in one multi-call. Whether it does is decided for
each run by a hash, so the same runs are batched in every replay.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import takewhile
from typing import Any, Literal

import orjson

from batchwrap import lab
from batchwrap.lab.transcript import text_of
from benchmarks import bounds, toolbox
from benchmarks.filler import FillerTokens
from benchmarks.sessions import (
    Prompt,
    RecordedCall,
    RecordedTurn,
    Session,
    one_call_a_turn,
    share_of,
)

# How the agent takes calls: all of an answer; one, and says so in its requests; or it runs
# and keeps the first call of each answer, whatever came.
Style = Literal["parallel", "serial", "first"]
STYLES: tuple[Style, ...] = ("parallel", "serial", "first")

Message = dict[str, Any]
_SAID = re.compile(r"@(\d+)@")
_MULTI = {
    "read_file": "multi_read",
    "edit_file": "multi_edit",
    "write_file": "multi_write",
    "bash": "multi_bash",
}


@dataclass(slots=True)
class Play:
    """A recorded session as one kind of agent lives it, and what follows from that.

    Args:
        recorded: the session.
        style: how the agent takes calls; all but the parallel one make a turn of each call.
        tokens: counts and pads texts.
        careful: whether a model that cooperates keeps to the careful rule; else it batches
            across failures and to files that it cannot know yet, and makes some first calls
            on their own beside the multi-call.
        named: whether prompts name the files that were known before they were touched, as
            the recorded ones did.

    Attributes:
        session: the session as this agent has it.
        turns: its turns, by index.
        calls: its calls, by number.
        run_of: the run of each turn that is in one.
        arguments: of each call.
        results: of each call.
    """

    recorded: Session
    style: Style
    tokens: FillerTokens
    careful: bool = True
    named: bool = False
    session: Session = field(init=False)
    turns: list[RecordedTurn] = field(init=False)
    calls: list[RecordedCall] = field(init=False)
    run_of: dict[int, list[RecordedTurn]] = field(init=False)
    arguments: list[Message] = field(init=False)
    results: list[str] = field(init=False)

    def __post_init__(self) -> None:
        parallel = self.style == "parallel"
        self.session = self.recorded if parallel else one_call_a_turn(self.recorded)
        runs = bounds.runs(self.session, careful=self.careful)
        self.run_of = {turn.index: run for run in runs for turn in run}
        self.turns, self.calls = self.session.turns, self.session.calls
        self.arguments = [toolbox.arguments_of(call, self.tokens) for call in self.calls]
        self.results = [toolbox.result_of(call, self.tokens) for call in self.calls]

    def text_of(self, turn: RecordedTurn) -> str:
        """What the model says in a turn: its mark, if anything."""
        if not turn.text_tokens and turn.calls:
            return ""
        return self.tokens.padded(f"@{turn.index}@", turn.text_tokens)


@dataclass(slots=True)
class ScriptedModel:
    """Makes the next recorded turn, or the run that begins with it.

    Args:
        play: what it plays.
        cooperation: the share of runs that it makes in one multi-call; or what tells it for
            a request.
    """

    play: Play
    cooperation: float | Callable[[Message], float]

    def __call__(self, request: Message) -> lab.Reply:
        """The turn that follows from the conversation."""
        done, said = progress(request["messages"])
        turns = self.play.turns
        turn = next((turn for turn in turns if not _is_done(turn, done, said)), None)
        if turn is None:
            return lab.Reply("Done.")
        run = self.play.run_of.get(turn.index, [turn])
        left = [other for other in run if not _is_done(other, done, said)]
        batches = len(left) > 1 and self._cooperates(run, request)
        beside = left[:1] if batches and self._splits(left) else []
        multi = self._multi(left[len(beside) :], request) if batches else None
        if multi is not None:
            text = "".join(map(self.play.text_of, left))
            singles = [self._single(call) for turn in beside for call in turn.calls]
            return lab.Reply(text, calls=(*singles, multi))
        calls = self._same_answer(turn, done)
        return lab.Reply(self.play.text_of(turn), calls=tuple(map(self._single, calls)))

    def _cooperates(self, run: list[RecordedTurn], request: Message) -> bool:
        rate = self.cooperation(request) if callable(self.cooperation) else self.cooperation
        return share_of(f"{self.play.session.id}:{run[0].index}") < rate

    def _splits(self, left: list[RecordedTurn]) -> bool:
        """Whether a reckless model makes the first call of a run on its own, beside the rest."""
        may = not self.play.careful and self.play.style != "serial" and len(left) > 2
        return may and share_of(f"{self.play.session.id}:{left[0].index}:beside") < 0.5

    def _single(self, call: RecordedCall) -> lab.Call:
        return lab.Call(toolbox.tool_of(call), self.play.arguments[call.number])

    def _same_answer(self, turn: RecordedTurn, done: set[int]) -> list[RecordedCall]:
        """The calls of one answer; an agent that keeps the first gets the others again."""
        if self.play.style == "first" and turn.calls:
            group = turn.calls[0].group
            every = self.play.calls
        else:
            group, every = None, list(turn.calls)
        return [call for call in every if group in (None, call.group) and call.number not in done]

    def _multi(self, turns: list[RecordedTurn], request: Message) -> lab.Call | None:
        """One multi-call for these turns, if one for them is on offer."""
        calls = [call for turn in turns for call in turn.calls]
        offered = {tool["function"]["name"]: tool["function"] for tool in request["tools"]}
        tools = {toolbox.tool_of(call) for call in calls}
        own = _MULTI.get(next(iter(tools)), "batch") if len(tools) == 1 else "batch"
        name = own if own in offered else "batch"
        if name not in offered:
            return None
        [key] = offered[name]["parameters"]["properties"]
        items = [self.play.arguments[call.number] for call in calls]
        if name == "batch":
            named = zip(calls, items, strict=True)
            items = [{"tool": toolbox.tool_of(call), "arguments": item} for call, item in named]
        return lab.Call(name, {key: items})


@dataclass(slots=True)
class Agent:
    """A loop around a model: asks, runs what it is told, and asks again.

    It stands still for nobody: it runs any recorded call, and notes whether one came twice,
    came too early, or came with other arguments than the model's.

    Args:
        play: what it plays.
    """

    play: Play
    messages: list[Message] = field(default_factory=list)
    requests: int = 0
    faults: list[str] = field(default_factory=list)
    _run: set[int] = field(default_factory=set)
    _said: set[int] = field(default_factory=set)
    _place: int = 0

    def work(self, complete: Callable[[list[Message]], Message]) -> None:
        """Go on until everything recorded is done.

        Raises:
            RuntimeError: it takes far more requests than there are turns and calls.
        """
        most = 2 * (len(self.play.turns) + len(self.play.calls)) + 10
        while self._ready():
            self.requests += 1
            if self.requests > most:
                raise RuntimeError(f"{self.play.session.id} does not end: {self.faults[-3:]}")
            self._take(complete(self.messages))

    @property
    def never_run(self) -> list[int]:
        """Numbers of the recorded calls that were not run."""
        return [call.number for call in self.play.calls if call.number not in self._run]

    def _ready(self) -> bool:
        """Add the user's messages that are due; whether anything is left to ask for."""
        script = self.play.session.script
        for part in script[self._place :]:
            if isinstance(part, Prompt):
                text = self.play.tokens.padded(self._names(), part.tokens) or "."
                self.messages.append({"role": part.role, "content": text})
            elif not _is_done(part, self._run, self._said):
                return True
            self._place += 1
        return False

    def _names(self) -> str:
        """The files that are touched next and whose names are known before, where they count."""
        if not self.play.named:
            return ""
        script = self.play.session.script[self._place + 1 :]
        turns = takewhile(lambda part: isinstance(part, RecordedTurn), script)
        calls = (call for turn in turns if isinstance(turn, RecordedTurn) for call in turn.calls)
        return " ".join(dict.fromkeys(call.path for call in calls if call.known and call.path))

    def _take(self, answer: Message) -> None:
        calls = answer.get("tool_calls") or []
        if self.play.style == "first":
            calls = calls[:1]
        message: Message = {"role": "assistant", "content": answer["content"] or None}
        self.messages.append({**message, "tool_calls": calls} if calls else message)
        self._said |= set(map(int, _SAID.findall(answer["content"] or "")))
        made = [self._recorded(call) for call in calls]
        if self.play.style == "serial" and len(made) > 1:
            self.faults.append(f"{len(made)} calls for an agent that takes one")
        for place, call in enumerate(made):
            self._check_order(call, made[:place])
        for call, given in zip(made, calls, strict=True):
            self._run.add(call.number)
            text = self.play.results[call.number]
            self.messages.append({"role": "tool", "tool_call_id": given["id"], "content": text})

    def _recorded(self, made: Message) -> RecordedCall:
        """The recorded call that a call is."""
        name, arguments = made["function"]["name"], orjson.loads(made["function"]["arguments"])
        call = self.play.calls[toolbox.number_in(name, arguments)]
        if (name, arguments) != (toolbox.tool_of(call), self.play.arguments[call.number]):
            self.faults.append(f"call {call.number} is not what the model wrote")
        return call

    def _check_order(self, call: RecordedCall, together: list[RecordedCall]) -> None:
        if call.number in self._run or call in together:
            self.faults.append(f"call {call.number} came twice")
        for other in self.play.calls[: call.number]:
            # What the model itself made in one answer may go out in one answer.
            early = other.number not in self._run and other.group != call.group
            if early and toolbox.in_order(other, call):
                self.faults.append(f"call {call.number} came before call {other.number}")


def progress(messages: list[Message]) -> tuple[set[int], set[int]]:
    """The numbers of the calls that have results, and of the turns that said something."""
    done: set[int] = set()
    said: set[int] = set()
    for message in messages:
        if message["role"] == "tool":
            done.update(_done_in(text_of(message)))
        elif message["role"] == "assistant":
            said.update(map(int, _SAID.findall(text_of(message))))
    return done, said


@lru_cache(maxsize=65_536)
def _done_in(result: str) -> tuple[int, ...]:
    return tuple(toolbox.numbers_in(result))


def _is_done(turn: RecordedTurn, done: set[int], said: set[int]) -> bool:
    if turn.calls:
        return all(call.number in done for call in turn.calls)
    return turn.index in said
