"""Rewrites a request of the agent to the provider view.

    fold -> coalesce -> offer -> remind

Only what is new since the conversation's last request is rewritten; the rest is taken from its
`FrozenPrefix`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from batchwrap.core.exchange import reminder_metrics as metering
from batchwrap.core.exchange.context import Context
from batchwrap.core.exchange.frozen_prefix import NOTHING, FrozenPrefix, keep_prefix
from batchwrap.core.exchange.memory import Memory
from batchwrap.core.exchange.offer_choice import OfferChoice, choose, choose_bound, start_of
from batchwrap.core.exchange.undeclared_runs import undeclared_tool
from batchwrap.core.failures import looks_failed
from batchwrap.core.fingerprint import fingerprint
from batchwrap.core.formats.calls import Call
from batchwrap.core.formats.entries import Entry, Role
from batchwrap.core.formats.format import Body, Format, Settings
from batchwrap.core.formats.sameness import Prefixes
from batchwrap.core.moves.cap import Outcome, outcome
from batchwrap.core.moves.coalesce import coalesce
from batchwrap.core.moves.fold import (
    AttemptsBefore,
    Kept,
    ScriptsOf,
    Segment,
    fold,
    no_attempts,
    no_scripts,
)
from batchwrap.core.moves.past_turns import HistoryReader, by_id
from batchwrap.core.moves.read_ahead import kept
from batchwrap.core.reminders.directives import names_of, prepare
from batchwrap.core.reminders.gates import Facts, Places
from batchwrap.core.reminders.schedule import Offered, Walk
from batchwrap.core.repair.request.validity import Checked
from batchwrap.core.tools.offer import Form, hidden_by, offer, wants_one_tool
from batchwrap.core.tools.tool_set import NO_TOOLS, ToolSet, tool_set_of
from batchwrap.options import Batching, ReadAhead
from batchwrap.stats import undeclared_counter

# The bounds for showing earlier read-ahead results if the option is switched off by now.
_READ_AHEAD = ReadAhead()
# The facts for reminders in a bound conversation. They are constant, so that every process reminds
# in the same places.
_BOUND = Facts(thinks=True)


@dataclass(frozen=True, slots=True, repr=False)
class ProviderView:
    """A request in the provider view, and what the translation of its answer needs.

    Attributes:
        body: the request; None if it stays as it is.
        tool_set: what follows from its tools.
        most: the largest number of calls in one wave.
        room: tokens left in the model's context; None if unknown.
        is_follow_up: whether the model has answered in this conversation before.
        checked: the beginning that was checked already and has no more to be repaired.
        is_offered: whether multi-tools are offered.
        is_guess: whether the conversation may have begun with another offer.
    """

    body: Body | None = None
    tool_set: ToolSet = NO_TOOLS
    most: int = 1
    room: int | None = None
    is_follow_up: bool = False
    checked: Checked | None = None
    is_offered: bool = False
    is_guess: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """A request of the agent, as its format reads it.

    Attributes:
        body: the request.
        form: its format.
        settings: what it asks for besides its conversation.
        entries: its conversation.
        is_bound: whether the provider signs parts of the conversation over all that stands
            before them, so that nothing before a signed part may be written in other words.
    """

    body: Body
    form: Format
    settings: Settings
    entries: Sequence[Entry]
    is_bound: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether the conversation contains an entry of the model."""
        return any(entry.role == "model" for entry in self.entries)

    @property
    def model(self) -> object:
        """The name of the model."""
        return self.body.get("model")

    @property
    def tools(self) -> object:
        """The tools as they are in the request."""
        return self.form.tool_items(self.body)


