"""The result of the demo: a table, a dict for JSON, and notes on what was simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from batchwrap.demo import run
from batchwrap.demo.played_plan import PlayedPlan
from batchwrap.demo.project import NEW_NAME, OLD_NAME
from batchwrap.demo.run import DemoArm, RealEndpoint
from batchwrap.demo.sdk import NO_KEY_SENT


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """All arms, and how they were run.

    Attributes:
        bare: the arm with the client as it is.
        wrapped: the arm with the wrapped client.
        scripts: the arm with a wrapped client that offers scripts; None without the extra.
        stream: whether the agent asked for streams.
        time_scale: provider seconds in one real second; None at a real endpoint.
        endpoint: the real endpoint; None in the lab.
        plan: the limits in the lab.
    """

    bare: DemoArm
    wrapped: DemoArm
    stream: bool
    time_scale: float | None
    endpoint: RealEndpoint | None = None
    scripts: DemoArm | None = None
    plan: PlayedPlan = run.PLAN

    @property
    def arms(self) -> list[DemoArm]:
        """The arms that were run, in their order."""
        return [arm for arm in (self.bare, self.wrapped, self.scripts) if arm is not None]

    @property
    def reports_tokens(self) -> bool:
        """Whether the provider reported tokens."""
        return all(arm.book.prompt_tokens is not None for arm in self.arms)

    @property
    def done(self) -> bool:
        """Whether all arms finished the job."""
        return all(arm.done for arm in self.arms)


TURNS = (
    "A round trip is a request that the provider's model answered; a turn is an answer that the"
    " agent got. Calls of a batch that must run one after another are several turns of one round"
    " trip."
)

# The name in JSON, the label in the table, and the value of an arm.
_MEASURES: tuple[tuple[str, str, Callable[[DemoArm], float | None]], ...] = (
    ("round_trips", "round trips", lambda arm: arm.book.round_trips),
    ("turns", "turns", lambda arm: arm.turns),
    ("prompt_tokens", "prompt tokens", lambda arm: arm.book.prompt_tokens),
    ("completion_tokens", "completion tokens", lambda arm: arm.book.completion_tokens),
    ("refusals", "refused (429)", lambda arm: arm.book.refusals),
    ("waiting_s", "waiting, s", lambda arm: arm.waiting_s),
    ("wall_s", "wall time, s", lambda arm: arm.wall_s),
    ("tool_calls", "tool calls run", lambda arm: arm.tool_calls),
    ("files_changed", "files changed", lambda arm: arm.files_changed),
)


def table(result: DemoResult) -> Table:
    """A table with a row for each number, and columns for the arms and their ratios."""
    made = Table(title=f"One job: rename {OLD_NAME} to {NEW_NAME} in a small project")
    made.add_column("")
    others = result.arms[1:]
    made.add_column("bare client", justify="right")
    for arm in others:
        made.add_column(arm.name, justify="right")
        made.add_column(f"{arm.name}/bare" if len(others) == 1 else "/bare", justify="right")
    for _, label, measure in _MEASURES:
        bare = measure(result.bare)
        made.add_row(label, _number(bare), *_compared(bare, [measure(arm) for arm in others]))
    for label, holds in (
        ("project's tests pass", [arm.tests_pass for arm in result.arms]),
        ("job done", [arm.done for arm in result.arms]),
    ):
        first, *rest = ("yes" if it else "NO" for it in holds)
        made.add_row(label, first, *(cell for it in rest for cell in (it, "")))
    return made


def _compared(bare: float | None, others: list[float | None]) -> Iterator[str]:
    """The cells of the other arms: each number, and its ratio to the bare arm's."""
    for number in others:
        ratio = _ratio(bare, number)
        yield _number(number)
        yield "-" if ratio is None else f"{ratio:.2f}"


def as_dict(result: DemoResult) -> dict[str, Any]:
    """All numbers, ready for JSON. Seconds are the provider's.

    ``ratio`` is wrapped/bare, and ``scripts_ratio`` scripts/bare. Without the extra ``scripts``,
    that and ``scripts`` are None. Prompt and completion tokens are None where the provider did not
    report them, and a ratio is None where there is nothing to divide by.
    """
    return {
        "setting": _setting(result),
        "bare": _arm(result.bare),
        "wrapped": _arm(result.wrapped),
        "scripts": None if result.scripts is None else _arm(result.scripts),
        "ratio": _ratios(result.bare, result.wrapped),
        "scripts_ratio": None if result.scripts is None else _ratios(result.bare, result.scripts),
        "done": result.done,
    }


