"""The counters of a wrapped target, as a table and as a dict.

An exchange counts for itself; when it ends, its counts are added to the counters of its target, and
these pass them on to the counters of the process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any
from weakref import WeakSet

from batchwrap._forks import ForkSafeLock
from batchwrap.declarations import declaration

_ONLY_THROTTLED, _REPAIRS, _DEFECTS = "only_throttled.", "repairs.", "defects."
_UNDECLARED = "undeclared."
# Callers of `serve` choose the names of models, possibly a new one in each request.
MOST_MODELS, OTHER_MODELS = 256, "(other models)"
# Agents choose the names of tools.
MOST_TOOLS, OTHER_TOOLS = 64, "(other tools)"
LONGEST_NAME = 200  # characters
# Fewer single calls of a tool in a row are no reason to declare it.
_LEAST_UNDECLARED = 2
# A newline separates the parts of these names, since names of models contain all other separators.
_DIRECTIVES, _MALFORMED = "directives\n", "malformed\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A request that waits now.

    Attributes:
        limits: the plan whose limits it waits for, or the provider and the model.
        limit: the limit that it waits for; empty if the provider asked for the wait.
        waited_s: the seconds that it has waited.
        expected_s: the seconds that it will wait altogether if no other request ends before;
            None if only the end of another request can admit it.
    """

    limits: str
    limit: str
    waited_s: float
    expected_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """What batchwrap did.

    Attributes:
        requests: requests of the agent to a model, including those that were only throttled.
        round_trips: requests that reached the provider, including refused ones.
        multi_calls: multi-calls of the model that were expanded.
        items: single calls that the multi-calls became.
        folds: turns that were folded back; the frozen prefix is not folded again.
        coalesced: single calls of the model that were merged into a multi-call.
        read_ahead: reads that were added to the model's own.
        local_answers: requests answered without a round trip, with calls that had waited.
        offers: requests that carried multi-tools.
        reminders: reminders in all requests; one that stays in a conversation counts each time.
        refusals: answers that were refusals: limits, overload, money.
        retries: attempts after a refusal.
        waited_s: seconds spent waiting for limits and after refusals.
        prompt_tokens: prompt tokens as the provider counted them.
        cached_tokens: those of the prompt tokens that came from the provider's cache.
        completion_tokens: output tokens as the provider counted them.
        failed_open: requests that the provider refused with batchwrap's additions, and that were
            sent again without them.
        switched_off: requests that were only folded, since the model's endpoint had refused
            batchwrap's additions and accepted the same request without them.
        internal_errors: exceptions in batchwrap's own code, or in a function of yours. They lost
            no answer: what could not be translated was handed on unchanged. The log has the place.
        asked_again: multi-calls that could not be understood. The model was asked again within
            the same request, so the agent never saw them; each costs one more round trip.
        scripts: programs of the model's that were run.
        script_calls: single calls that they made.
        script_round_trips: round trips saved by them: waves of their calls that were answered
            locally, each of which rests on results of the one before it.
        script_tokens: about how many tokens of results went to scripts and not to the model, less
            those that the model was told of them.
        malformed: by model, the number of its malformed multi-calls, by how they were understood:
            `tolerantly`, `in_part`, or `not_at_all`.
        not_understood: request bodies of an unknown shape, which were passed on unchanged.
        passed_through: requests to other paths, which are passed on unchanged.
        only_throttled: requests that are not translated, by endpoint: they wait for limits, are
            retried and settled, but have no batches and reminders.
        repairs: how often each repair was needed, by name.
        directives: by model and directive: how often it was `given`; how many of these could be
            `judged` by the model's next calls, and how many were `followed` by a batch; the
            `tokens` that it took in all requests (a rough estimate); and how often it was
            `withheld_…`, by reason.
        defects: defects of answers that could not be repaired, by kind.
        undeclared: by tool, single calls of the model that followed a single call of the same
            tool, where batchwrap does not know the tool. `declaration` says what to do.
        waiting: the requests that wait for a limit now. All other numbers never decrease.
    """

    requests: int = 0
    round_trips: int = 0
    multi_calls: int = 0
    items: int = 0
    folds: int = 0
    coalesced: int = 0
    read_ahead: int = 0
    local_answers: int = 0
    offers: int = 0
    reminders: int = 0
    refusals: int = 0
    retries: int = 0
    waited_s: float = 0.0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    failed_open: int = 0
    switched_off: int = 0
    internal_errors: int = 0
    asked_again: int = 0
    scripts: int = 0
    script_calls: int = 0
    script_round_trips: int = 0
    script_tokens: int = 0
    not_understood: int = 0
    passed_through: int = 0
    only_throttled: Mapping[str, int] = field(default_factory=dict)
    malformed: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    repairs: Mapping[str, int] = field(default_factory=dict)
    directives: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)
    defects: Mapping[str, int] = field(default_factory=dict)
    undeclared: Mapping[str, int] = field(default_factory=dict)
    waiting: tuple[Waiting, ...] = ()

    @property
    def round_trips_saved(self) -> int:
        """Calls that needed no round trip of their own: items minus multi-calls."""
        return max(0, self.items - self.multi_calls)

    @property
    def declaration(self) -> str:
        """The option that lets batchwrap batch the tools in `undeclared`; empty if there is none.

        The kinds follow from the names of the tools: check them.
        """
        counted = sorted(self.undeclared.items(), key=lambda item: (-item[1], item[0]))
        return declaration(
            name for name, count in counted if count >= _LEAST_UNDECLARED and name != OTHER_TOOLS
        )

    def as_dict(self) -> dict[str, Any]:
        """All counters by name, as JSON values."""
        return {**asdict(self), "round_trips_saved": self.round_trips_saved}

    def __str__(self) -> str:
        rows = self.as_dict()
        directives, waiting = rows.pop("directives"), rows.pop("waiting")
        rows["waiting now"] = len(waiting)
        rows |= {
            f"{directive}{_of(model)}: {what}": count
            for model, by_directive in sorted(directives.items())
            for directive, counts in by_directive.items()
            for what, count in counts.items()
        }
        rows |= {
            f"malformed{_of(model)}: understood {how}": count
            for model, counts in sorted(rows.pop("malformed").items())
            for how, count in counts.items()
        }
        for group in ("only_throttled", "repairs", "defects", "undeclared"):
            counted = rows.pop(group)
            rows |= {f"{group}: {name}": count for name, count in sorted(counted.items())}
        width = max(len(name) for name in rows)
        lines = [
            f"{name.replace('_', ' '):<{width}}  {value:>12,.1f}"
            if isinstance(value, float)
            else f"{name.replace('_', ' '):<{width}}  {value:>12,}"
            for name, value in rows.items()
        ]
        if self.declaration:
            lines.append(f"to batch what was undeclared: {self.declaration}")
        return "\n".join(lines)


