"""The options of batchwrap: frozen, keyword-only dataclasses that are checked when they are made.

`option_arguments` makes one `Options` of the keyword arguments of `wrap`, `batched` and `install`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, Field, dataclass, field, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast, get_args
from zoneinfo import ZoneInfo

from batchwrap.checks import all_are, number, one_of, store_url, whole
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
_P = TypeVar("_P", bound="_Part")
# With amounts and periods beyond these, the arithmetic of limits loses its precision.
_MOST_AMOUNT, _SHORTEST_S, _LONGEST_S = 1e15, 1e-3, 1e10
# A derived id has room for the numbers of so many calls.
_MOST_SCRIPT_CALLS = 500


class _Part:
    """A part of the options, whose repr shows only the values that differ from the defaults."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = {one.name for one in fields(cast(Any, self)) if one.repr}
        changed = [f"{name}={it!r}" for name, it in changed_fields(self).items() if name in shown]
        return f"{type(self).__name__}({', '.join(changed)})"


def changed_fields(part: Any) -> dict[str, Any]:
    """The fields of an option's part that differ from their defaults."""
    given = {one.name: (getattr(part, one.name), default_of(one)) for one in fields(part)}
    return {name: value for name, (value, default) in given.items() if value != default}


def default_of(one: Field[Any]) -> Any:
    """The default of a dataclass's field; `MISSING` if it has none."""
    return one.default if one.default_factory is MISSING else one.default_factory()


def _grouped(**groups: Sequence[str]) -> Callable[[type[_P]], type[_P]]:
    """A class decorator for options that became part of a group: an error names the group."""
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


