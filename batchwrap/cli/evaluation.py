"""Carries out `batchwrap eval`: checks the options, runs what is missing, shows the result."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import typer

from batchwrap import __version__
from batchwrap.checks import one_of
from batchwrap.cli import option_checks
from batchwrap.cli.console import console, print_text
from batchwrap.cli.eval_options import Order
from batchwrap.cli.text_tables import print_table
from batchwrap.demo import sdk
from batchwrap.demo.played_plan import played
from batchwrap.errors import ConfigError
from batchwrap.eval import eval_report
from batchwrap.eval.arms import arms_of, standard_arms
from batchwrap.eval.cost_estimate import estimate
from batchwrap.eval.eval_report import EvaluationResult
from batchwrap.eval.eval_session import EvaluationPlan, SessionOutcome, work_off
from batchwrap.eval.runs import Run, RunFile
from batchwrap.eval.simulated import MODELS, simulated
from batchwrap.eval.task_kinds import TASKS
from batchwrap.eval.token_budget import Prices, TokenBudget
from batchwrap.eval.trial import ModelEndpoint
from batchwrap.lab import Habit, Model

_ENDPOINT_FAILED, _LIMIT_REACHED, _INTERRUPTED = 1, 3, 130
# What is meant where the options do not say it.
_RUNS, _SYSTEM_TOKENS = 3, 2_000
_RUNS_TESTS = " It also runs tests that the model has edited on this machine."
_STOPPING = "stopping: no further request is begun; another Ctrl-C does not wait for running ones"


def carry_out(order: Order) -> None:
    """Run what is missing of the plan, and show the result.

    Raises:
        ConfigError: an option is wrong; nothing was run.
        MissingExtraError: a package is not installed.
        typer.Exit: it ended early, at a limit or by an error.
    """
    plan, prices, setting = _plan(order), prices_of(order), setting_of(order)
    if order.limits is not None and order.parallel > 1:
        raise ConfigError("--limits", "needs --parallel 1, since each run counts them for itself")
    if order.report is not None:
        option_checks.check_file("--report", order.report)
    if order.dry_run:  # before the key: an estimate needs none
        _show_estimate(order, plan, setting, prices)
        return
    key = _key(order)
    file = _file(order.out, setting)
    cells = plan.missing(file.runs, again=order.retry_errors)
    budget = TokenBudget(max_tokens=order.max_tokens, max_cost=order.max_cost, prices=prices)
    whole = len(plan.cells())
    with (
        saying_where(order.out, whole, lambda: len(plan.missing(file.runs))),
        endpoint_of(order, key, setting) as endpoint,
    ):
        told = _Told(len(cells), plan, setting)
        outcome = work_off(
            plan,
            cells,
            endpoint,
            file,
            budget=budget,
            parallel=order.parallel,
            told=told,
            stopping=lambda: typer.echo(_STOPPING, err=True),
        )
        result = EvaluationResult(
            plan=plan, runs=file.runs, setting=setting, prices=prices, outcome=outcome
        )
        _show(result, order)
        if outcome.interrupted:
            raise KeyboardInterrupt
    end(outcome, budget, hint_without(key, order))


@contextmanager
def saying_where(
    out: Path | None, whole: int, missing: Callable[[], int], what: str = "runs"
) -> Iterator[None]:
    """End an evaluation that is interrupted, wherever it is, with a line that says what is saved.

    Args:
        out: the file; None if there is none.
        whole: the number of results that were wanted.
        missing: returns the number of those that are missing.
        what: what they are.

    Raises:
        typer.Exit: it was interrupted.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        saved = "nothing is saved without --out FILE"
        if out is not None:
            done = f"{out} has {whole - missing()} of {whole} {what}"
            saved = f"run the same command again to continue: {done}"
        typer.echo(f"batchwrap: interrupted; {saved}", err=True)
        raise typer.Exit(_INTERRUPTED) from error


class _Told:
    """Prints a line on stderr at the beginning, and for each run that ends."""

    def __init__(self, count: int, plan: EvaluationPlan, setting: Mapping[str, Any]) -> None:
        self._count, self._ended = count, 0
        arms = ", ".join(arm.name for arm in plan.arms)
        typer.echo(f"{count} runs; limits: {setting['limits']}; arms: {arms}", err=True)

    def __call__(self, run: Run) -> None:
        self._ended += 1
        not_done = f"NOT done: {run.problem}" if run.counts else "stopped"
        outcome = "done" if run.done else not_done
        typer.echo(
            f"[{self._ended}/{self._count}] {run.task} {run.arm} {run.number}: {outcome};"
            f" {run.round_trips} round trips, {run.wall_s:.1f} s",
            err=True,
        )


def _plan(order: Order) -> EvaluationPlan:
    arms = arms_of(order.arms) if order.arms else standard_arms()
    for task in order.tasks:
        one_of("--task", task, tuple(TASKS))
    tasks = list(dict.fromkeys(order.tasks or TASKS))
    return EvaluationPlan(tasks=tasks, arms=arms, runs=order.runs or _RUNS, seed=order.seed)


def prices_of(order: Order) -> Prices | None:
    """The prices of tokens; None without any.

    Raises:
        ConfigError: a price is wrong or missing.
    """
    given = {
        "--price-in": order.price_in,
        "--price-out": order.price_out,
        "--price-cached": order.price_cached,
        "--max-cost": order.max_cost,
    }
    for option, value in given.items():
        if value is not None and not 0 <= value < math.inf:
            raise ConfigError(option, f"{value:g} is not a number of 0 or more")
        if value is not None and (order.price_in is None or order.price_out is None):
            raise ConfigError(option, "needs both --price-in and --price-out")
    if order.price_in is None or order.price_out is None:
        return None
    return Prices(prompt=order.price_in, completion=order.price_out, cached=order.price_cached)