class Counters:
    """Thread-safe counters of one target, which also count into those `above` them.

    Args:
        above: the counters of the whole process; None for these themselves.
        waiting: returns the requests of this target that wait now.
    """

    def __init__(
        self, above: Counters | None, waiting: Callable[[], Iterable[Waiting]] = tuple
    ) -> None:
        self._counts: Counter[str] = Counter()
        self._models: set[str] = set()
        self._tools: set[str] = set()
        self._lock = ForkSafeLock()  # a dropped stream may be counted by the garbage collector
        self._above = above
        self._waiting = waiting
        self._below: WeakSet[Counters] = WeakSet()  # so that clients can be garbage collected
        if above is not None:
            above._below.add(self)

    def add(self, counts: Mapping[str, float]) -> None:
        """Add these counts."""
        with self._lock:
            for name, count in counts.items():
                known = name if name in self._counts else self._bounded(name)
                self._counts[known] += count  # type: ignore[assignment]  # seconds are floats
        if self._above is not None:
            self._above.add(counts)

    def _bounded(self, name: str) -> str:
        """The name to count a new one under.

        Models beyond their limit are counted together, and tools beyond theirs. Long names are cut.
        """
        if name.startswith(_UNDECLARED):
            tool = name.removeprefix(_UNDECLARED)[:LONGEST_NAME]
            return undeclared_counter(bounded(tool, self._tools, MOST_TOOLS, OTHER_TOOLS))
        if not name.startswith((_DIRECTIVES, _MALFORMED)):
            return name
        group, _, rest = name.partition("\n")
        model, *what = rest.rsplit("\n", 2 if name.startswith(_DIRECTIVES) else 1)
        model = bounded(model[:LONGEST_NAME], self._models, MOST_MODELS, OTHER_MODELS)
        return "\n".join([group, model, *what])

    def waiting(self) -> Iterator[Waiting]:
        """The waiting requests of this target, and of the targets that count into it."""
        yield from self._waiting()
        for one in list(self._below):
            yield from one.waiting()

    def stats(self) -> Stats:
        """A snapshot of the counters."""
        with self._lock:
            counts: dict[str, Any] = dict(self._counts)
        known = {item.name: counts[item.name] for item in fields(Stats) if item.name in counts}
        return Stats(
            **known,
            only_throttled=_under(_ONLY_THROTTLED, counts),
            repairs=_under(_REPAIRS, counts),
            defects=_under(_DEFECTS, counts),
            undeclared=_under(_UNDECLARED, counts),
            waiting=tuple(self.waiting()),
            directives=_by_directive(counts),
            malformed=_by_model(counts),
        )


def bounded(name: str, known: set[str], most: int, other: str) -> str:
    """The name to count under: the one for all others, if too many are known.

    Args:
        name: a name that somebody else has chosen.
        known: the names that were counted so far, to which it is added.
        most: how many names are counted by themselves.
        other: the name for all others.
    """
    if name not in known and len(known) >= most:
        return other
    known.add(name)
    return name


def model_name(model: object) -> str:
    """What a request's field `model` is called; empty without one.

    A function that names the model itself is given a request without it.
    """
    return "" if model is None else str(model)


def _of(model: str) -> str:
    """A model's name behind the name of a counter."""
    return f" ({model})" if model else ""


def directive_counter(model: object, directive: str, what: str) -> str:
    """The name of a counter that belongs to a directive."""
    return f"{_DIRECTIVES}{model_name(model)}\n{directive}\n{what}"


def malformed_counter(model: object, understood: str) -> str:
    """The name of a counter for malformed multi-calls."""
    return f"{_MALFORMED}{model_name(model)}\n{understood}"


def undeclared_counter(tool: str) -> str:
    """The name of a counter for a tool that is not declared."""
    return f"{_UNDECLARED}{tool}"


def _by_model(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, count in counts.items():
        if name.startswith(_MALFORMED):
            model, understood = name.removeprefix(_MALFORMED).rsplit("\n", 1)
            found.setdefault(model, {})[understood] = count
    return found


def _by_directive(counts: Mapping[str, int]) -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = {}
    for name, count in counts.items():
        if name.startswith(_DIRECTIVES):
            model, directive, what = name.removeprefix(_DIRECTIVES).rsplit("\n", 2)
            found.setdefault(model, {}).setdefault(directive, {})[what] = count
    return found


def _under(prefix: str, counts: Mapping[str, Any]) -> dict[str, Any]:
    """The counters with a prefix, by the rest of their names."""
    return {
        name.removeprefix(prefix): count
        for name, count in counts.items()
        if name.startswith(prefix)
    }


PROCESS = Counters(above=None)