def _ratios(bare: DemoArm, other: DemoArm) -> dict[str, float | None]:
    return {name: _ratio(measure(bare), measure(other)) for name, _, measure in _MEASURES}


def notes(result: DemoResult) -> list[str]:
    """Notes: failures first, then what is simulated and what is real."""
    failures = [
        f"The {arm.name} arm failed: {arm.error or 'it ended, but the job is not done'}"
        for arm in result.arms
        if not arm.done
    ]
    if failures and result.endpoint is not None and not result.endpoint.api_key:
        failures.append(NO_KEY_SENT)
    how = _simulated_notes(result) if result.endpoint is None else _real_notes(result)
    return [*failures, TURNS, *how]


def _simulated_notes(result: DemoResult) -> list[str]:
    left_out = " and ".join(map(str, result.plan.left_out))
    return [
        f"Simulated: the provider, with limits like {result.plan.name} ({result.plan};"
        f" {run.TOKENS_PER_S:,.0f} tokens/s, {run.TTFT_S:g} s to the first token; Retry-After is a"
        " whole period)." + (f" Left out: {left_out}." if left_out else ""),
        "Simulated: the model. It is an assumption, not a measurement, that it reads and edits one"
        " file at a time, and batches only when it was recently reminded."
        + _said_of_scripts(result),
        f"Simulated: the clock. Times are provider time, of which {result.time_scale:g} s pass in a"
        " real second, so the program's own time counts that many times as much.",
        "Real: HTTP, the OpenAI SDK with its own retries, the agent's loop, the files and their"
        f" tests, and a system prompt of {run.SYSTEM_PROMPT_TOKENS:,} tokens.",
        "The numbers are the provider's own. Waiting is wall time less the time in which a request"
        " was served; a Retry-After is obeyed in all arms.",
        "With a real provider: batchwrap demo --base-url URL --model NAME --api-key-env VARIABLE",
    ]


def _real_notes(result: DemoResult) -> list[str]:
    assert result.endpoint is not None
    return [
        f"Real: {result.endpoint.model} at {result.endpoint.base_url}. One run of each arm: what a"
        " model does differs from run to run.",
        "The bare arm was metered by batchwrap with every part switched off: it only counts.",
        "The numbers are batchwrap's counters. Tokens are what the provider reported"
        + ("." if result.reports_tokens else "; here it said nothing. Try without --stream."),
        f"The wrapped client kept to the limits {result.endpoint.limits!r}. A later arm may have"
        " found less of the minute's budget left.",
    ]


def _said_of_scripts(result: DemoResult) -> str:
    """What the simulated model does in the arm with scripts, or how to get that arm."""
    if result.scripts is None:
        return ' An arm with scripts needs pip install "batchwrap[scripts]".'
    return " So is that it writes one script for the whole job, as soon as scripts are offered."


def _setting(result: DemoResult) -> dict[str, Any]:
    setting: dict[str, Any] = {"simulated": result.endpoint is None, "stream": result.stream}
    setting["system_prompt_tokens"] = run.SYSTEM_PROMPT_TOKENS
    if result.endpoint is not None:
        names = ("base_url", "model", "limits")  # never the key
        return setting | {name: getattr(result.endpoint, name) for name in names}
    return setting | {
        "time_scale": result.time_scale,
        "plan": result.plan.name,
        "limits": [asdict(limit) for limit in result.plan.limits],
        "tokens_per_s": run.TOKENS_PER_S,
        "ttft_s": run.TTFT_S,
    }


def _arm(arm: DemoArm) -> dict[str, Any]:
    return {
        **{name: _rounded(measure(arm)) for name, _, measure in _MEASURES},
        "tests_pass": arm.tests_pass,
        "done": arm.done,
        "error": arm.error,
    }


def _ratio(bare: float | None, wrapped: float | None) -> float | None:
    return None if wrapped is None or not bare else round(wrapped / bare, 3)


def _rounded(number: float | None) -> float | None:
    return round(number, 3) if isinstance(number, float) else number


def _number(number: float | None) -> str:
    if number is None:
        return "not reported"
    return f"{number:,.1f}" if isinstance(number, float) else f"{number:,}"
