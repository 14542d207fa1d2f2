"""The lab as the endpoint: scripted models that solve the tasks through the agent's tools.

They are scripts, not models: each knows how its task is solved, and takes what it needs from what
the tools say. What they show is what batching is worth if a model behaves so, and that the
evaluation works; not that any model does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from batchwrap.eval.task_kinds import TASKS
from batchwrap.eval.trial import ModelEndpoint
from batchwrap.lab import FileReader, Habit, Lab, Model, Reply
from batchwrap.lab.transcript import current_prompt

# With them a run has round trips and times of a usual size. See the demo for the scale.
TIME_SCALE = 15.0
TTFT_S = 0.2
TOKENS_PER_S = 1500.0

MODELS: Mapping[str, Habit] = {
    "forgets": Habit(),
    "cooperates": Habit(unasked=True),
    "never": Habit(turns=0),
}


def solver(habit: Habit) -> Model:
    """A scripted model that solves every task, with a habit of batching."""
    readers = {
        kind.opening: FileReader(kind.job, habit=habit, final=kind.final) for kind in TASKS.values()
    }

    def model(request: dict[str, Any]) -> Reply:
        prompt = current_prompt(request["messages"])
        for opening, reader in readers.items():
            if opening in prompt:
                return reader(request)
        return Reply("This is none of the tasks that I know.")

    return model


@contextmanager
def simulated(model: str, *, system_tokens: int, seed: int) -> Iterator[ModelEndpoint]:
    """A simulated endpoint, as long as the context lasts.

    Args:
        model: one of `MODELS`.
        system_tokens: length of the agent's system prompt.
        seed: of the tasks.

    Raises:
        MissingExtraError: the server's packages are not installed.
    """
    lab = Lab(
        solver(MODELS[model]), ttft_s=TTFT_S, tokens_per_s=TOKENS_PER_S, time_scale=TIME_SCALE
    )
    with lab:
        yield ModelEndpoint(
            base_url=lab.base_url,
            model=model,
            api_key="simulated-key",
            system_tokens=system_tokens,
            seed=seed,
            clock=lab.now,
            # A proxy of the environment has no business on the loopback.
            http_options={"trust_env": False},
        )