def rewrite(
    asked: Asked,
    frozen: FrozenPrefix,
    history: HistoryReader,
    context: Context,
    *,
    offers: bool,
    otherwise: bool = False,
    scripts: ScriptsOf = no_scripts,
    attempts: AttemptsBefore = no_attempts,
    added: Sequence[Entry] = (),
) -> ProviderView:
    """Rewrite a request to the provider view.

    Args:
        asked: the agent's request.
        frozen: the part of it that was rewritten before.
        history: reads its turns.
        context: the options, the memory and the facts that the translator has.
        offers: whether anything may be offered; otherwise the request is only folded. A bound
            conversation continues as it began.
        otherwise: whether the first guess for a bound conversation was refused.
        scripts: tells how far scripts have come.
        attempts: tells what was asked again before an answer.
        added: what is asked again in this request.
    """
    batching = context.options.batching or Batching()
    form, model = asked.form, asked.model
    tool_set = frozen.tool_set
    if tool_set is None or asked.tools is not frozen.tools:
        tool_set = tool_set_for(asked, batching, context.memory)
    reminders = context.options.reminders
    directives = [one.id for one in reminders.directives] if reminders else []
    is_guess = False
    if asked.is_bound:
        found = choose_bound(
            asked.entries,
            model,
            batching,
            context.memory.choices,
            may_begin=offers,
            otherwise=otherwise,
        )
        choice, is_guess, offers = found.choice, found.is_guess, True
    else:
        choice = frozen.choice or choose(
            asked.entries,
            model,
            batching,
            context.memory.choices,
            context.memory.observations,
            directives,
        )
    # Of several answers only one goes on.
    offered = bool(tool_set.multis) or tool_set.script is not None
    is_possible = offered and asked.settings.is_one_answer
    offers = offers and is_possible and choice.offer != "never"
    # What the prefix was written for has changed, so the whole conversation is rewritten.
    is_other = frozen.tool_set is not tool_set or (frozen.walk is not None) != offers
    if is_other or frozen.is_bound != asked.is_bound or frozen.choice != choice:
        frozen = NOTHING
    walk = frozen.walk
    if offers and walk is None:
        walk = Walk.begin(_offered(asked, tool_set, choice, batching, context), reminders)
    places = _places(asked, history.prefixes, context)
    state = _State(
        asked,
        tool_set,
        choice,
        walk,
        batching,
        context,
        places,
        history,
        scripts,
        attempts,
        added,
    )
    entries, walk, frozen = _entries(frozen, state)
    is_follow_up = any(entry.role == "model" for entry in entries)
    _count_undeclared(entries, state)
    items, source = form.write(entries), form.items(asked.body)
    if walk is None:
        if tool_set.multis and directives and not is_follow_up and wants_one_tool(entries):
            metering.opposed(directives, model, context.metrics)
        changed = None if items == source else form.with_items(asked.body, items)
        # Ids of ours in a bound conversation mean that multi-tools were offered, which is untrue
        # here; without known multi-tools, the answer's calls keep their own ids.
        known = NO_TOOLS if asked.is_bound else tool_set
        return ProviderView(
            changed,
            known,
            batching.max_items,
            None,
            is_follow_up,
            frozen.checked,
            is_guess=is_guess,
        )
    context.metrics.add("offers")
    # Two conversations may begin with the same messages. With an answer in it, a request that was
    # seen before is the same conversation, sent again.
    is_new = places.is_new or not is_follow_up
    metering.count(walk, model, context.metrics, context.memory.observations, is_new=is_new)
    instead = choice.offer == "instead"
    made = tool_set.definitions(Form(instead, choice.most, batching.on_failure == "stop"), form)
    body = form.with_items(asked.body, items)
    hidden = hidden_by(tool_set.multis) if instead else set[str]()
    new = offer(body, form, tool_set.runs, made, hidden)
    return ProviderView(
        new,
        tool_set,
        walk.most,
        walk.room,
        is_follow_up,
        frozen.checked,
        is_offered=True,
        is_guess=is_guess,
    )


def _count_undeclared(entries: Sequence[Entry], state: _State) -> None:
    """Count a tool that should be declared, once for each call of the model."""
    tool, places = undeclared_tool(entries, state.tool_set, state.batching), state.places
    if tool is None:
        return
    if state.walk is None or not state.walk.options:
        # No reminder was decided here, so nobody has recorded yet that the request was seen.
        places.at(len(state.asked.entries), is_last=True)
    if places.is_new:
        state.context.metrics.add(undeclared_counter(tool))


@dataclass(frozen=True, slots=True, repr=False)
class _State:
    """What the rewriting of one request's conversation needs."""

    asked: Asked
    tool_set: ToolSet
    choice: OfferChoice
    walk: Walk | None
    batching: Batching
    context: Context
    places: Places
    history: HistoryReader
    scripts: ScriptsOf
    attempts: AttemptsBefore
    added: Sequence[Entry]


