"""Every option of batchwrap: frozen, keyword-only, checked when it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, Field, dataclass, field, fields, replace
from difflib import get_close_matches
from functools import wraps
from importlib.util import find_spec
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, TypeVar, Unpack, cast, get_args
from zoneinfo import ZoneInfo

from batchwrap.checks import one_of as _one_of
from batchwrap.directives import DEFAULT_DIRECTIVES, DEFAULT_MARKERS, Directive, Marker
from batchwrap.errors import ConfigError

if TYPE_CHECKING:
    from tenacity import BaseRetrying

LimitKind = Literal[
    "requests", "tokens", "uncached_tokens", "input_tokens", "output_tokens", "concurrency"
]
LimitMode = Literal["continuous", "fixed", "rolling"]
ToolKind = Literal["read", "edit", "write", "read_only", "sequential", "bookkeeping"]
EventName = Literal[
    "expanded",
    "coalesced",
    "read_ahead",
    "reminded",
    "withheld",
    "judged",
    "waited",
    "waiting",
    "refused",
    "repaired",
    "defect",
    "failed_open",
    "malformed",
    "asked_again",
    "script",
    "internal_error",
    "ended",
]
EventHook = Callable[["Event"], None]
_P = TypeVar("_P", bound="_Part")
# A derived id has room for the numbers of so many calls.
_MOST_SCRIPT_CALLS = 500


class _Part:
    """A part of the options. Only what is not as by default is shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = [one for one in fields(cast(Any, self)) if one.repr]
        given = {one.name: getattr(self, one.name) for one in shown}
        changed = [
            f"{one.name}={given[one.name]!r}" for one in shown if given[one.name] != _default(one)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


def _default(one: Field[Any]) -> object:
    return one.default if one.default_factory is MISSING else one.default_factory()


def _grouped(**groups: Sequence[str]) -> Callable[[type[_P]], type[_P]]:
    """Options of a part that are no more, by the one that they belong to: the error says so."""
    now = {old: group for group, switches in groups.items() for old in switches}

    def decorated(part: type[_P]) -> type[_P]:
        make: Callable[..., None] = part.__init__

        @wraps(make)
        def init(self: _P, /, *args: Any, **given: Any) -> None:
            for name in filter(now.__contains__, given):
                option = f"{part.__name__}.{name}"
                raise ConfigError(option, f"it belongs to {part.__name__}.{now[name]}")
            make(self, *args, **given)

        part.__init__ = init  # type: ignore[method-assign,assignment]
        return part

    return decorated


def _number(option: str, value: object, *, least: float, above: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        raise ConfigError(option, f"{value!r} is not a finite number")
    if value < least or (above and value == least):
        raise ConfigError(option, f"{value!r} is not {'above' if above else 'at least'} {least:g}")


def _whole(option: str, value: object, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(option, f"{value!r} is not a whole number")
    _number(option, value, least=least)


@dataclass(frozen=True, slots=True)
class Limit:
    """One bucket of a provider's limits.

    Args:
        kind: what is counted: ``"requests"``; ``"tokens"`` (prompt and output);
            ``"uncached_tokens"`` (the same without the cached part of the prompt);
            ``"input_tokens"``; ``"output_tokens"``; ``"concurrency"`` (requests that run at
            the same time; it has no period).
        amount: how many of them in `per_s` seconds.
        per_s: the period in seconds: 60 for "per minute".
        mode: ``"continuous"`` refills all the time up to the full bucket; ``"fixed"`` fills it
            at once when a period begins (periods begin at midnight of `zone`); ``"rolling"``
            looks back over the last `per_s` seconds.
        burst: how many fit into a full bucket; `amount` unless given.
        zone: the time zone of fixed periods: ``"America/Los_Angeles"``.

    Raises:
        ConfigError: a value is wrong; the error names it.
    """

    kind: LimitKind
    amount: float
    per_s: float = 60.0
    mode: LimitMode = "continuous"
    _: KW_ONLY
    burst: float | None = None
    zone: str = "UTC"

    def __post_init__(self) -> None:
        _one_of("Limit.kind", self.kind, get_args(LimitKind))
        _number("Limit.amount", self.amount, least=0, above=True)
        _number("Limit.per_s", self.per_s, least=0, above=True)
        _one_of("Limit.mode", self.mode, get_args(LimitMode))
        if self.burst is not None:
            _number("Limit.burst", self.burst, least=0, above=True)
        try:
            if self.zone != "UTC":
                ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError, TypeError) as error:
            raise ConfigError("Limit.zone", f"{self.zone!r} is not a time zone") from error

    @property
    def capacity(self) -> float:
        """What fits into the full bucket."""
        return self.amount if self.burst is None else self.burst

    @property
    def rate(self) -> float:
        """What is refilled in one second."""
        return self.amount / self.per_s

    def __str__(self) -> str:
        if self.kind == "concurrency":
            return f"{self.amount:,.0f} requests at the same time"
        return f"{self.amount:,.0f} {self.kind.replace('_', ' ')} per {self.per_s:g} s"


@dataclass(frozen=True, slots=True)
class Tool:
    """What one of the agent's tools does, where its name and parameters do not show it.

    Args:
        kind: ``"read"`` and ``"read_only"`` (a search, a listing: no single-kind multi-tool)
            may go out together; ``"edit"`` and ``"write"`` wait for what they conflict with;
            ``"sequential"`` (a shell) goes one at a time, in order; ``"bookkeeping"`` (a to-do
            list) may be batched with anything.
        path: the parameter that names the file; found by its name unless given.

    Raises:
        ConfigError: `kind` is none of these.
    """

    kind: ToolKind
    path: str | None = None

    def __post_init__(self) -> None:
        _one_of("Tool.kind", self.kind, get_args(ToolKind))


AheadSource = Literal["prompt", "chunk", "search", "reference"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class ReadAhead(_Part):
    """Reads that are added to a single read, so that the next round trip is saved.

    Args:
        max_reads: the most reads that are added to one call.
        max_tokens: the most tokens (estimated) that the added results bring into the
            conversation.
        min_hit_rate: the share of added reads that must turn out to be wanted; below it,
            nothing is added any more in that conversation.
        sources: where to look for what will be read next: ``"prompt"`` (files that the
            newest user message names), ``"chunk"`` (the next part of a file that is read in
            parts), ``"search"`` (other files of the newest search result), ``"reference"``
            (files that the file just read names, with a folder).

    Raises:
        ConfigError: an option is wrong; the error names it.
    """

    max_reads: int = 4
    max_tokens: int = 20_000
    min_hit_rate: float = 0.3
    sources: Sequence[AheadSource] = get_args(AheadSource)

    def __post_init__(self) -> None:
        _whole("ReadAhead.max_reads", self.max_reads, least=1)
        _whole("ReadAhead.max_tokens", self.max_tokens, least=1)
        _number("ReadAhead.min_hit_rate", self.min_hit_rate, least=0)
        if isinstance(self.sources, str):
            raise ConfigError("ReadAhead.sources", "is a text; give a list of sources")
        for source in self.sources:
            _one_of("ReadAhead.sources", source, get_args(AheadSource))


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Scripts(_Part):
    """Programs of the model's own over the agent's tools: calls that depend on each other.

    Needs the extra ``scripts``; ``preset="fast"`` has them on where that is installed.

    Args:
        max_calls: the most calls that one script may make.
        max_seconds: computing time of a script between two waves, in seconds; waiting for results
            does not count.
        max_memory_mb: memory of a script, in megabytes.
        max_code_chars: the longest program that is run, in characters.
        max_output_tokens: how much of what a script prints the model is shown, in tokens.
        tools: names of tools to offer to scripts beside those that are batchable or declared.

    Raises:
        ConfigError: an option is wrong.
    """

    max_calls: int = 50
    max_seconds: float = 2.0
    max_memory_mb: int = 64
    max_code_chars: int = 20_000
    max_output_tokens: int = 8_000
    tools: Sequence[str] | None = None

    def __post_init__(self) -> None:
        _whole("Scripts.max_calls", self.max_calls, least=1)
        if self.max_calls > _MOST_SCRIPT_CALLS:
            most = _MOST_SCRIPT_CALLS
            raise ConfigError("Scripts.max_calls", f"{self.max_calls} is more than {most}")
        _number("Scripts.max_seconds", self.max_seconds, least=0, above=True)
        _whole("Scripts.max_memory_mb", self.max_memory_mb, least=16)
        _whole("Scripts.max_code_chars", self.max_code_chars, least=1)
        _whole("Scripts.max_output_tokens", self.max_output_tokens, least=1)
        if isinstance(self.tools, str):
            raise ConfigError("Scripts.tools", "is a text; give a list of tool names")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Batching(_Part):
    """How single tool calls become multi-calls.

    Args:
        offer: ``"alongside"`` adds multi-tools beside the agent's own tools, ``"instead"``
            shows them in the place of the tools that they run, ``"never"`` adds nothing.
        tools: tools that are batchable whatever their shape: name to kind (``"read"``).
        exclude: names of tools that are never batched.
        mixed: offer `batch`, whose items name their tools, beside the multi-tools of one kind.
        delivery: how the agent gets the calls: ``"parallel"``, ``"serial"`` (one in each
            answer), or ``"auto"``: parallel unless the request says
            ``parallel_tool_calls: false``. Conflicting calls wait in all of these.
            ``"at_once"``: nothing waits; for an agent that runs the calls of an answer one
            after the other itself, or writes them as text into its next request.
        approvals: whether the agent asks a person before it edits; edits then go out one by
            one.
        local_usage: the usage that answers without a round trip report: ``"zero"``, or
            ``"last_prompt"`` for agents that show how full the context is.
        on_failure: after a failed command of a ``"sequential"`` tool: ``"stop"`` cancels the
            rest, and the model is told; ``"go_on"`` runs the rest all the same.
        failed: decides whether a tool's result reads as failed; calls that wait behind a
            failed edit are not run. None: texts that begin with "Error" and the like.
        max_items: the most items that the schema of a multi-tool asks for. A longer batch
            is run all the same.
        coalesce: whether runs of single calls in the history become multi-calls: ``"auto"``
            where the provider is known not to cache prompts, ``"always"``, ``"never"``.
        read_ahead: reads that are added to a single read; None adds none.
        scripts: programs of the model's over the agent's tools; None offers none.
        context_tokens: size of the model's context window, in tokens; batches get smaller as
            it fills up. None: the size that the data file of the provider names, if it does.

    Raises:
        ConfigError: an option is wrong, or `approvals` is combined with ``"at_once"``.
    """

    offer: Literal["alongside", "instead", "never"] = "alongside"
    tools: Mapping[str, Tool | ToolKind] = field(default_factory=dict)
    exclude: Sequence[str] = ()
    mixed: bool = True
    max_items: int = 8
    delivery: Literal["auto", "parallel", "serial", "at_once"] = "auto"
    approvals: bool = False
    local_usage: Literal["zero", "last_prompt"] = "zero"
    on_failure: Literal["stop", "go_on"] = "stop"
    failed: Callable[[str], bool] | None = None
    coalesce: Literal["auto", "always", "never"] = "auto"
    read_ahead: ReadAhead | None = None
    scripts: Scripts | None = None
    context_tokens: int | None = None

    def __post_init__(self) -> None:
        _one_of("Batching.offer", self.offer, ("alongside", "instead", "never"))
        _one_of("Batching.on_failure", self.on_failure, ("stop", "go_on"))
        ways = ("auto", "parallel", "serial", "at_once")
        _one_of("Batching.delivery", self.delivery, ways)
        _one_of("Batching.local_usage", self.local_usage, ("zero", "last_prompt"))
        _one_of("Batching.coalesce", self.coalesce, ("auto", "always", "never"))
        if self.read_ahead is not None and not isinstance(self.read_ahead, ReadAhead):
            raise ConfigError("Batching.read_ahead", f"{self.read_ahead!r} is not a ReadAhead")
        if self.scripts is not None and not isinstance(self.scripts, Scripts):
            raise ConfigError("Batching.scripts", f"{self.scripts!r} is not a Scripts")
        if self.context_tokens is not None:
            _whole("Batching.context_tokens", self.context_tokens, least=1)
        _one_of("Batching.mixed", self.mixed, (True, False))
        _one_of("Batching.approvals", self.approvals, (True, False))
        if self.approvals and self.delivery == "at_once":
            raise ConfigError("Batching.delivery", "'at_once' leaves no time for approvals")
        if self.failed is not None and not callable(self.failed):
            raise ConfigError("Batching.failed", f"{self.failed!r} cannot be called")
        _whole("Batching.max_items", self.max_items, least=2)
        if not isinstance(self.tools, Mapping):
            raise ConfigError("Batching.tools", f"{self.tools!r} is not a mapping of name to kind")
        for name, kind in self.tools.items():
            if not isinstance(kind, Tool):
                _one_of(f"Batching.tools[{name!r}]", kind, get_args(ToolKind))
        if isinstance(self.exclude, str):
            raise ConfigError("Batching.exclude", "is a text; give a list of tool names")


Placement = Literal["append", "user", "system"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Reminders(_Part):
    """When the model is reminded to batch, and in which words.

    Args:
        every: assistant turns without a batch until the next reminder; None: never by count.
        on_lapse: remind at once when two turns in a row were single calls that could have
            been one multi-call, or when turns are spent on the to-do list alone.
        cooldown: assistant turns after a reminder in which a lapse causes no further one.
        max_per_conversation: the most reminders in one conversation.
        placement: ``"append"`` puts them at the end of the newest user or tool message;
            ``"user"`` and ``"system"`` make messages of their own, where the model is not
            known to refuse one at that place.
        directives: what the model may be reminded of.
        modes: how plan and build mode show in the conversation.
        prefetch_when_thinking: remind of reading ahead also where the model thinks, which
            makes it think about all of it.
        min_tokens_per_s: below this measured speed of generation the model is not asked to
            group edits, since generating takes longer than the round trip; 0 always asks.

    Raises:
        ConfigError: an option is wrong, or two directives have the same id.
    """

    every: int | None = 6
    on_lapse: bool = True
    cooldown: int = 3
    max_per_conversation: int = 12
    placement: Placement = "append"
    directives: Sequence[Directive] = DEFAULT_DIRECTIVES
    modes: Sequence[Marker] = DEFAULT_MARKERS
    prefetch_when_thinking: bool = False
    min_tokens_per_s: float = 500

    def __post_init__(self) -> None:
        if self.every is not None:
            _whole("Reminders.every", self.every, least=1)
        _whole("Reminders.cooldown", self.cooldown, least=0)
        _whole("Reminders.max_per_conversation", self.max_per_conversation, least=0)
        _number("Reminders.min_tokens_per_s", self.min_tokens_per_s, least=0)
        _one_of("Reminders.on_lapse", self.on_lapse, (True, False))
        _one_of("Reminders.prefetch_when_thinking", self.prefetch_when_thinking, (True, False))
        _one_of("Reminders.placement", self.placement, get_args(Placement))
        _all_are("Reminders.directives", self.directives, Directive)
        _all_are("Reminders.modes", self.modes, Marker)
        ids = [directive.id for directive in self.directives]
        if len(set(ids)) < len(ids):
            raise ConfigError("Reminders.directives", "two of them have the same id")


def _all_are(option: str, values: object, kind: type) -> None:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ConfigError(option, f"{values!r} is not a list")
    for value in values:
        if not isinstance(value, kind):
            raise ConfigError(option, f"{value!r} is not a {kind.__name__}")


class Clock(Protocol):
    """Time for the limits of one client, in place of the system's; see `Throttle.clock`."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let this many seconds pass. It must not block, since tasks call it, too."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Throttle(_Part):
    """How requests are held back, and what happens after a refusal.

    Args:
        limits: ``"auto"`` takes amounts from the provider's headers, and holds nothing back
            until it has named them (no guesses); ``"cerebras/code-max"`` names a plan,
            ``"own.toml#plan"`` one of your own; or a list of `Limit`.
        store: where the budget is kept: ``"memory"`` of this process; ``"sqlite:///path"`` for
            several processes, and over restarts; ``"redis://host"``,
            ``"redis+cluster://host:7000,host:7001"`` or ``"redis+sentinel://host:26379/name"``
            for several hosts.
        store_down: while the store cannot be reached: ``"local"`` keeps the limits in each
            process by itself, ``"fail"`` fails requests with `StoreUnavailable`.
        keys: API keys of several accounts, whose limits are pooled: a request goes to the key
            that can admit it first; a conversation stays with its key while that costs little.
        max_wait_s: the longest wait, in seconds; a request that would wait longer fails.
        retry: a tenacity retrying object (`stop`, `wait` and `retry` of it are used) in
            place of the default of 6 attempts with exponential backoff and jitter.
            No wait is shorter than the `Retry-After` of the provider.
        clock: the clock that waits use, for tests: `batchwrap.testing.ManualClock`. None: the
            system's. Only with ``store="memory"``.

    Raises:
        ConfigError: an option is wrong, or `clock` is combined with a shared store.
    """

    limits: str | Sequence[Limit] = "auto"
    store: str = field(default="memory", repr=False)  # its URL may hold a password
    store_down: Literal["local", "fail"] = "local"
    keys: Sequence[str] | None = field(default=None, repr=False)
    max_wait_s: float = 120.0
    retry: BaseRetrying | None = None
    clock: Clock | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _number("Throttle.max_wait_s", self.max_wait_s, least=0)
        _one_of("Throttle.store_down", self.store_down, ("local", "fail"))
        if not isinstance(self.store, str):
            raise ConfigError("Throttle.store", f"{self.store!r} is not a text")
        if self.keys is not None and (
            isinstance(self.keys, str)
            or not self.keys
            or not all(isinstance(key, str) and key for key in self.keys)
        ):
            raise ConfigError("Throttle.keys", "is not a list of API keys")
        if not isinstance(self.limits, str):
            bad = [limit for limit in self.limits if not isinstance(limit, Limit)]
            if bad:
                raise ConfigError("Throttle.limits", f"{bad[0]!r} is not a Limit")
        if self.retry is not None and not all(
            callable(getattr(self.retry, part, None)) for part in ("stop", "wait", "retry")
        ):
            raise ConfigError("Throttle.retry", f"{self.retry!r} is not a tenacity retrying object")
        if self.clock is not None and self.store != "memory":
            raise ConfigError(
                "Throttle.clock", 'needs store="memory": others share a store\'s time'
            )


@_grouped(
    stream=("chunk_shape", "whole_answers", "usage", "finish_reason"),
    calls=("call_index", "call_id", "call_name", "residue"),
    errors=("empty_answers", "incomplete"),
    request=("history", "fields"),
    leaked_calls=("refused_calls",),
    keep_reasoning=("thoughts",),
)
@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Repair(_Part):
    """Which defects of a provider are repaired, and which become errors.

    What is healthy keeps its bytes in any case. The five groups `stream`, `calls`, `arguments`,
    `errors` and `request` are on: each of their defects has one meaning only. Repairs that are
    right for most endpoints but not for all are switched on one by one, or with `Repair.all()`.
    `docs/repair.md` lists what belongs to a group.

    Args:
        stream: answers have the form of the API: chunks and choices in its shape, one of its
            finish reasons, usage where clients look for it, a stream only where one was asked for.
        calls: each call has an index, an id and a name of its own, each sent once, and no
            remains of call markup around it.
        arguments: ``"lossless"`` repairs the arguments of calls where their content does not
            change; ``"bold"`` also drops reasoning in front of them, and keeps the backslash
            of unknown escapes for read-only tools; ``"off"`` leaves them alone.
        errors: a failure that would pass as success becomes an error: one inside of a stream,
            an error body of any shape, an empty answer (once for each request), a stream that
            ends before its answer is complete.
        request: calls and results of a request are paired, in order, with ids, arguments and
            fields that its provider takes.
        snapshots: fragments of arguments, and deltas of texts, that repeat all that came before
            are understood.
        leaked_calls: ``"gated"``: calls that the server left in the text, or that the provider
            wrote and then refused to hand out (Groq's `failed_generation`), become proper calls
            if they pass all checks; ``"off"``: they stay a text, or an error.
        think_tags: ``"tags"``: reasoning in tags that begins the text moves to
            `reasoning_content`; ``"prefilled"``: also where the model's template opened it,
            which holds the text back until its end.
        rearrange: messages are moved, merged or split where the provider's template wants it.
        keep_reasoning: where the provider wants a turn's reasoning content back (DeepSeek) and
            the agent has dropped it, it is sent as it came; off, an empty text is.
        fold_failures: of calls that failed in a row in the same way, only the last one is
            sent, with their number.
        max_output: limit of the output tokens that a request asks for, where the provider
            charges them in advance (Cerebras); None: as the request says.
        preflight: ``"refuse"``: a request that is larger than the model's context, where
            that is known, is not sent; ``"note"``: it is sent, and an event says so; ``"off"``:
            nothing is checked.
        provider: whose rules requests have to obey: a provider (``"cerebras"``, ``"mistral"``, …)
            or a kind of server (``"strict-template"``, …; the page on repair lists them). None:
            the provider's that the request goes to, as far as it is known.

    Raises:
        ConfigError: an option is wrong, or has the name of a switch that is part of a group.
    """

    stream: bool = True
    calls: bool = True
    arguments: Literal["lossless", "bold", "off"] = "lossless"
    errors: bool = True
    request: bool = True
    snapshots: bool = False
    leaked_calls: Literal["off", "gated"] = "off"
    think_tags: Literal["off", "tags", "prefilled"] = "off"
    rearrange: bool = False
    keep_reasoning: bool = False
    fold_failures: bool = False
    max_output: int | None = None
    preflight: Literal["refuse", "note", "off"] = "refuse"
    provider: str | None = None

    def __post_init__(self) -> None:
        for name in _SWITCHES:
            _one_of(f"Repair.{name}", getattr(self, name), (True, False))
        _one_of("Repair.arguments", self.arguments, ("lossless", "bold", "off"))
        _one_of("Repair.leaked_calls", self.leaked_calls, ("off", "gated"))
        _one_of("Repair.think_tags", self.think_tags, ("off", "tags", "prefilled"))
        _one_of("Repair.preflight", self.preflight, ("refuse", "note", "off"))
        if self.max_output is not None:
            _whole("Repair.max_output", self.max_output, least=1)
        if self.provider is not None and not isinstance(self.provider, str):
            raise ConfigError("Repair.provider", f"{self.provider!r} is not a name")

    @classmethod
    def all(cls, *, provider: str | None = None) -> Repair:
        """Every repair, including those that are right for most endpoints but not for all.

        Args:
            provider: name of the provider's rules for requests, as in `Repair`.

        Returns:
            The options with every repair switched on.

        Raises:
            ConfigError: `provider` is not a name.
        """
        return cls(
            arguments="bold",
            snapshots=True,
            leaked_calls="gated",
            think_tags="prefilled",
            rearrange=True,
            keep_reasoning=True,
            fold_failures=True,
            max_output=_LARGE_OUTPUT,
            provider=provider,
        )


# What agents that meet the charge in advance cap their output at.
_LARGE_OUTPUT = 16_384
_SWITCHES = (
    *("stream", "calls", "errors", "request"),
    *("snapshots", "rearrange", "keep_reasoning", "fold_failures"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that batchwrap did. Holds counts and names, never contents or keys.

    Args:
        name: what: ``"expanded"``, ``"waited"``, ``"refused"``, …; ``"ended"`` is the last one
            of each request. `docs/observability.md` lists all of them with their fields.
        data: numbers and names that belong to it; seconds end in ``_s``.
        at_unix_s: when it happened, in seconds since 1970. The events of a request are told
            when a wait begins and when one is over, and the rest when it is over itself.
    """

    name: EventName
    data: Mapping[str, Any]
    at_unix_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """All parts together. A part that is None is switched off."""

    batching: Batching | None = field(default_factory=Batching)
    reminders: Reminders | None = field(default_factory=Reminders)
    throttle: Throttle | None = field(default_factory=Throttle)
    repair: Repair | None = field(default_factory=Repair)
    on_event: EventHook | None = None


# What a preset changes of the defaults.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {
        "batching": Batching(
            offer="instead",
            read_ahead=ReadAhead(),
            scripts=Scripts() if find_spec("pydantic_monty") else None,
        ),
        "reminders": Reminders(every=4),
    },
    "careful": {"batching": Batching(max_items=4, coalesce="never")},
}


Preset = Literal["fast", "careful"]


class OptionArguments(TypedDict, total=False):
    """The keyword arguments of `wrap`, `batched` and `install`; `wrap` says what they mean."""

    limits: str | Sequence[Limit]
    batching: Batching | None
    reminders: Reminders | None
    throttle: Throttle | None
    repair: Repair | None
    preset: Preset | None
    remind_every: int | None
    on_event: EventHook | None


DEFAULT_ARGUMENTS: OptionArguments = {
    "limits": "auto",
    "batching": Batching(),
    "reminders": Reminders(),
    "throttle": Throttle(),
    "repair": Repair(),
    "preset": None,
    "remind_every": None,
    "on_event": None,
}


def combine(**given: Unpack[OptionArguments]) -> Options:
    """The options that the keyword arguments of `wrap` and `batched` mean together.

    `limits` and `remind_every` are short for fields of `Throttle` and `Reminders`. A part
    that is not as by default counts before the preset's.

    Raises:
        ConfigError: one of them is wrong, or two of them contradict each other.
        TypeError: there is no such option.
    """
    for name in given.keys() - DEFAULT_ARGUMENTS.keys():
        raise TypeError(f"there is no option {name!r}{_nearest(name, DEFAULT_ARGUMENTS)}")
    chosen: OptionArguments = {**DEFAULT_ARGUMENTS, **given}
    preset, limits, on_event = chosen["preset"], chosen["limits"], chosen["on_event"]
    batching, reminders = chosen["batching"], chosen["reminders"]
    throttle, repair = chosen["throttle"], chosen["repair"]
    remind_every = chosen["remind_every"]
    if preset is not None:
        _one_of("preset", preset, tuple(PRESETS))
        changed = PRESETS[preset]
        batching = changed.get("batching", batching) if batching == Batching() else batching
        reminders = changed.get("reminders", reminders) if reminders == Reminders() else reminders
    parts = {"batching": batching, "reminders": reminders, "throttle": throttle, "repair": repair}
    for (name, part), kind in zip(
        parts.items(), (Batching, Reminders, Throttle, Repair), strict=True
    ):
        if part is not None and not isinstance(part, kind):
            raise ConfigError(name, f"{part!r} is neither None nor a {kind.__name__}")
    if on_event is not None and not callable(on_event):
        raise ConfigError("on_event", f"{on_event!r} cannot be called")
    if limits != "auto":
        if throttle is None:
            raise ConfigError("limits", "given although throttle=None switches throttling off")
        throttle = replace(throttle, limits=limits)
    if remind_every is not None:
        if reminders is None:
            raise ConfigError("remind_every", "given although reminders=None switches them off")
        reminders = replace(reminders, every=remind_every)
    return Options(
        batching=batching,
        reminders=reminders,
        throttle=throttle,
        repair=repair,
        on_event=on_event,
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    """A question that names the option that was probably meant; empty where none is near."""
    return "".join(f"; did you mean {near!r}?" for near in get_close_matches(name, known, n=1))
