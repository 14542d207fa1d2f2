"""Deliver: which of a turn's calls the agent gets next, without asking the provider.

Calls that conflict with others of their turn are held back until those have their results.
The agent's next request is then answered locally with the next wave. Looking up is not
consuming: what comes next follows from the results that stand in the request, so a retry
gets the same wave, and a fork its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from batchwrap.core.failures import ResultStatus, status_of
from batchwrap.core.formats.calls import Fragment
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import Body, Format, Local, Settings
from batchwrap.core.moves import ids
from batchwrap.core.moves.cap import tokens_of
from batchwrap.core.moves.conflict import Waves
from batchwrap.core.moves.past_turns import PastTurn
from batchwrap.core.moves.scripts import TurnScripts
from batchwrap.core.moves.turn_memory import SCRIPT_WAVES, Placed, Turn, TurnRequest
from batchwrap.core.tools.multi import SCRIPT, SINGLE

_HARMLESS = ("read", "read_only", "bookkeeping")


def request_of(model: object, settings: Settings, conversation: bytes) -> TurnRequest:
    """What a later request must have in common with this one, to get what waits."""
    return TurnRequest(conversation, model, settings.tools, settings.choice)


def continues(model: object, settings: Settings, asked: TurnRequest) -> bool:
    """Whether a request continues the work of an earlier one, its conversation apart.

    Tools may have been added, and a choice of tools that was forced upon the first answer is
    mostly taken back. Another model, a tool that is gone, or a choice that is new is another
    matter.
    """
    is_free = settings.choice is None or settings.choice == asked.choice
    return model == asked.model and asked.tools <= settings.tools and is_free


def open_turn(entries: Sequence[Entry], last: PastTurn | None) -> Turn | None:
    """The turn that a conversation stands in the middle of; None if it goes on otherwise.

    Its calls must stand there as they were handed out, and nothing else may have been said
    since. An instruction there is a note of the agent's own.
    """
    if last is None or last.known is None or not last.is_same:
        return None
    since = [*last.others, *entries[last.end :]]
    if not all(entry.role == "system" or entry.says_nothing for entry in since):
        return None
    is_clear = len({one.call_id for one in last.members}) == len(last.members)  # cut, ids may meet
    return last.known if is_clear and all(one.is_unchanged for one in last.members) else None


def next_calls(
    turn: Turn,
    spoken: PastTurn,
    failed: Callable[[str], bool],
    *,
    go_on: bool,
    serial: bool,
    scripts: TurnScripts | None = None,
    waves: Callable[[], Waves] | None = None,
) -> list[Fragment] | None:
    """The calls that come next; None if the request is the provider's.

    That is: everything has its result; all that is left was cancelled by a failure; the
    results so far take up the room in the context; or a call was repeated or left out in a
    way that nobody meant.

    Args:
        turn: the turn.
        spoken: the same as it stands in the history.
        failed: whether a tool's result reads as failed.
        go_on: whether commands go on after one that failed.
        serial: whether the agent takes one call at a time.
        scripts: those of the turn, as far as they have come.
        waves: puts the calls of a script into waves.
    """
    results = _results(spoken)
    if _is_full(turn, results):
        return None
    answered = [placed for placed in turn.calls if placed.call_id in results]
    due, is_stopped = _due(turn, results, failed, go_on=go_on)
    done = results.keys() | _cut_off(turn, results)
    reachable = ((0 if scripts is None else scripts.over) + 1) * SCRIPT_WAVES
    waiting = [
        placed
        for placed in due
        if placed.call_id not in done
        and (turn.is_over or placed.written.is_complete)
        and placed.wave < reachable
        and not is_of_script(placed.call_id)
    ]
    if not answered or (scripts is not None and scripts.is_denied):
        return None
    if not waiting:
        if scripts is None or waves is None or is_stopped:
            return None
        return _next_of_script(turn, spoken, scripts, waves())
    reached = max(placed.wave for placed in answered)
    if serial or any(placed.wave <= reached for placed in waiting):
        # The agent takes one call at a time, says so or answered a part of a wave.
        return _signed(turn, [waiting[0]])
    wave = min(placed.wave for placed in waiting)
    return _signed(turn, [placed for placed in waiting if placed.wave == wave])


def _next_of_script(
    turn: Turn, spoken: PastTurn, scripts: TurnScripts, waves: Waves
) -> list[Fragment] | None:
    """The calls that a script of the turn waits for; None where none does."""
    here = {one.placed.call_id for one in spoken.members if one.placed}
    script, placed = scripts.active, scripts.next_wave(waves, here.__contains__)
    if script is None or not placed:
        return None
    turn.add(placed, script)
    return _signed(turn, placed)


def _signed(turn: Turn, calls: Sequence[Placed]) -> list[Fragment]:
    """Calls that go out in an answer of their own, the first with the fields of the model's.

    Gemini wants its signature in each message with calls, also where the agent's own history
    is sent as it is.
    """
    derived = ids.decode(calls[0].call_id)
    said = (it for it in turn.said if derived and ids.short(it.call_id) == derived.origin)
    extras = next((it.extras for it in said), None)
    return [
        placed.written.handed_out(index, None if index else extras)
        for index, placed in enumerate(calls)
    ]


def _due(
    turn: Turn, results: dict[str, str], failed: Callable[[str], bool], *, go_on: bool
) -> tuple[list[Placed], bool]:
    """The calls that no failure has cancelled, and whether a person has denied one of them.

    What failed may have overtaken others: only what stands behind it is cancelled. Single calls
    of the model's own go on behind one that failed, since they would have gone out with it
    without us; not behind one that a person has denied.
    """
    due: list[Placed] = []
    has_failed = is_stopped = False
    for placed in turn.calls:
        is_single = _is_single(placed)
        if not is_stopped and (is_single or not has_failed):
            due.append(placed)
        text = results.get(placed.call_id)
        if text is not None and _stops(placed.kind, go_on=go_on) and failed(text):
            has_failed = True
            is_stopped = not is_single or status_of(text) is ResultStatus.DENIED or is_stopped
    return due, is_stopped


def _is_single(placed: Placed) -> bool:
    """Whether no call is cancelled because this one failed.

    That is one which the model made itself, not as an item of a multi-call, or its script, which
    gets the failure and decides.
    """
    derived = ids.decode(placed.call_id)
    return derived is None or derived.kind in (SINGLE, SCRIPT)


def is_of_script(call_id: str) -> bool:
    """Whether a script has made the call with this id. It goes out when the script says so."""
    derived = ids.decode(call_id)
    return derived is not None and derived.kind == SCRIPT


def _stops(kind: str, *, go_on: bool) -> bool:
    """Whether a call of this kind, if it failed, cancels what is held back behind it."""
    return kind not in _HARMLESS and not (go_on and kind == "sequential")


def _cut_off(turn: Turn, results: dict[str, str]) -> set[str]:
    """Ids of calls that were answered once: a window that moved on has dropped their messages.

    These are the calls of earlier answers than the one that the history begins with. Of an answer
    whose calls the agent takes one by one, only what stands before the first of them.
    """
    deliveries = [[placed.call_id for placed in one] for one in turn.deliveries]
    first = next(iter(results), None)
    begun = max((place for place, one in enumerate(deliveries) if first in one), default=0)
    return {
        call_id
        for one in deliveries[:begun]
        for call_id in takewhile(lambda it: it not in results, one)
    }


def _is_full(turn: Turn, results: dict[str, str]) -> bool:
    """Whether the results take up what was left of the context when the turn began.

    The model never sees those of a script's calls.
    """
    if turn.room is None:
        return False
    made = {
        placed.call_id for placed in turn.calls if turn.scripts and is_of_script(placed.call_id)
    }
    shown = (text for call_id, text in results.items() if call_id not in made)
    return sum(map(tokens_of, shown)) >= turn.room


def _results(spoken: PastTurn) -> dict[str, str]:
    """The text of each result, by the id under which its call was handed out."""
    handed_out = {one.call_id: one.placed.call_id for one in spoken.members if one.placed}
    results: dict[str, str] = {}
    for entry in spoken.answers:
        results.setdefault(handed_out[entry.call_id or ""], entry.text)
    return results


@dataclass(frozen=True, slots=True, repr=False)
class LocalAnswer:
    """A complete, valid answer that hands out calls without a round trip.

    Attributes:
        form: writes it.
        answer: what it says.
    """

    form: Format
    answer: Local

    @property
    def calls(self) -> Sequence[Fragment]:
        """What it hands out."""
        return self.answer.calls

    def completion(self) -> Body:
        """The answer as a whole."""
        return self.form.local(self.answer)

    def chunks(self, *, with_usage: bool) -> list[Body]:
        """The answer as a stream; usage only where it was asked for."""
        return self.form.local_events(self.answer, with_usage=with_usage)
