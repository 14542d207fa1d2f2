"""The conversations that a model is asked to continue, and the calls that it could make at once.

*First* answers: twelve prompts, each of which names two to five files, 36 in all. *Second* answers:
the model has read 2, 4 or 6 files one at a time, and two to four known ones are left. *Edits*: a
plan is made, its files are read, and the agent may begin to build.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, get_args

from batchwrap.eval.task_kinds.task import NAMES, listed

Kind = Literal["first", "second", "edits"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LAPSES = (2, 4, 6)  # turns with one call each, before a second answer
_LEFT = (2, 3, 4)  # known files that are left to be read then
_EDITED = (2, 3, 4, 5)

Message = dict[str, Any]

_PROMPTS = (
    "What is different between {0} and {1} in the way they read their settings?",
    "A test in {0} fails. It tests {1}. Find the reason.",
    "Does {0} still describe what {1} does? Name what is out of date.",
    "Move the function `load` from {0} to {1}.",
    "Compare @{0}, @{1} and @{2}: which of them has no error handling?",
    "The client needs a timeout. It is made in `{0}`, and used in `{1}` and `{2}`. Add it.",
    "Please review these files:\n\n- {0}\n- {1}\n- {2}",
    "I get this error. What is wrong?\n\nTraceback (most recent call last):\n"
    '  File "{0}", line 12, in main\n  File "{1}", line 40, in start\n'
    "  File \"{2}\", line 7, in load\nKeyError: 'port'",
    "Rename `fetch` to `load` in {0}, {1} and {2}.",
    "Say in one sentence each what `{0}`, `{1}`, `{2}` and `{3}` are for.",
    "The port is set in one of these files: {0}, {1}, {2}, {3}. In which one?",
    "The version must be the same in {0}, {1}, {2}, {3} and {4}. Which of them differ?",
)
_FOLDERS = ("src", "app", "lib/core", "tests", "services")
# What the lab's scripted model looks for, and what an edit of the plan replaces.
SERVICES = "services/"
BUILD = "Carry out the plan."
EDIT = {"old_string": "timeout_s = 30", "new_string": "timeout_s = 60"}
_CONF = "[place]\nregion = {region}\n\n[limits]\nconnections = {connections}\ntimeout_s = 30\n"
_REGIONS = ("north", "south", "east")


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A conversation that the model is asked to continue.

    Attributes:
        kind: the kind of situation.
        name: its name, one of its kind.
        lapses: the turns with one call each that the model has made before.
        messages: the conversation behind the system prompt, as chat messages.
        tool: the name of the single tool whose calls are wanted.
        wanted: the files for which it could be called in one answer.
    """

    kind: Kind
    name: str
    lapses: int = 0
    messages: Sequence[Message]
    tool: str = "read_file"
    wanted: Sequence[str]


def situations(kind: Kind, number: int, seed: int = 0) -> list[Situation]:
    """The situations of a kind. Each seed and number draws other files.

    Args:
        kind: the kind.
        number: the number of the run, from 1.
        seed: the seed of the evaluation.
    """
    random = Random(f"{seed}/{kind}/{number}")
    made: Mapping[Kind, Any] = {"first": _first, "second": _second, "edits": _edits}
    return list(made[kind](random))


def _first(random: Random) -> Iterator[Situation]:
    for at, prompt in enumerate(_PROMPTS, 1):
        count = next(number for number in range(5, 1, -1) if f"{{{number - 1}}}" in prompt)
        paths = _paths(random, count)
        said = [_user(prompt.format(*paths))]
        yield Situation(kind="first", name=f"prompt {at}", messages=said, wanted=paths)


def _second(random: Random) -> Iterator[Situation]:
    for lapses in LAPSES:
        for left in _LEFT:
            yield _lapsed(random, lapses, left, in_prompt=True)
            yield _lapsed(random, lapses, left, in_prompt=False)


def _lapsed(random: Random, lapses: int, left: int, *, in_prompt: bool) -> Situation:
    """A situation after single reads of files that the prompt, or the result of a list, names."""
    services = _services(random, lapses + left)
    paths = list(services)
    region = random.choice(_REGIONS)
    if in_prompt:
        said = [_user(f"Which of these services run in the region {region}?\n\n{listed(paths)}")]
    else:
        said = [_user(f"Which of the services in {SERVICES} run in the region {region}?")]
        said += _turn(0, "list_files", [({"pattern": f"{SERVICES}*"}, "\n".join(paths))])
    for number, path in enumerate(paths[:lapses], 1):
        said += _turn(number, "read_file", [({"path": path}, services[path])])
    place = "prompt" if in_prompt else "list"
    return Situation(
        kind="second",
        name=f"{place}, {lapses} read, {left} left",
        lapses=lapses,
        messages=said,
        wanted=paths[lapses:],
    )


def _edits(random: Random) -> Iterator[Situation]:
    for count in _EDITED:
        services = _services(random, count)
        asked = f"The timeout shall be 60 seconds in each of these:\n\n{listed(list(services))}"
        reads = [({"path": path}, text) for path, text in services.items()]
        plan = "Plan: replace `{old_string}` by `{new_string}` in all of them.".format(**EDIT)
        said = [
            _user(f"{asked}\n\nPlan mode is active: read, and make a plan. Change nothing yet."),
            *_turn(1, "read_file", reads),
            {"role": "assistant", "content": plan},
            _user(f"You have exited plan mode. {BUILD}"),
        ]
        paths = list(services)
        yield Situation(
            kind="edits", name=f"{count} files", messages=said, tool="edit_file", wanted=paths
        )


def _paths(random: Random, count: int) -> list[str]:
    folder = random.choice(_FOLDERS)
    return [f"{folder}/{name}.py" for name in random.sample(NAMES, count)]


def _services(random: Random, count: int) -> dict[str, str]:
    """The texts of some small files, by path."""
    return {
        f"{SERVICES}{name}.conf": _CONF.format(
            region=random.choice(_REGIONS), connections=random.randint(10, 99)
        )
        for name in random.sample(NAMES, count)
    }


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def _turn(number: int, tool: str, made: Sequence[tuple[dict[str, str], str]]) -> Iterator[Message]:
    """A turn of the model with its calls, and their results."""
    ids = [f"call_{number}_{at}" for at in range(len(made))]
    calls = [
        {
            "id": its_id,
            "type": "function",
            "function": {"name": tool, "arguments": json.dumps(arguments)},
        }
        for its_id, (arguments, _) in zip(ids, made, strict=True)
    ]
    yield {"role": "assistant", "content": None, "tool_calls": calls}
    for its_id, (_, result) in zip(ids, made, strict=True):
        yield {"role": "tool", "tool_call_id": its_id, "content": result}