def setting_of(order: Order, system_tokens: int = _SYSTEM_TOKENS) -> dict[str, Any]:
    """The options that must be equal in all runs of a file, or they could not be compared.

    Args:
        order: the options.
        system_tokens: the length of the system prompt if the options do not say it.

    Raises:
        ConfigError: an option is wrong or missing.
    """
    if order.lab == (order.base_url is not None):
        raise ConfigError("--base-url", "give either --base-url or --lab")
    if order.base_url is None:
        if order.model is not None:
            one_of("--model", order.model, tuple(MODELS))
        if order.api_key_env is not None:
            raise ConfigError("--api-key-env", "is only for a real endpoint, and not for --lab")
    else:
        option_checks.check_endpoint(order.base_url, order.model)
    return {
        "simulated": order.lab,
        "base_url": order.base_url and _without_secrets(order.base_url),
        "model": order.model or next(iter(MODELS)),
        "seed": order.seed,
        "system_tokens": order.system_tokens or system_tokens,
        "limits": option_checks.check_limits(order.limits),
        "batchwrap": __version__,
    }


def _key(order: Order) -> str:
    if order.base_url is None:
        return ""
    if order.out is None:
        raise ConfigError("--out", "is needed with --base-url, so that no paid run is lost")
    return option_checks.api_key(order.api_key_env)


def _without_secrets(base_url: str) -> str:
    """An address without user, password and query."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


def _file(path: Path | None, setting: dict[str, Any]) -> RunFile:
    if path is not None:
        option_checks.check_file("--out", path)
    versions = {"openai": sdk.version(), "python": platform.python_version()}
    file = RunFile(path, setting, versions)
    for notice in file.notices:
        typer.echo(f"{path}: {notice}", err=True)
    return file


@contextmanager
def endpoint_of(
    order: Order,
    key: str,
    setting: Mapping[str, Any],
    *,
    play: Callable[[Habit], Model] | None = None,
    warning: str = _RUNS_TESTS,
) -> Iterator[ModelEndpoint]:
    """A context manager with the endpoint: the user's, or a simulated one.

    Args:
        order: the options.
        key: the key.
        setting: what all runs have in common.
        play: makes the scripted model of the simulated endpoint; None for that of the tasks.
        warning: the end of the warning that the user's endpoint costs tokens.
    """
    model, seed, system_tokens = (setting[name] for name in ("model", "seed", "system_tokens"))
    if order.base_url is None:
        limits = setting["limits"]
        plan = None if limits == "auto" else played(limits)
        with simulated(
            model, system_tokens=system_tokens, seed=seed, plan=plan, play=play
        ) as endpoint:
            yield endpoint
        return
    typer.echo(
        f"This spends real tokens of {model} at {setting['base_url']}; --dry-run shows about how"
        f" many.{warning}",
        err=True,
    )
    yield ModelEndpoint(
        base_url=order.base_url,
        model=model,
        api_key=key,
        limits=setting["limits"],
        system_tokens=system_tokens,
        seed=seed,
    )


def _show_estimate(
    order: Order, plan: EvaluationPlan, setting: dict[str, Any], prices: Prices | None
) -> None:
    # A dry run must not create the file.
    file = _file(order.out if order.out is not None and order.out.exists() else None, setting)
    cells = plan.missing(file.runs, again=order.retry_errors)
    # The lab has no limits that runs would share, so the estimate always runs two at a time.
    shares = estimate(
        plan, cells, system_tokens=setting["system_tokens"], parallel=max(2, order.parallel)
    )
    if order.as_json:
        typer.echo(json.dumps(eval_report.estimate_dict(shares, setting, prices), indent=2))
        return
    screen = console()
    print_table(screen, eval_report.estimate_table(shares, setting, prices))
    print_text(screen, eval_report.ESTIMATED)


def _show(result: EvaluationResult, order: Order) -> None:
    summary = result.summary
    if order.report is not None:
        with option_checks.writing("--report"):
            order.report.write_text(eval_report.markdown(result, summary), encoding="utf-8")
    if order.as_json:
        typer.echo(json.dumps(eval_report.as_dict(result, summary), indent=2))
        return
    screen = console()
    for table in eval_report.tables(result, summary) if summary.arms else ():
        print_table(screen, table)
    for note in eval_report.notes(result, summary):
        print_text(screen, note)


def hint_without(key: str, order: Order) -> str:
    """What may be the reason if an endpoint fails that was sent no key."""
    return "" if key or order.lab else f". {sdk.NO_KEY_SENT}"


def end(outcome: SessionOutcome, budget: TokenBudget, hint: str) -> None:
    """Exit with the code and the reason of an early end; return if there was none.

    Raises:
        typer.Exit: the endpoint failed, or a limit was reached.
    """
    if outcome.failed is not None:
        typer.echo(f"batchwrap: the endpoint failed: {outcome.failed}{hint}", err=True)
        raise typer.Exit(_ENDPOINT_FAILED)
    if outcome.limit is not None:
        typer.echo(
            f"batchwrap: stopped before {outcome.limit} would be exceeded;"
            f" {budget.used.tokens:,} tokens were used",
            err=True,
        )
        raise typer.Exit(_LIMIT_REACHED)
