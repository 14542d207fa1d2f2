"""The way out: a request of the agent becomes the provider view.

    fold -> coalesce -> offer -> remind

Only what is new since the conversation's last request is rewritten (`settled`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from batchwrap.core import chat
from batchwrap.core.context import Context
from batchwrap.core.failures import looks_failed
from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.memory import Memory
from batchwrap.core.reminders import metering
from batchwrap.core.reminders.directives import names_of, prepare
from batchwrap.core.reminders.gates import Facts, Places, asks_to_think
from batchwrap.core.reminders.schedule import Offered, Walk
from batchwrap.core.views.ahead import kept
from batchwrap.core.views.cap import outcomes
from batchwrap.core.views.choice import Choice, choose, start_of
from batchwrap.core.views.coalesce import coalesce
from batchwrap.core.views.fold import Kept, Segment, fold
from batchwrap.core.views.kit import Kit, kit_of
from batchwrap.core.views.offer import offer, wants_one_tool
from batchwrap.core.views.settled import NOTHING, Settled, keep_settled
from batchwrap.core.views.spoken import Reader
from batchwrap.options import Batching, ReadAhead

# What was read ahead once is shown by these bounds where the option is off by now.
_READ_AHEAD = ReadAhead()


@dataclass(frozen=True, slots=True, repr=False)
class Outgoing:
    """A request in the provider view, and what its answer's translation goes by.

    Attributes:
        body: the request; None if it stays as it is.
        kit: what follows from its tools.
        most: calls that may go out in one wave.
        room: tokens left in the context; None: nobody knows.
        is_follow_up: whether the model has answered in this conversation before.
    """

    body: chat.Body | None = None
    kit: Kit = field(default_factory=Kit)
    most: int = 1
    room: int | None = None
    is_follow_up: bool = False


def rewrite(
    body: chat.Body, settled: Settled, history: Reader, context: Context, *, offers: bool
) -> Outgoing:
    """The request in the provider view.

    Args:
        body: the agent's request.
        settled: what of it was sent before.
        history: reads its turns.
        context: what the translator is given.
        offers: whether anything is offered; else it is only folded.
    """
    batching = context.options.batching or Batching()
    kit = _kit(body.get("tools"), batching, context.memory)
    reminders = context.options.reminders
    directives = [one.id for one in reminders.directives] if reminders else []
    choice = settled.choice or choose(body, batching, context.memory, directives)
    several = body.get("n") not in (None, 1)  # choices of which only one goes on
    offers = offers and bool(kit.multis) and choice.offer != "never" and not several
    if settled.kit is not kit or (settled.walk is not None) != offers:
        settled = NOTHING
    walk = settled.walk
    if offers and walk is None:
        walk = Walk.begin(_offered(body, kit, choice, batching, context), reminders)
    places = Places(_facts(body, context), context.memory.places)
    state = _State(kit, choice, walk, batching, context, places, history)
    messages, walk = _messages(body, settled, state)
    is_follow_up = any(message.get("role") == "assistant" for message in messages)
    if walk is None:
        if kit.multis and directives and not is_follow_up and wants_one_tool(messages):
            metering.opposed(directives, body.get("model"), context.tally)
        changed = None if messages == body["messages"] else {**body, "messages": messages}
        return Outgoing(changed, kit, batching.max_items, None, is_follow_up)
    context.tally.add("offers")
    # The same beginning may be two conversations; more than that is one, asked again.
    is_new = places.is_new or not is_follow_up
    metering.count(walk, body.get("model"), context.tally, context.memory, is_new=is_new)
    new = offer(
        {**body, "messages": messages},
        kit.multis,
        batching,
        instead=choice.offer == "instead",
        most=choice.most,
        made=kit.definitions,
    )
    return Outgoing(new, kit, walk.most, walk.room, is_follow_up)


@dataclass(frozen=True, slots=True, repr=False)
class _State:
    """What the rewriting of one request's messages goes by."""

    kit: Kit
    choice: Choice
    walk: Walk | None
    batching: Batching
    context: Context
    places: Places
    history: Reader


