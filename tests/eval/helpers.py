"""A lab without delays, and the endpoint in it."""

from __future__ import annotations

import math
import signal
import threading
from itertools import count
from typing import Any

from batchwrap.eval.arms import Arm, arm
from batchwrap.eval.eval_session import EvaluationPlan
from batchwrap.eval.runs import Run
from batchwrap.eval.simulated import MODELS, solver
from batchwrap.eval.trial import ModelEndpoint
from batchwrap.lab import Lab, Model, Raw, Reply

KEY = "a-secret-key"


def quick_lab(model: Model | None = None, **options: Any) -> Lab:
    """A lab whose answers come at once; the model batches when recently reminded by default."""
    asked = model or solver(MODELS["forgets"])
    return Lab(asked, tokens_per_s=math.inf, ttft_s=0, api_keys=[KEY], **options)


def interrupt() -> None:
    """What Ctrl-C does."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGINT)


def interrupting(model: Model, number: int) -> Model:
    """The model, which interrupts the main thread, as Ctrl-C does, before an answer by number."""
    asked = count(1)

    def answer(request: dict[str, Any]) -> Reply | Raw:
        if next(asked) == number:
            interrupt()
        return model(request)

    return answer


def endpoint_of(lab: Lab) -> ModelEndpoint:
    """The lab as an endpoint of the user's."""
    return ModelEndpoint(
        base_url=lab.base_url, model="scripted", api_key=KEY, system_tokens=200, seed=0
    )


def plan_of(
    *tasks: str, arms: tuple[str, ...] = ("bare", "reminders"), runs: int = 1
) -> EvaluationPlan:
    """A plan with arms by their texts."""
    return EvaluationPlan(tasks=tasks, arms=[arm(text) for text in arms], runs=runs)


def run_of(task: str, its_arm: Arm | str, number: int, **values: Any) -> Run:
    """A run that did its task, with some numbers of its own."""
    made = its_arm if isinstance(its_arm, Arm) else arm(its_arm)
    given: dict[str, Any] = {
        "options": made.options,
        "ended": "itself",
        "done": True,
        "problem": None,
        "turns": 3,
        "round_trips": 3,
        "prompt_tokens": 1_000,
        "completion_tokens": 100,
        "cached_tokens": 0,
    }
    return Run(task=task, arm=made.name, number=number, **(given | values))
