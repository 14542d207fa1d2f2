"""Deliver: hands out the calls of a turn that were held back, without asking the provider.

Calls that conflict with others of their turn wait until those have their results. The agent's next
request is then answered locally with the next wave. The model made one `multi_edit` here, with two
edits of a.py and one of b.py:

    answer 1 (from the provider):  edit_file(a.py, 1) · edit_file(b.py, 3)
    request 2:                     the two results          not sent to the provider
    answer 2 (local):              edit_file(a.py, 2)
    request 3:                     all three results        sent: one multi_edit, one result

A lookup changes no state. The next wave follows from the results in the request alone, so a retry
gets the same wave, and a fork of the conversation gets its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from itertools import takewhile

from batchwrap.core.failures import ResultStatus, status_of
from batchwrap.core.formats.calls import Fragment
from batchwrap.core.formats.entries import Entry
from batchwrap.core.formats.format import Body, Format, Local, Settings
from batchwrap.core.moves import ids
from batchwrap.core.moves.agent_notes import has_typed_message
from batchwrap.core.moves.cap import tokens_of
from batchwrap.core.moves.conflict import Waves
from batchwrap.core.moves.past_turns import PastTurn
from batchwrap.core.moves.scripts import TurnScripts
from batchwrap.core.moves.turn_memory import SCRIPT_WAVES, Placed, Turn, TurnRequest
from batchwrap.core.tools.multi import SCRIPT, SINGLE

_HARMLESS = ("read", "read_only", "bookkeeping")


def request_of(model: object, settings: Settings, conversation: bytes) -> TurnRequest:
    """What a later request must have in common with this one to get the waiting calls."""
    return TurnRequest(conversation, model, settings.tools, settings.choice)


def continues(model: object, settings: Settings, asked: TurnRequest) -> bool:
    """Whether a request continues an earlier one, judged by everything but its conversation.

    Tools may have been added, and a tool choice that forced the first answer is usually reset.
    Another model, a missing tool or a new tool choice means that the agent wants something else.
    """
    is_free = settings.choice is None or settings.choice == asked.choice
    return model == asked.model and asked.tools <= settings.tools and is_free


def open_turn(entries: Sequence[Entry], last: PastTurn | None) -> Turn | None:
    """The turn that is still being delivered at the end of a conversation; None if there is none.

    All of its calls must be in the history as they were handed out, and nothing else may have been
    said since. System messages do not count: they are notes of the agent's own.
    """
    if last is None or last.known is None or not last.is_same:
        return None
    since = [*last.others, *entries[last.end :]]
    if not all(entry.role == "system" or entry.says_nothing for entry in since):
        return None
    if any(has_typed_message(answer.parts) for answer in last.answers):
        return None
    # Ids that an agent has shortened may have become equal: results could not be assigned then.
    is_clear = len({one.call_id for one in last.members}) == len(last.members)
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
    """The calls of the next wave.

    Args:
        turn: the turn as it was remembered.
        spoken: the same turn in the history.
        failed: whether the text of a result reports a failure.
        go_on: whether commands continue after a failed one.
        serial: whether the agent takes one call at a time.
        scripts: the scripts of the turn, as far as they have come.
        waves: puts the calls of a script into waves.

    Returns:
        None if the request must go to the provider: every call has its result, a failure has
        cancelled the rest, the results fill the room that the context had, or the history holds
        no result of the turn.
    """
    results = _results(spoken)
    if _is_full(turn, results):
        return None
    answered = [placed for placed in turn.calls if placed.call_id in results]
    due, is_stopped = _due(turn, results, failed, go_on=go_on)
    cut_off = _cut_off(turn, results)
    done = results.keys() | cut_off
    reachable = ((0 if scripts is None else scripts.over) + 1) * SCRIPT_WAVES
    waiting = [
        placed
        for placed in due
        if placed.call_id not in done
        and (turn.is_over or placed.written.is_complete)
        and placed.wave < reachable
        and not is_of_script(placed.call_id)
    ]
    # Without any result nothing shows that the agent has run the calls that it got.
    if not answered or (scripts is not None and scripts.is_denied):
        return None
    if not waiting:
        if scripts is None or waves is None or is_stopped:
            return None
        return _next_of_script(turn, spoken, scripts, waves(), cut_off)
    reached = max(placed.wave for placed in answered)
    if serial or any(placed.wave <= reached for placed in waiting):
        # The agent takes one call at a time: it says so, or it answered only a part of a wave.
        return _signed(turn, [waiting[0]])
    wave = min(placed.wave for placed in waiting)
    return _signed(turn, [placed for placed in waiting if placed.wave == wave])


def _next_of_script(
    turn: Turn, spoken: PastTurn, scripts: TurnScripts, waves: Waves, cut_off: Set[str]
) -> list[Fragment] | None:
    """The calls that a script of the turn waits for; None where none does, or one has run."""
    here = {one.placed.call_id for one in spoken.members if one.placed}
    script, placed = scripts.active, scripts.next_wave(waves, here.__contains__)
    if script is None or not placed or any(one.call_id in cut_off for one in placed):
        return None
    turn.add(placed, script)
    return _signed(turn, placed)


def _signed(turn: Turn, calls: Sequence[Placed]) -> list[Fragment]:
    """The calls of a local answer. The first one has the extra fields of the model's call.

    Gemini requires its signature in each message with calls. If folding is not possible, the
    agent's history is sent as it is, with this answer as a message of its own.
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
    """The calls of a turn that no failure has cancelled, and whether a person denied a call.

    A failure cancels only the calls after it in the model's order: a failed call may have overtaken
    earlier ones. The model's own single calls are not cancelled, since without batchwrap they would
    have gone out with the failed one. A denial cancels them as well, since a person said no.
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
    """Whether the failure of a call of this kind cancels the calls after it."""
    return kind not in _HARMLESS and not (go_on and kind == "sequential")


def _cut_off(turn: Turn, results: dict[str, str]) -> set[str]:
    """Ids of calls that have been answered, but whose messages the agent has dropped since.

    Agents cut long histories at the front. So the calls of all answers before the first one in the
    history have been answered. If the agent takes the calls of an answer one by one, only those
    before its first call with a result.
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
    """Whether the results fill the room that the context had when the turn began.

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
    """The text of each result, by the id with which its call was handed out."""
    handed_out = {one.call_id: one.placed.call_id for one in spoken.members if one.placed}
    results: dict[str, str] = {}
    for entry in spoken.answers:
        results.setdefault(handed_out[entry.call_id or ""], entry.text)
    return results


@dataclass(frozen=True, slots=True, repr=False)
class LocalAnswer:
    """A complete, valid answer that hands out calls without a round trip.

    Attributes:
        form: the format in which it is written.
        answer: its content.
        given: records that its calls are handed out, once they are written.
    """

    form: Format
    answer: Local
    given: Callable[[], None]

    @property
    def calls(self) -> Sequence[Fragment]:
        """The calls that it hands out."""
        return self.answer.calls

    def completion(self) -> Body:
        """The answer as one body."""
        body = self.form.local(self.answer)
        self.given()
        return body

    def chunks(self, *, with_usage: bool) -> list[Body]:
        """The answer as a stream; with its usage if the request asks for it."""
        events = self.form.local_events(self.answer, with_usage=with_usage)
        self.given()
        return events
