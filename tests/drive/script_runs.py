"""Runs of scripts, and the results of their calls."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from batchwrap.core.failures import ResultStatus
from batchwrap.core.moves.script_run import ScriptOutcome, ScriptResult, ScriptRun
from batchwrap.drive.interpreter import Interpreter
from batchwrap.options import Scripts
from tests.drive.script_programs import FUNCTIONS
from tests.reference_interpreter import ReferenceInterpreter

LIMITS = Scripts()


def run_of(code: str, limits: Scripts = LIMITS, **results: ScriptResult) -> ScriptRun:
    """A run with results by `c0`, `c1` and so on."""
    by_number = {int(name[1:]): result for name, result in results.items()}
    return ScriptRun(code, FUNCTIONS, by_number, limits)


def result(
    text: str, tool: str = "read", status: ResultStatus = ResultStatus.SUCCEEDED, **arguments: str
) -> ScriptResult:
    """The result of a call."""
    return ScriptResult(tool, json.dumps(arguments or {"path": "a"}), text, status)


def waves(
    interpreter: Interpreter | ReferenceInterpreter,
    code: str,
    limits: Scripts = LIMITS,
    answer: Callable[[str, dict[str, Any]], str] = lambda tool, given: str(given),
) -> tuple[list[list[str]], ScriptOutcome]:
    """The waves of a script, each as the first argument of its calls, and what it comes to."""
    run, found = run_of(code, limits), []
    while (outcome := interpreter.run(run)).waiting:
        results = dict(run.results)
        calls = [outcome.calls[number] for number in outcome.waiting]
        found.append([str(next(iter(json.loads(one.arguments).values()))) for one in calls])
        for number, call in zip(outcome.waiting, calls, strict=True):
            text = answer(call.tool, json.loads(call.arguments))
            results[number] = ScriptResult(call.tool, call.arguments, text, ResultStatus.SUCCEEDED)
        run = replace(run, results=results)
    return found, outcome