@dataclass(frozen=True, slots=True)
class Limit:
    """One bucket of a provider's limits.

    Args:
        kind: what is counted: ``"requests"``; ``"tokens"`` (prompt and output);
            ``"uncached_tokens"`` (the same without the cached part of the prompt);
            ``"input_tokens"``; ``"output_tokens"``; ``"concurrency"`` (requests that run at
            the same time; it has no period).
        amount: the amount that is allowed in `per_s` seconds.
        per_s: the period in seconds: 60 for "per minute".
        mode: ``"continuous"`` refills the bucket evenly; ``"fixed"`` fills it at once when a
            period begins (the first at midnight of `zone`); ``"rolling"`` counts the last
            `per_s` seconds.
        burst: the capacity of the full bucket; None for `amount`.
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
        one_of("Limit.kind", self.kind, get_args(LimitKind))
        number("Limit.amount", self.amount, least=0, above=True, most=_MOST_AMOUNT)
        number("Limit.per_s", self.per_s, least=_SHORTEST_S, most=_LONGEST_S)
        one_of("Limit.mode", self.mode, get_args(LimitMode))
        if self.burst is not None:
            number("Limit.burst", self.burst, least=0, above=True, most=_MOST_AMOUNT)
        try:
            if self.zone != "UTC":
                ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError, TypeError) as error:
            raise ConfigError("Limit.zone", f"{self.zone!r} is not a time zone") from error

    @property
    def capacity(self) -> float:
        """The amount in a full bucket."""
        return self.amount if self.burst is None else self.burst

    @property
    def rate(self) -> float:
        """The amount that is refilled per second."""
        return self.amount / self.per_s

    def __str__(self) -> str:
        if self.kind == "concurrency":
            return f"{self.amount:,.0f} requests at the same time"
        return f"{self.amount:,.0f} {self.kind.replace('_', ' ')} per {self.per_s:g} s"


@dataclass(frozen=True, slots=True)
class Tool:
    """Declares what one of the agent's tools does, if its name and parameters do not show it.

    Args:
        kind: calls of ``"read"`` and ``"read_only"`` tools (a search, a listing; these have no
            multi-tool of their own) may run together; calls of ``"edit"`` and ``"write"`` tools
            wait for calls that they conflict with; calls of a ``"sequential"`` tool (a shell)
            run one at a time, in order; calls of a ``"bookkeeping"`` tool (a to-do list) may be
            batched with any others.
        path: the parameter that names the file; None to find it by its name.

    Raises:
        ConfigError: `kind` is not one of these.
    """

    kind: ToolKind
    path: str | None = None

    def __post_init__(self) -> None:
        one_of("Tool.kind", self.kind, get_args(ToolKind))


AheadSource = Literal["prompt", "chunk", "search", "reference"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class ReadAhead(_Part):
    """Reads that are added to a single read, which may save the next round trip.

    Args:
        max_reads: the largest number of reads that are added to one call.
        max_tokens: the largest number of tokens (estimated) that the added results may have in
            the conversation.
        min_hit_rate: the share of added reads that the model must turn out to want; below it,
            no more reads are added in that conversation.
        sources: what predicts the next reads: ``"prompt"`` (files that the newest user message
            names), ``"chunk"`` (the next part of a file that is read in parts), ``"search"``
            (other files of the newest search result), ``"reference"`` (files that the file just
            read names, with a folder).

    Raises:
        ConfigError: an option is wrong; the error names it.
    """

    max_reads: int = 4
    max_tokens: int = 20_000
    min_hit_rate: float = 0.3
    sources: Sequence[AheadSource] = get_args(AheadSource)

    def __post_init__(self) -> None:
        whole("ReadAhead.max_reads", self.max_reads, least=1)
        whole("ReadAhead.max_tokens", self.max_tokens, least=1)
        number("ReadAhead.min_hit_rate", self.min_hit_rate, least=0)
        if isinstance(self.sources, str):
            raise ConfigError("ReadAhead.sources", "is a text; give a list of sources")
        for source in self.sources:
            one_of("ReadAhead.sources", source, get_args(AheadSource))


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Scripts(_Part):
    """Programs of the model's own over the agent's tools: calls that depend on each other.

    Needs the extra ``scripts``; ``preset="fast"`` has them on where that is installed.

    Args:
        max_calls: the most calls that one script may make.
        max_seconds: computing time of a script for each wave, in seconds, from its start to
            where it waits again; waiting for results does not count.
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
        whole("Scripts.max_calls", self.max_calls, least=1)
        if self.max_calls > _MOST_SCRIPT_CALLS:
            most = _MOST_SCRIPT_CALLS
            raise ConfigError("Scripts.max_calls", f"{self.max_calls} is more than {most}")
        number("Scripts.max_seconds", self.max_seconds, least=0, above=True)
        whole("Scripts.max_memory_mb", self.max_memory_mb, least=16)
        whole("Scripts.max_code_chars", self.max_code_chars, least=1)
        whole("Scripts.max_output_tokens", self.max_output_tokens, least=1)
        if isinstance(self.tools, str):
            raise ConfigError("Scripts.tools", "is a text; give a list of tool names")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Batching(_Part):
    """How single tool calls become multi-calls.

    Args:
        offer: ``"alongside"`` adds multi-tools beside the agent's own tools; ``"instead"``
            replaces the tools that they run; ``"never"`` adds nothing.
        tools: the kinds of tools that are not recognised by themselves, by name:
            ``{"get_weather": "read_only"}``.
        exclude: the names of tools that are never batched.
        mixed: also offer `batch`, whose items name their tools.
        delivery: how the agent gets the calls: ``"parallel"``; ``"serial"``, one per answer; or
            ``"auto"``, which is parallel unless the request says ``parallel_tool_calls: false``.
            In all of these, conflicting calls wait. With ``"at_once"`` no call waits; use it
            for an agent that runs the calls of an answer one by one itself, or that writes
            their results as text into its next request.
        approvals: whether the agent asks a person before it edits; if so, it gets edits one by
            one.
        local_usage: the usage that is reported by answers without a round trip: ``"zero"``, or
            ``"last_prompt"`` for agents that show how full the context is.
        on_failure: what happens after a failed command of a ``"sequential"`` tool: ``"stop"``
            cancels the rest of the batch and tells the model; ``"go_on"`` runs the rest.
        failed: a function that decides whether a tool's result means a failure, after which
            waiting edits are not run. None recognises texts that begin with "Error" and others.
        max_items: the largest number of items that the schema of a multi-tool allows. A longer
            batch is run nevertheless.
        coalesce: whether runs of single calls in the history become multi-calls: ``"auto"`` if
            the provider is known not to cache prompts, ``"always"``, or ``"never"``.
        read_ahead: reads that are added to a single read; None adds none.
        scripts: programs of the model's over the agent's tools; None offers none.
        context_tokens: the size of the model's context window in tokens; batches get smaller as
            it fills. None for the size in the provider's data file, if it is there.
        memory: where it is kept which calls wait, what scripts have done, and what the model wrote
            itself: ``"memory"`` for one process; ``"sqlite:///path"`` for the processes of one
            host, ``"redis://host"`` for several, with URLs as in `Throttle.store`. Contents are
            encrypted with a key derived from the API key, and kept for a day. Needs
            ``batchwrap[memory]``.

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
    memory: str = field(default="memory", repr=False)  # its URL may hold a password

    def __post_init__(self) -> None:
        one_of("Batching.offer", self.offer, ("alongside", "instead", "never"))
        one_of("Batching.on_failure", self.on_failure, ("stop", "go_on"))
        ways = ("auto", "parallel", "serial", "at_once")
        one_of("Batching.delivery", self.delivery, ways)
        one_of("Batching.local_usage", self.local_usage, ("zero", "last_prompt"))
        one_of("Batching.coalesce", self.coalesce, ("auto", "always", "never"))
        if self.read_ahead is not None and not isinstance(self.read_ahead, ReadAhead):
            raise ConfigError("Batching.read_ahead", f"{self.read_ahead!r} is not a ReadAhead")
        if self.scripts is not None and not isinstance(self.scripts, Scripts):
            raise ConfigError("Batching.scripts", f"{self.scripts!r} is not a Scripts")
        if self.context_tokens is not None:
            whole("Batching.context_tokens", self.context_tokens, least=1)
        store_url("Batching.memory", self.memory)
        one_of("Batching.mixed", self.mixed, (True, False))
        one_of("Batching.approvals", self.approvals, (True, False))
        # A person approves edits one by one, so a later one has to wait for the answer.
        if self.approvals and self.delivery == "at_once":
            raise ConfigError("Batching.delivery", "'at_once' leaves no time for approvals")
        if self.failed is not None and not callable(self.failed):
            raise ConfigError("Batching.failed", f"{self.failed!r} cannot be called")
        whole("Batching.max_items", self.max_items, least=2)
        if not isinstance(self.tools, Mapping):
            raise ConfigError("Batching.tools", f"{self.tools!r} is not a mapping of name to kind")
        for name, kind in self.tools.items():
            if not isinstance(kind, Tool):
                one_of(f"Batching.tools[{name!r}]", kind, get_args(ToolKind))
        if isinstance(self.exclude, str):
            raise ConfigError("Batching.exclude", "is a text; give a list of tool names")


Placement = Literal["append", "user", "system"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Reminders(_Part):
    """When the model is reminded to batch, and by which texts.

    Args:
        every: the number of assistant turns without a batch after which it is reminded; None
            for no reminders by count.
        on_lapse: remind at once after two turns with single calls that could have been one
            multi-call, or after whole turns for the to-do list.
        cooldown: the number of assistant turns after a reminder in which a lapse causes no
            other one.
        max_per_conversation: the largest number of reminders in one conversation.
        placement: ``"append"`` puts them at the end of the newest user or tool message;
            ``"user"`` and ``"system"`` make separate messages, unless the model is known to
            refuse one at that place.
        directives: the texts of the reminders, and when they are due.
        modes: the texts that show plan and build mode in a conversation.
        prefetch_when_thinking: give prefetch directives also to models that think, although
            they then think about all of the files.
        min_tokens_per_s: below this measured speed the model is not asked to group edits, since
            generating them takes longer than a round trip; 0 always asks.

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
            whole("Reminders.every", self.every, least=1)
        whole("Reminders.cooldown", self.cooldown, least=0)
        whole("Reminders.max_per_conversation", self.max_per_conversation, least=0)
        number("Reminders.min_tokens_per_s", self.min_tokens_per_s, least=0)
        one_of("Reminders.on_lapse", self.on_lapse, (True, False))
        one_of("Reminders.prefetch_when_thinking", self.prefetch_when_thinking, (True, False))
        one_of("Reminders.placement", self.placement, get_args(Placement))
        all_are("Reminders.directives", self.directives, Directive)
        all_are("Reminders.modes", self.modes, Marker)
        ids = [directive.id for directive in self.directives]
        if len(set(ids)) < len(ids):
            raise ConfigError("Reminders.directives", "two of them have the same id")


