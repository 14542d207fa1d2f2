"""The lab as the endpoint: scripted models that solve the tasks with the agent's tools.

A script knows how its task is solved, and takes the data from the results of the tools. The scripts
show what batching is worth if a model behaves like this, and that the evaluation works. They do not
show that any model behaves like this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from batchwrap.demo.played_plan import PlayedPlan
from batchwrap.eval.task_kinds import TASKS
from batchwrap.eval.trial import ModelEndpoint
from batchwrap.lab import FileReader, Habit, Lab, Model, Reply
from batchwrap.lab.transcript import current_prompt

# Usual values of a fast provider. The scale is explained in `batchwrap.demo.run`.
TIME_SCALE = 15.0
TTFT_S = 0.2
TOKENS_PER_S = 1500.0

MODELS: Mapping[str, Habit] = {
    "forgets": Habit(),
    "cooperates": Habit(unasked=True),
    "never": Habit(turns=0, script_tool=None),
}


def solver(habit: Habit) -> Model:
    """A scripted model that solves every task, and batches by this habit."""
    readers = {
        kind.opening: FileReader(
            kind.job,
            habit=habit,
            final=kind.final,
            program=kind.program,
            afterwards=kind.afterwards,
        )
        for kind in TASKS.values()
    }

    def model(request: dict[str, Any]) -> Reply:
        prompt = current_prompt(request["messages"])
        for opening, reader in readers.items():
            if opening in prompt:
                return reader(request)
        return Reply("This is none of the tasks that I know.")

    return model


@contextmanager
def simulated(
    model: str,
    *,
    system_tokens: int,
    seed: int,
    plan: PlayedPlan | None = None,
    play: Callable[[Habit], Model] | None = None,
) -> Iterator[ModelEndpoint]:
    """A context manager with a simulated endpoint.

    Args:
        model: the name of one of `MODELS`.
        system_tokens: the length of the agent's system prompt.
        seed: the seed of the tasks.
        plan: the limits that the provider enforces and batchwrap keeps; None for no limits.
        play: makes the scripted model for a habit; None for the one that solves the tasks.

    Raises:
        MissingExtraError: the server's packages are not installed.
    """
    lab = Lab(
        (play or solver)(MODELS[model]),
        limits=plan.limits if plan else (),
        ttft_s=TTFT_S,
        tokens_per_s=TOKENS_PER_S,
        time_scale=TIME_SCALE,
    )
    with lab:
        yield ModelEndpoint(
            base_url=lab.base_url,
            model=model,
            api_key="simulated-key",
            limits=plan.kept(TIME_SCALE) if plan else "auto",
            system_tokens=system_tokens,
            seed=seed,
            clock=lab.now,
            # Requests to the loopback must not go through a proxy of the environment.
            http_options={"trust_env": False},
        )