def _messages(
    body: chat.Body, settled: Settled, state: _State
) -> tuple[list[chat.Message], Walk | None]:
    """The messages in the provider view; what will not change any more is remembered."""
    source, context, start = body["messages"], state.context, len(settled.source)
    segments = fold(source, start, state.history, _shown(state.batching))
    context.tally.add("folds", sum(one.is_folded for one in segments))
    pending = 0
    if state.walk is not None and _coalesces(state.batching, context, body.get("model")):
        segments, pending = coalesce(
            settled.made,
            segments,
            state.kit.multis,
            state.kit.singles,
            state.batching.failed or looks_failed,
            most=state.choice.most,
        )
    done = min(_last_turn(segments), len(segments) - pending)
    new, rest = _flat(segments[:done]), _flat(segments[done:])
    following = str(rest[0].get("role")) if rest else None
    made, walk = _reminded(state.walk, settled.made, new, state, following)
    if done:
        upto = start + sum(segment.taken for segment in segments[:done])
        added = source[start:upto]
        _judge(new, body.get("model"), state)
        whole, said = [*settled.source, *added], state.history.prefixes.before(upto).copy()
        kept = Settled(whole, made, said, state.kit, state.choice, walk)
        keep_settled(kept, context.memory, context.now_s)
    return _reminded(walk, made, rest, state, None)


def _reminded(
    walk: Walk | None,
    made: list[chat.Message],
    new: list[chat.Message],
    state: _State,
    following: str | None,
) -> tuple[list[chat.Message], Walk | None]:
    """What was made of some messages and of those after them, and the walk that saw them all."""
    if walk is None:
        return [*made, *new], None
    walk = walk.copy()
    said = state.history.prefixes.said
    with_reminders = walk.go(new, following, before=made, places=state.places, said=said)
    return [*made, *with_reminders], walk


def _shown(batching: Batching) -> Kept:
    """Tells which added reads are shown: as far as the budget goes."""
    options, failed = batching.read_ahead or _READ_AHEAD, batching.failed or looks_failed
    return partial(kept, max_tokens=options.max_tokens, failed=failed)


def _coalesces(batching: Batching, context: Context, model: object) -> bool:
    """Whether runs in the history are rewritten, which costs a prompt cache its prefix."""
    if batching.coalesce != "auto":
        return batching.coalesce == "always"
    shown = context.memory.habits.caches_prompts(model)
    return (context.provider.caches_prompts if shown is None else shown) is False


def _last_turn(segments: Sequence[Segment]) -> int:
    """The place of the last turn of the model, to which more may come; 0 without one."""
    places = (
        place
        for place in range(len(segments) - 1, -1, -1)
        if any(message.get("role") == "assistant" for message in segments[place].messages)
    )
    return next(places, 0)


def _flat(segments: Sequence[Segment]) -> list[chat.Message]:
    return [message for segment in segments for message in segment.messages]


def _judge(messages: Sequence[chat.Message], model: object, state: _State) -> None:
    """Take note of how the edits in some messages of the provider view turned out."""
    calls: list[chat.ToolCall] = []
    failed = state.batching.failed or looks_failed
    for message in messages:
        calls = chat.tool_calls(message) or calls
        if message.get("role") == "tool":
            seen = outcomes(calls, message, state.kit.known, state.kit.singles, failed)
            state.context.memory.habits.judge_edits(model, seen, state.batching.max_items)


def _kit(tools: object, batching: Batching, memory: Memory) -> Kit:
    """The kit for a list of tools, worked out once."""
    key = fingerprint(tools)
    kit = memory.kits.get(key)
    if kit is None:
        kit = kit_of(tools, batching)
        memory.kits.put(key, kit)
    return kit


def _offered(
    body: chat.Body, kit: Kit, choice: Choice, batching: Batching, context: Context
) -> Offered:
    """What reminders go by; the same in all requests of a conversation."""
    reminders = context.options.reminders
    hidden = set(kit.singles) if choice.offer == "instead" else set[str]()
    parallel = body.get("parallel_tool_calls") is not False
    names = names_of(body.get("tools"), kit.multis, hidden, parallel=parallel)
    system = (
        text
        for message in body["messages"][: start_of(body["messages"])]
        if message.get("role") in ("system", "developer")
        for text in chat.texts(message.get("content"))
    )
    return Offered(
        multis={multi.name: multi for multi in kit.multis},
        cap=choice.most,
        failed=batching.failed or looks_failed,
        context_tokens=batching.context_tokens or context.provider.context_tokens,
        ready=prepare(
            reminders.directives if reminders else (),
            names,
            model=str(body.get("model")),
            off=choice.ignored,
            system=list(system),
        ),
        todo=names.get("todo"),
        batches={*kit.known, *(native.name for native in kit.natives.values())},
        refused=context.model.refuses,
    )


def _facts(body: chat.Body, context: Context) -> Facts:
    """What is known at the end of this request's messages, besides them."""
    asked, reminders = asks_to_think(body), context.options.reminders
    pace = context.memory.habits.tokens_per_s(body.get("model"))
    return Facts(
        mode=context.mode,
        thinks=context.model.thinks if asked is None else asked,
        slow=reminders is not None and pace is not None and pace < reminders.min_tokens_per_s,
    )
