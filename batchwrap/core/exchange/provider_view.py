"""The way out: a request of the agent becomes the provider view.

    fold -> coalesce -> offer -> remind

Only what is new since the conversation's last request is rewritten (`frozen`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from batchwrap.core.exchange import reminder_metrics as metering
from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.frozen_prefix import NOTHING, FrozenPrefix, keep_prefix
from batchwrap.core.exchange.memory import Memory
from batchwrap.core.exchange.offer_choice import OfferChoice, choose, start_of
from batchwrap.core.failures import looks_failed
from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats import chat
from batchwrap.core.moves.cap import outcomes
from batchwrap.core.moves.coalesce import coalesce
from batchwrap.core.moves.fold import Kept, Segment, fold
from batchwrap.core.moves.past_turns import HistoryReader
from batchwrap.core.moves.read_ahead import kept
from batchwrap.core.reminders.directives import names_of, prepare
from batchwrap.core.reminders.gates import Facts, Places, asks_to_think
from batchwrap.core.reminders.schedule import Offered, Walk
from batchwrap.core.repair.request.right import Checked
from batchwrap.core.tools.offer import Form, offer, wants_one_tool
from batchwrap.core.tools.tool_set import ToolSet, tool_set_of
from batchwrap.options import Batching, ReadAhead

# What was read ahead once is shown by these bounds where the option is off by now.
_READ_AHEAD = ReadAhead()


@dataclass(frozen=True, slots=True, repr=False)
class ProviderView:
    """A request in the provider view, and what its answer's translation goes by.

    Attributes:
        body: the request; None if it stays as it is.
        tool_set: what follows from its tools.
        most: calls that may go out in one wave.
        room: tokens left in the context; None: nobody knows.
        is_follow_up: whether the model has answered in this conversation before.
        checked: what is known of its beginning, as far as that needs no mending.
    """

    body: chat.Body | None = None
    tool_set: ToolSet = field(default_factory=ToolSet)
    most: int = 1
    room: int | None = None
    is_follow_up: bool = False
    checked: Checked | None = None


def rewrite(
    body: chat.Body, frozen: FrozenPrefix, history: HistoryReader, context: Context, *, offers: bool
) -> ProviderView:
    """The request in the provider view.

    Args:
        body: the agent's request.
        frozen: what of it was sent before.
        history: reads its turns.
        context: what the translator is given.
        offers: whether anything is offered; else it is only folded.
    """
    batching = context.options.batching or Batching()
    tool_set = _tool_set(body.get("tools"), batching, context.memory)
    reminders = context.options.reminders
    directives = [one.id for one in reminders.directives] if reminders else []
    choice = frozen.choice or choose(
        body, batching, context.memory.choices, context.memory.observations, directives
    )
    several = body.get("n") not in (None, 1)  # choices of which only one goes on
    offers = offers and bool(tool_set.multis) and choice.offer != "never" and not several
    if frozen.tool_set is not tool_set or (frozen.walk is not None) != offers:
        frozen = NOTHING
    walk = frozen.walk
    if offers and walk is None:
        walk = Walk.begin(_offered(body, tool_set, choice, batching, context), reminders)
    places = Places(_facts(body, context), context.memory.places)
    state = _State(tool_set, choice, walk, batching, context, places, history)
    messages, walk, frozen = _messages(body, frozen, state)
    is_follow_up = any(message.get("role") == "assistant" for message in messages)
    if walk is None:
        if tool_set.multis and directives and not is_follow_up and wants_one_tool(messages):
            metering.opposed(directives, body.get("model"), context.tally)
        changed = None if messages == body["messages"] else {**body, "messages": messages}
        return ProviderView(
            changed, tool_set, batching.max_items, None, is_follow_up, frozen.checked
        )
    context.tally.add("offers")
    # The same beginning may be two conversations; more than that is one, asked again.
    is_new = places.is_new or not is_follow_up
    metering.count(
        walk, body.get("model"), context.tally, context.memory.observations, is_new=is_new
    )
    instead = choice.offer == "instead"
    form = Form(instead, choice.most, batching.on_failure == "stop")
    made = tool_set.definitions(form)
    new = offer({**body, "messages": messages}, tool_set.multis, made, instead=instead)
    return ProviderView(new, tool_set, walk.most, walk.room, is_follow_up, frozen.checked)


@dataclass(frozen=True, slots=True, repr=False)
class _State:
    """What the rewriting of one request's messages goes by."""

    tool_set: ToolSet
    choice: OfferChoice
    walk: Walk | None
    batching: Batching
    context: Context
    places: Places
    history: HistoryReader