def _entries(frozen: FrozenPrefix, state: _State) -> tuple[list[Entry], Walk | None, FrozenPrefix]:
    """The conversation in the provider view, the walk after it, and the new frozen prefix."""
    context, asked, start = state.context, state.asked, len(frozen.entries)
    segments = fold(start, state.history, shown(state.batching), state.scripts, state.attempts)
    context.metrics.add("folds", sum(one.is_folded for one in segments))
    pending = 0
    if state.walk is not None and _coalesces(state.batching, context, asked):
        segments, pending = coalesce(
            frozen.made,
            segments,
            state.tool_set.multis,
            state.tool_set.singles,
            state.batching.failed or looks_failed,
            most=state.choice.most,
        )
    # The last turn may still get results, and a pending run more calls: neither is frozen yet.
    done = min(_last_turn(segments), len(segments) - pending)
    new, rest = _Stretch(start, segments[:done]), segments[done:]
    if state.added:
        rest = [*rest, Segment(0, list(state.added))]
    following = rest[0].entries[0].role if rest else None
    made, walk = _reminded(state.walk, frozen.made, new, state, following)
    if done:
        _judge(new.entries, asked.model, state)
        frozen = _freeze(frozen, new.end, made, walk, state)
    return *_reminded(walk, made, _Stretch(new.end, rest), state, None), frozen


class _Stretch:
    """A part of the conversation.

    Args:
        start: its place in the agent view.
        segments: what it is in both views.

    Attributes:
        entries: what it says in the provider view.
        ends: for each of these, the place in the agent view behind all that it stands for.
        end: the place behind it in the agent view.
    """

    def __init__(self, start: int, segments: Sequence[Segment]) -> None:
        self.entries: list[Entry] = []
        self.ends: list[int] = []
        self.end = start
        for segment in segments:
            self.end += segment.taken
            self.entries += segment.entries
            self.ends += [self.end] * len(segment.entries)


def _freeze(
    frozen: FrozenPrefix, upto: int, made: list[Entry], walk: Walk | None, state: _State
) -> FrozenPrefix:
    """Freeze a conversation up to an entry, and remember the prefix."""
    asked, memory = state.asked, state.context.memory
    entries, known = list(asked.entries[:upto]), len(frozen.entries)
    end = len(frozen.source) + sum(entry.items for entry in entries[known:])
    behind = end + sum(entry.items for entry in asked.entries[upto : upto + 1])
    items = asked.form.items(asked.body)
    said = state.history.prefixes.before(upto).copy()
    # Only what is repaired is checked.
    is_checked = asked.form.is_repaired
    checked = Checked(asked.form.write(made), frozen.checked) if is_checked else frozen.checked
    new = FrozenPrefix(
        items[:end],
        items[end:behind],
        entries,
        made,
        said,
        asked.tools,
        state.tool_set,
        state.choice,
        walk,
        asked.is_bound,
        checked,
    )
    keep_prefix(new, asked.form, memory.frozen_prefixes, state.context.now_s)
    return new


def _reminded(
    walk: Walk | None,
    made: list[Entry],
    new: _Stretch,
    state: _State,
    following: Role | None,
) -> tuple[list[Entry], Walk | None]:
    """The rewritten entries and the new ones with their reminders, and the walk after them."""
    if walk is None or not new.entries:
        return [*made, *new.entries], walk
    walk, places = walk.copy(), state.places  # the frozen prefix keeps the original walk
    more = walk.go(new.entries, following, before=made, ends=new.ends, places=places)
    return [*made, *more], walk


def shown(batching: Batching) -> Kept:
    """A function that tells which read-ahead results are shown, within the token budget."""
    options, failed = batching.read_ahead or _READ_AHEAD, batching.failed or looks_failed
    return partial(kept, max_tokens=options.max_tokens, failed=failed)


def _coalesces(batching: Batching, context: Context, asked: Asked) -> bool:
    """Whether runs in the history are rewritten, which makes a prompt cache miss once."""
    if asked.is_bound or batching.coalesce != "auto":
        return batching.coalesce == "always" and not asked.is_bound
    shown = context.memory.observations.caches_prompts(asked.model)
    return (context.provider.caches_prompts if shown is None else shown) is False


