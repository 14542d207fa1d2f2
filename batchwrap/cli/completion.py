"""What a shell completes: the names of plans, presets, tasks, arms and the like.

typer calls these when somebody presses the tab key, and keeps what begins with the letters that
are there. What they need is imported then, so that the other commands do not wait for it.
"""

from __future__ import annotations

from batchwrap.option_arguments import PRESETS


def plans() -> list[str]:
    """The names of all plans."""
    from batchwrap.providers import plan_names

    return plan_names()


def providers_and_plans() -> list[str]:
    """The names of all providers, and of all plans."""
    from batchwrap.providers import provider_files

    return [*(file.provider.name for file in provider_files()), *plans()]


def limits() -> list[str]:
    """What stands for the limits of a client: ``auto``, or a plan."""
    return ["auto", *plans()]


def presets() -> list[str]:
    """The names of all presets."""
    return list(PRESETS)


def offers() -> list[str]:
    """How the multi-tools may be offered."""
    return ["alongside", "instead", "never"]


def arms() -> list[str]:
    """The names of the evaluation's arms."""
    from batchwrap.eval.arms import arm_names

    return arm_names()


def answers() -> list[str]:
    """The kinds of answers that can be asked for."""
    from batchwrap.eval.answers.situations import KINDS

    return [*KINDS, "all"]


def tasks() -> list[str]:
    """The names of the evaluation's tasks."""
    from batchwrap.eval.task_kinds import TASKS

    return list(TASKS)


def models() -> list[str]:
    """The names of the models that are simulated."""
    from batchwrap.eval.simulated import MODELS

    return list(MODELS)