def _messages(
    body: chat.Body, frozen: FrozenPrefix, state: _State
) -> tuple[list[chat.Message], Walk | None, FrozenPrefix]:
    """The messages in the provider view; what will not change any more is remembered."""
    source, context, start = body["messages"], state.context, len(frozen.source)
    segments = fold(source, start, state.history, _shown(state.batching))
    context.tally.add("folds", sum(one.is_folded for one in segments))
    pending = 0
    if state.walk is not None and _coalesces(state.batching, context, body.get("model")):
        segments, pending = coalesce(
            frozen.made,
            segments,
            state.tool_set.multis,
            state.tool_set.singles,
            state.batching.failed or looks_failed,
            most=state.choice.most,
        )
    done = min(_last_turn(segments), len(segments) - pending)
    new, rest = _flat(segments[:done]), _flat(segments[done:])
    following = str(rest[0].get("role")) if rest else None
    made, walk = _reminded(state.walk, frozen.made, new, state, following)
    if done:
        upto = start + sum(segment.taken for segment in segments[:done])
        added = source[start:upto]
        _judge(new, body.get("model"), state)
        whole, said = [*frozen.source, *added], state.history.prefixes.before(upto).copy()
        checked = Checked(made, frozen.checked)
        frozen = FrozenPrefix(whole, made, said, state.tool_set, state.choice, walk, checked)
        keep_prefix(frozen, context.memory.frozen_prefixes, context.now_s)
    return *_reminded(walk, made, rest, state, None), frozen


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
    shown = context.memory.observations.caches_prompts(model)
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
    calls: dict[object, chat.ToolCall] = {}
    failed = state.batching.failed or looks_failed
    for message in messages:
        calls = chat.by_id(message) or calls
        if message.get("role") == "tool":
            seen = outcomes(calls, message, state.tool_set.known, state.tool_set.singles, failed)
            state.context.memory.observations.judge_edits(model, seen, state.batching.max_items)


def _tool_set(tools: object, batching: Batching, memory: Memory) -> ToolSet:
    """The tool_set for a list of tools, worked out once."""
    key = fingerprint(tools)
    tool_set = memory.tool_sets.get(key)
    if tool_set is None:
        tool_set = tool_set_of(tools, batching)
        memory.tool_sets.put(key, tool_set)
    return tool_set


def _offered(
    body: chat.Body, tool_set: ToolSet, choice: OfferChoice, batching: Batching, context: Context
) -> Offered:
    """What reminders go by; the same in all requests of a conversation."""
    reminders = context.options.reminders
    hidden = set(tool_set.singles) if choice.offer == "instead" else set[str]()
    parallel = body.get("parallel_tool_calls") is not False
    names = names_of(body.get("tools"), tool_set.multis, hidden, parallel=parallel)
    system = (
        text
        for message in body["messages"][: start_of(body["messages"])]
        if message.get("role") in ("system", "developer")
        for text in chat.texts(message.get("content"))
    )
    return Offered(
        multis={multi.name: multi for multi in tool_set.multis},
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
        batches={*tool_set.known, *(native.name for native in tool_set.natives.values())},
        refused=context.model.refuses,
    )


def _facts(body: chat.Body, context: Context) -> Facts:
    """What is known at the end of this request's messages, besides them."""
    asked, reminders = asks_to_think(body), context.options.reminders
    pace = context.memory.observations.tokens_per_s(body.get("model"))
    return Facts(
        mode=context.mode,
        thinks=context.model.thinks if asked is None else asked,
        slow=reminders is not None and pace is not None and pace < reminders.min_tokens_per_s,
    )