class Clock(Protocol):
    """A clock that replaces the system's for the limits of one client; see `Throttle.clock`."""

    def now(self) -> float:
        """Seconds since 1970."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let this many seconds pass. It must not block, since async tasks call it, too."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Throttle(_Part):
    """How requests wait for limits, and what happens after a refusal.

    Args:
        limits: ``"auto"`` reads the amounts from the provider's headers, and lets all requests
            pass until these have come; ``"cerebras/code-max"`` names a plan,
            ``"own.toml#plan"`` a plan of your own; or a list of `Limit`.
        store: where the budget is kept: ``"memory"`` for one process; ``"sqlite:///path"`` for
            several processes, and across restarts; ``"redis://host"``,
            ``"redis+cluster://host:7000,host:7001"`` or ``"redis+sentinel://host:26379/name"``
            for several hosts.
        store_down: what happens while the store cannot be reached: ``"local"`` lets each
            process keep the limits by itself; ``"fail"`` fails requests with
            `StoreUnavailable`.
        keys: the API keys of several accounts, whose limits are pooled. A request goes to the
            key that can admit it first; a conversation stays with its key while that costs
            little.
        max_wait_s: the longest wait in seconds; a request that would wait longer fails.
        retry: a tenacity retrying object, of which `stop`, `wait` and `retry` are used, instead
            of the default of 6 attempts with exponential backoff and jitter. No wait is shorter
            than the provider's `Retry-After`.
        clock: the clock for waits in tests: `batchwrap.testing.ManualClock`. None for the
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
        number("Throttle.max_wait_s", self.max_wait_s, least=0)
        one_of("Throttle.store_down", self.store_down, ("local", "fail"))
        store_url("Throttle.store", self.store)
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
                "Throttle.clock", 'needs store="memory", since other stores have their own time'
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

    A healthy answer keeps its bytes in any case. The five groups `stream`, `calls`, `arguments`,
    `errors` and `request` are on by default, since each of their defects has only one meaning.
    Repairs that are right for most endpoints but not for all are switched on one by one, or with
    `Repair.all()`. `docs/repair.md` lists the repairs of each group.

    Args:
        stream: bring answers into the form of the API: the shape of chunks and choices, a valid
            finish reason, usage where clients expect it, and a stream only if one was asked
            for.
        calls: give each call its own index, id and name, each sent once, and remove remains of
            call markup around it.
        arguments: ``"lossless"`` repairs the arguments of calls if their content does not
            change; ``"bold"`` also drops reasoning in front of them, and keeps the backslash of
            unknown escapes for read-only tools; ``"off"`` does not repair them.
        errors: turn failures that look like success into errors: an error inside a stream or
            in any shape of body, an empty answer (once for each request), and a stream that
            ends before its answer is complete.
        request: pair and order the calls and results of a request, with ids, arguments and
            fields that its provider accepts.
        snapshots: accept fragments of arguments, and deltas of texts, that repeat everything
            before them.
        leaked_calls: ``"gated"`` turns calls that the server left in the text, or that the
            provider wrote and then refused to hand out (Groq's `failed_generation`), into
            proper calls if they pass all checks; ``"off"`` leaves them a text, or an error.
        think_tags: ``"tags"`` moves reasoning in tags at the beginning of the text to
            `reasoning_content`; ``"prefilled"`` also does so if the model's template opened the
            tag, for which the text is held back until its end.
        rearrange: move, merge or split messages as the provider's template requires.
        keep_reasoning: if the provider requires the reasoning content of a turn to be sent back
            (DeepSeek) and the agent has dropped it, send it again; otherwise an empty text is
            sent.
        fold_failures: of calls that failed in a row in the same way, send only the last one,
            with their number.
        max_output: a limit for the output tokens that a request asks for, if the provider
            charges them in advance (Cerebras); None for no limit.
        preflight: what happens to a request that is larger than the model's known context:
            ``"refuse"`` does not send it; ``"note"`` sends it and reports an event; ``"off"``
            checks nothing.
        provider: the rules that requests must obey: those of a provider (``"cerebras"``,
            ``"mistral"``, …) or of a kind of server (``"strict-template"``, …; the page on
            repair lists them). None for the provider that the request goes to, if it is known.

    Raises:
        ConfigError: an option is wrong, or is the name of a switch that is now part of a group.
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
            one_of(f"Repair.{name}", getattr(self, name), (True, False))
        one_of("Repair.arguments", self.arguments, ("lossless", "bold", "off"))
        one_of("Repair.leaked_calls", self.leaked_calls, ("off", "gated"))
        one_of("Repair.think_tags", self.think_tags, ("off", "tags", "prefilled"))
        one_of("Repair.preflight", self.preflight, ("refuse", "note", "off"))
        if self.max_output is not None:
            whole("Repair.max_output", self.max_output, least=1)
        if self.provider is not None and not isinstance(self.provider, str):
            raise ConfigError("Repair.provider", f"{self.provider!r} is not a name")

    @classmethod
    def all(cls, *, provider: str | None = None) -> Repair:
        """Every repair, including those that are right for most endpoints but not for all.

        Args:
            provider: the name of the rules for requests, as in `Repair`.

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


# Agents for providers that charge the output in advance cap it at this many tokens.
_LARGE_OUTPUT = 16_384
_SWITCHES = (
    *("stream", "calls", "errors", "request"),
    *("snapshots", "rearrange", "keep_reasoning", "fold_failures"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that batchwrap did. It contains counts and names, never contents or keys.

    Args:
        name: the kind of event: ``"expanded"``, ``"waited"``, ``"refused"``, …; ``"ended"`` is
            the last one of each request. `docs/observability.md` lists all with their fields.
        data: the numbers and names of the event; those in seconds end with ``_s``.
        at_unix_s: when it happened, in seconds since 1970. The events of a request are reported
            when a wait begins or ends, and otherwise when the request has ended.
    """

    name: EventName
    data: Mapping[str, Any]
    at_unix_s: float = 0.0


EventHook = Callable[[Event], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """All parts together. A part that is None is switched off."""

    batching: Batching | None = field(default_factory=Batching)
    reminders: Reminders | None = field(default_factory=Reminders)
    throttle: Throttle | None = field(default_factory=Throttle)
    repair: Repair | None = field(default_factory=Repair)
    on_event: EventHook | None = None
