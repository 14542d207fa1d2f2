"""`batchwrap eval`: the same tasks with and without batchwrap, at the user's endpoint.

This module declares the options; `evaluation` carries the command out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from batchwrap.cli import completion
from batchwrap.cli.console import waiting_for
from batchwrap.cli.eval_options import Order

EXIT_CODES = (
    "Exit codes: 0 every run of the plan has a result, whether its task was done or not; 1 the"
    " endpoint failed; 2 wrong usage; 3 stopped at a limit; 130 interrupted."
)


def evaluate(
    base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The OpenAI-compatible endpoint. Costs tokens!"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The model. With --lab: forgets (default), cooperates or never.",
            autocompletion=completion.models,
        ),
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="VARIABLE",
            help="Environment variable with the API key, if the endpoint needs one.",
        ),
    ] = None,
    lab: Annotated[
        bool, typer.Option("--lab", help="Use a simulated provider and model instead; free.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Add a line per run to FILE; runs in it are skipped."),
    ] = None,
    arms: Annotated[
        list[str] | None,
        typer.Option(
            "--arm",
            metavar="ARM",
            help="bare, offer, reminders, instead, fast, scripts (all by default; scripts with the"
            ' extra "scripts"), or NAME=OPTIONS such as often=every=2,max_items=16. May be'
            " repeated.",
            autocompletion=completion.arms,
        ),
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="TASK",
            help="answer, rename, bug, header, constant, totals, chain (all by default). May be"
            " repeated.",
            autocompletion=completion.tasks,
        ),
    ] = None,
    answers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Ask for single answers instead of running tasks, in minutes: first, second (after"
            " single reads), edits (after a plan), or all. May be repeated.",
            autocompletion=completion.answers,
        ),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Runs of each task in each arm: 3; of answers: 1."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="The seed of the tasks' files.")] = 0,
    parallel: Annotated[int, typer.Option(metavar="N", min=1, help="Runs at the same time.")] = 1,
    limits: Annotated[
        str | None,
        typer.Option(
            metavar="PLAN",
            help="Limits that the wrapped arms keep and, with --lab, the simulated provider has,"
            ' e.g. "cerebras/code-max".',
            autocompletion=completion.limits,
        ),
    ] = None,
    system_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Length of the agent's system prompt: 2,000; for answers 200.",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Stop before all runs exceed N tokens.")
    ] = None,
    max_cost: Annotated[
        float | None, typer.Option(metavar="COST", help="Stop before this cost; needs prices.")
    ] = None,
    price_in: Annotated[
        float | None, typer.Option(metavar="PRICE", help="Price of a million prompt tokens.")
    ] = None,
    price_out: Annotated[
        float | None, typer.Option(metavar="PRICE", help="Price of a million output tokens.")
    ] = None,
    price_cached: Annotated[
        float | None, typer.Option(metavar="PRICE", help="Price of a million cached prompt tokens.")
    ] = None,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Repeat runs that the endpoint's errors ended.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show what would be run, with an estimate; run nothing."),
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the result as Markdown.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Measure what batchwrap changes with your model: the same tasks, with and without it.

    An agent works on small file tasks in temporary folders, and a checker looks at the result. Arms
    differ only in batchwrap's options: bare (without batchwrap), offer (multi-tools, no reminders),
    reminders (the defaults), instead (single tools hidden), fast (that preset). Every run is
    written to FILE when it ends, so the same command continues where it was stopped. Tests that the
    model has edited are run on this machine.

    \b
    Examples:
      batchwrap eval --lab
      batchwrap eval --base-url https://api.cerebras.ai/v1 --model qwen-3-coder-480b \\
          --api-key-env CEREBRAS_API_KEY --out runs.jsonl --dry-run
      batchwrap eval … --out runs.jsonl --runs 10 --max-tokens 5000000 --report eval.md
      batchwrap eval --answers first --base-url http://localhost:8080/v1 --model NAME \\
          --out answers.json
    """
    order = Order(
        base_url=base_url,
        model=model,
        api_key_env=api_key_env,
        lab=lab,
        out=out,
        runs=runs,
        seed=seed,
        parallel=parallel,
        limits=limits,
        system_tokens=system_tokens,
        max_tokens=max_tokens,
        max_cost=max_cost,
        price_in=price_in,
        price_out=price_out,
        price_cached=price_cached,
        retry_errors=retry_errors,
        dry_run=dry_run,
        report=report,
        as_json=as_json,
        arms=arms or (),
        tasks=tasks or (),
        answers=answers or (),
    )
    # Imported here, since other commands must not wait for the tasks, the tables and the lab.
    with waiting_for("loading"):
        if order.answers:
            from batchwrap.cli.answer_command import carry_out_answers as carry_out
        else:
            from batchwrap.cli.evaluation import carry_out

    carry_out(order)