def _last_turn(segments: Sequence[Segment]) -> int:
    """The place of the model's last turn; 0 if there is none."""
    places = (
        place
        for place in range(len(segments) - 1, -1, -1)
        if any(entry.role == "model" for entry in segments[place].entries)
    )
    return next(places, 0)


def _judge(entries: Sequence[Entry], model: object, state: _State) -> None:
    """Record the outcomes of the edits in some entries of the provider view."""
    calls: dict[str, Call] = {}
    failed, tool_set = state.batching.failed or looks_failed, state.tool_set
    seen: list[Outcome] = []
    for entry in entries:
        if entry.calls:
            calls = by_id(entry)
        elif entry.role == "result":
            found = outcome(calls, entry, tool_set.known, tool_set.singles, failed)
            if found is not None:
                seen.append(found)
    state.context.memory.observations.judge_edits(model, seen, state.batching.max_items)


def keeps_tools(asked: Asked, frozen: FrozenPrefix, batching: Batching, memory: Memory) -> bool:
    """Whether a request has the tools for which the beginning of its conversation was rewritten."""
    return asked.tools is frozen.tools or tool_set_for(asked, batching, memory) is frozen.tool_set


def tool_set_for(asked: Asked, batching: Batching, memory: Memory) -> ToolSet:
    """What follows from the tools of a request, worked out once."""
    key = fingerprint(asked.tools) + (b"" if batching.scripts is None else b"scripts")
    tool_set = memory.tool_sets.get(key)
    if tool_set is None:
        tool_set = tool_set_of(asked.form.tools(asked.tools), batching)
        memory.tool_sets.put(key, tool_set)
    return tool_set


def _offered(
    asked: Asked, tool_set: ToolSet, choice: OfferChoice, batching: Batching, context: Context
) -> Offered:
    """What the reminders of a conversation depend on, the same in all of its requests."""
    reminders = context.options.reminders
    hidden = set(tool_set.singles) if choice.offer == "instead" else set[str]()
    # A bound conversation must not change with what a single request asks for.
    parallel = asked.is_bound or asked.settings.parallel is not False
    script = tool_set.script
    names = names_of(
        asked.form.tools(asked.tools),
        tool_set.multis,
        hidden,
        parallel=parallel,
        script=None if script is None else script.name,
    )
    system = (
        text
        for entry in asked.entries[: start_of(asked.entries)]
        if entry.role == "system"
        for text in entry.texts()
    )
    return Offered(
        multis={multi.name: multi for multi in tool_set.multis},
        cap=choice.most,
        failed=batching.failed or looks_failed,
        context_tokens=batching.context_tokens or context.provider.context_tokens,
        ready=prepare(
            reminders.directives if reminders else (),
            names,
            model=str(asked.model),
            off=choice.ignored,
            system=list(system),
        ),
        todo=names.get("todo"),
        batches={
            *tool_set.known,
            *(native.name for native in tool_set.natives.values()),
            *(() if script is None else (script.name,)),
        },
        script=script,
        avoided=context.model.unsupported.keys(),
    )


def _places(asked: Asked, prefixes: Prefixes, context: Context) -> Places:
    """The facts for reminders besides the conversation.

    They are constant in a bound conversation. If its model has signed what it thought without being
    asked to think, they are so only after its first signed turn: what came before that turn was
    sent when nobody knew, and has to stay as it was.
    """
    facts, kept = _facts(asked, context), context.memory.places
    unknown = Facts(thinks=facts.thinks)
    if not asked.is_bound:
        return Places(prefixes, facts, kept, unknown)
    signed = (place for place, entry in enumerate(asked.entries) if entry.is_bound)
    start = 0 if facts.thinks else next(signed, -1) + 1
    return Places(prefixes, _BOUND, kept, unknown, fixed_from=start)


def _facts(asked: Asked, context: Context) -> Facts:
    """The facts at the end of this request's conversation."""
    thinks, reminders = asked.settings.thinks, context.options.reminders
    pace = context.memory.observations.tokens_per_s(asked.model)
    return Facts(
        mode=context.mode,
        thinks=context.model.thinks if thinks is None else thinks,
        slow=reminders is not None and pace is not None and pace < reminders.min_tokens_per_s,
    )
