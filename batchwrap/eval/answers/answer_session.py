"""Asks the model in each situation of a plan, with the client of each arm."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import batchwrap
from batchwrap.demo import sdk
from batchwrap.demo.guarded_run import in_one_line
from batchwrap.demo.prompt import system_prompt
from batchwrap.eval.agent_toolbox import AgentToolbox
from batchwrap.eval.answers.answer_file import AnswerFile, AnswerPlace, ModelAnswer, latest
from batchwrap.eval.answers.situations import Kind, Situation, situations
from batchwrap.eval.arms import Arm
from batchwrap.eval.eval_session import SessionOutcome
from batchwrap.eval.token_budget import BudgetSpent, TokenBudget, TokensUsed
from batchwrap.eval.trial import ModelEndpoint
from batchwrap.tools import Workspace

# Enough for five edits. A model that has begun to talk is cut off, since its calls are what counts.
MOST_TOKENS = 512
# Statuses that refuse this request, and perhaps not the next one.
_REFUSES = (400, 413, 422, 500)
_EXPECTED = TokensUsed(3_000, MOST_TOKENS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerPlan:
    """The answers of an evaluation.

    Attributes:
        arms: the arms for each kind of situation.
        runs: the number of runs, each with other files.
        seed: the seed for the files.
        lapses: only situations after so many turns with one call each; all if it is empty.
    """

    arms: Mapping[Kind, Sequence[Arm]]
    runs: int = 1
    seed: int = 0
    lapses: Sequence[int] = ()

    def asked(self) -> list[tuple[Situation, Arm, int]]:
        """Every situation for every arm. An arm has all of its situations of a kind together.

        So a server with one prompt cache computes the tools of each arm only once.
        """
        asked = []
        for number in range(1, self.runs + 1):
            for kind, arms in self.arms.items():
                made = [
                    situation
                    for situation in situations(kind, number, self.seed)
                    if not self.lapses or situation.lapses in self.lapses
                ]
                for arm in arms:
                    asked += [(situation, arm, number) for situation in made]
        return asked

    def missing(
        self, answers: Sequence[ModelAnswer], *, again: bool = False
    ) -> list[tuple[Situation, Arm, int]]:
        """What has no answer yet; with `again`, also what the provider has refused."""
        there = {
            (*place, answer.options)
            for place, answer in latest(answers).items()
            if not (again and answer.error)
        }
        return [
            (situation, arm, number)
            for situation, arm, number in self.asked()
            if (*_place(situation, arm, number), arm.options) not in there
        ]


def _place(situation: Situation, arm: Arm, number: int) -> AnswerPlace:
    return AnswerPlace(situation.kind, situation.name, arm.name, number)


def ask_all(
    plan: AnswerPlan,
    endpoint: ModelEndpoint,
    file: AnswerFile,
    *,
    budget: TokenBudget,
    again: bool = False,
    told: Callable[[ModelAnswer], None] = lambda _: None,
) -> SessionOutcome:
    """Ask what is missing of a plan, one request after the other.

    Args:
        plan: the plan.
        endpoint: the model's.
        file: gets each answer when it is there.
        budget: the limits of tokens and cost.
        again: ask again what the provider has refused.
        told: called with each answer.

    Returns:
        How the session ended.

    Raises:
        ConfigError: the options of an arm, or the limits, are wrong.
        MissingExtraError: openai is not installed.
    """
    for at, old in enumerate(file.answers):
        budget.settle(("file", at), TokensUsed(old.prompt_tokens, old.completion_tokens))
    tools = AgentToolbox(Workspace("."), has_tests=False).schemas()
    try:
        for situation, arm, number in plan.missing(file.answers, again=again):
            budget.hold("next", _EXPECTED)
            answer = ask(situation, arm, number, endpoint, tools)
            budget.settle("next", TokensUsed(answer.prompt_tokens, answer.completion_tokens))
            file.add(answer)
            told(answer)
    except BudgetSpent as spent:
        return SessionOutcome(limit=str(spent))
    except KeyboardInterrupt:
        return SessionOutcome(interrupted=True)
    except EndpointFailed as failed:
        return SessionOutcome(failed=str(failed))
    return SessionOutcome()


class EndpointFailed(Exception):
    """The endpoint did not answer, and would not answer the next request either."""


def ask(
    situation: Situation,
    arm: Arm,
    number: int,
    endpoint: ModelEndpoint,
    tools: Sequence[dict[str, Any]],
) -> ModelAnswer:
    """Ask the model once, with a client of its own.

    Args:
        situation: the conversation.
        arm: wraps the client.
        number: the number of the run.
        endpoint: the model's.
        tools: the agent's tools.

    Raises:
        EndpointFailed: there was no answer.
    """
    with sdk.client(endpoint.base_url, endpoint.api_key, **endpoint.http_options) as plain:
        client = arm.wrap(plain, limits=endpoint.limits, on_event=lambda _: None)
        calls, error = _calls(client, situation, endpoint, tools)
        stats = batchwrap.stats(client)
    given = {
        posixpath.normpath(path.removeprefix("@")).lstrip("/")
        for path in (_path(given) for name, given in calls if name == situation.tool)
        if path
    }
    return ModelAnswer(
        kind=situation.kind,
        situation=situation.name,
        arm=arm.name,
        number=number,
        options=arm.options,
        lapses=situation.lapses,
        wanted=len(situation.wanted),
        called=len(given & set(situation.wanted)),
        calls=len(calls),
        multi_calls=stats.multi_calls,
        malformed=sum(sum(counts.values()) for counts in stats.malformed.values()),
        reminders=stats.reminders,
        prompt_tokens=stats.prompt_tokens,
        completion_tokens=stats.completion_tokens,
        error=error,
    )


def _calls(
    client: Any, situation: Situation, endpoint: ModelEndpoint, tools: Sequence[dict[str, Any]]
) -> tuple[list[tuple[str, str]], str | None]:
    """The names and arguments of the calls in the model's answer, or its error in one line."""
    system = {"role": "system", "content": system_prompt(endpoint.system_tokens)}
    try:
        answer = client.chat.completions.create(
            model=endpoint.model,
            messages=[system, *situation.messages],
            tools=tools,
            temperature=0,
            seed=endpoint.seed,
            max_tokens=MOST_TOKENS,
        )
        calls = answer.choices[0].message.tool_calls or []
        return [(call.function.name, call.function.arguments) for call in calls], None
    except sdk.failures() as error:
        said = endpoint.without_key(in_one_line(error))
        status = getattr(error, "status_code", None)
        if status is None:
            said = (
                f"nothing answers at {endpoint.base_url} ({said}): start it, or correct the address"
            )
        if status not in _REFUSES:
            raise EndpointFailed(said) from error
        return [], said
    except (AttributeError, IndexError, TypeError) as error:
        raise EndpointFailed(f"the answer is no chat completion ({error})") from error


def _path(arguments: str) -> str | None:
    try:
        path = json.loads(arguments)["path"]
    except (ValueError, TypeError, KeyError):
        return None
    return path if isinstance(path, str) else None
