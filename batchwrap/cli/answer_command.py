"""Carries out `batchwrap eval --answers`: asks what is missing, and shows the shares."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import urlsplit

import typer

from batchwrap.checks import one_of
from batchwrap.cli import option_checks
from batchwrap.cli.console import console, print_text
from batchwrap.cli.eval_options import Order
from batchwrap.cli.evaluation import (
    end,
    endpoint_of,
    hint_without,
    prices_of,
    saying_where,
    setting_of,
)
from batchwrap.cli.text_tables import print_table
from batchwrap.demo import sdk
from batchwrap.errors import ConfigError
from batchwrap.eval.answers import answer_report
from batchwrap.eval.answers.answer_file import AnswerFile, ModelAnswer
from batchwrap.eval.answers.answer_session import MOST_TOKENS, AnswerPlan, ask_all
from batchwrap.eval.answers.answer_summary import shares
from batchwrap.eval.answers.scripted_answers import answerer
from batchwrap.eval.answers.situations import KINDS, Kind
from batchwrap.eval.arms import Arm, arms_of
from batchwrap.eval.token_budget import TokenBudget

_SYSTEM_TOKENS = 200
_ALL = "all"
_LOOPBACK, _LOCAL = ("localhost", "127.0.0.1", "::1"), "a local server"
# The reminder of a lapse is due after two reads, and these have their first one after four and six.
_ARMS: Mapping[Kind, Sequence[str]] = {
    "first": ("bare", "offer", "reminders", "instead"),
    "second": (
        "bare",
        "offer",
        "reminders",
        "every4=every=4,on_lapse=false",
        "every6=every=6,on_lapse=false",
    ),
    "edits": ("bare", "offer", "reminders", "instead"),
}


def carry_out_answers(order: Order) -> None:
    """Ask what is missing of the plan, and show the result.

    Raises:
        ConfigError: an option is wrong; nothing was asked.
        MissingExtraError: a package is not installed.
        typer.Exit: it ended early, at a limit or by an error.
    """
    _refuse_others(order)
    plan, prices = _plan(order), prices_of(order)
    setting = _setting(order)
    if order.report is not None:
        option_checks.check_file("--report", order.report)
    if order.out is not None:
        option_checks.check_file("--out", order.out)
    about = {
        "date": date.today().isoformat(),
        "versions": {"openai": sdk.version(), "python": platform.python_version()},
    }
    file = AnswerFile(order.out, setting, about)
    missing = plan.missing(file.answers, again=order.retry_errors)
    if order.dry_run:
        typer.echo(f"{len(missing)} requests, {MOST_TOKENS} output tokens each at most")
        return
    budget = TokenBudget(max_tokens=order.max_tokens, max_cost=order.max_cost, prices=prices)
    key = option_checks.api_key(order.api_key_env)
    with (
        saying_where(
            order.out, len(plan.asked()), lambda: len(plan.missing(file.answers)), "answers"
        ),
        endpoint_of(order, key, setting, play=answerer, warning="") as endpoint,
    ):
        told = _Told(len(missing))
        outcome = ask_all(plan, endpoint, file, budget=budget, again=order.retry_errors, told=told)
        _show(order, plan, file, setting)
        if outcome.interrupted:
            raise KeyboardInterrupt
    end(outcome, budget, hint_without(key, order))


def _setting(order: Order) -> dict[str, Any]:
    """What all answers have in common. A local server may have another port each time."""
    setting = setting_of(order, system_tokens=_SYSTEM_TOKENS)
    host = urlsplit(setting["base_url"] or "").hostname
    return setting | {"base_url": _LOCAL} if host in _LOOPBACK else setting


class _Told:
    """Prints a line on stderr for each answer."""

    def __init__(self, count: int) -> None:
        self._count, self._told = count, 0

    def __call__(self, answer: ModelAnswer) -> None:
        self._told += 1
        typer.echo(
            f"[{self._told}/{self._count}] {answer.kind}, {answer.situation}, {answer.arm}:"
            f" {answer.error or f'{answer.called} of {answer.wanted} in one answer'}",
            err=True,
        )


def _plan(order: Order) -> AnswerPlan:
    kinds: list[Kind] = []
    for name in order.answers:
        one_of("--answers", name, (*KINDS, _ALL))
        kinds += [kind for kind in KINDS if name in (kind, _ALL) and kind not in kinds]
    arms = {kind: arms_of(order.arms or _ARMS[kind]) for kind in kinds}
    return AnswerPlan(arms=arms, runs=order.runs or 1, seed=order.seed)


def _refuse_others(order: Order) -> None:
    """Refuse the options that mean nothing here."""
    for option, is_given in (("--task", order.tasks), ("--parallel", order.parallel > 1)):
        if is_given:
            raise ConfigError(option, "does not go with --answers")
    if order.base_url is not None and order.out is None and not order.dry_run:
        raise ConfigError("--out", "is needed with --base-url, so that no paid answer is lost")


def _show(order: Order, plan: AnswerPlan, file: AnswerFile, setting: Mapping[str, Any]) -> None:
    wanted = {_id(kind, it) for kind, arms in plan.arms.items() for it in arms}
    summed = shares([it for it in file.answers if (it.kind, it.arm, it.options) in wanted])
    title = _title(setting)
    if order.report is not None:
        with option_checks.writing("--report"):
            page = answer_report.answer_markdown(f"batchwrap eval: {title}", summed)
            order.report.write_text(page, encoding="utf-8")
    if order.as_json:
        missing = len(plan.missing(file.answers))
        typer.echo(json.dumps(answer_report.answers_as_dict(setting, summed, missing), indent=2))
        return
    if not summed:
        return
    screen = console()
    print_table(screen, answer_report.answer_table(title, summed))
    for note in answer_report.answer_notes(summed):
        print_text(screen, note)


def _id(kind: Kind, it: Arm) -> tuple[Kind, str, str]:
    return kind, it.name, it.options


def _title(setting: Mapping[str, Any]) -> str:
    if setting["simulated"]:
        return f"SIMULATED provider and model ({setting['model']})"
    return f"{setting['model']} at {setting['base_url']}"
