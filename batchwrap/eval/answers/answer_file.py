"""One answer of the model, and the JSON file with the answers of an evaluation.

The file is written anew after each answer, so an evaluation can be continued, and can be handed
back as it is: it has the model, the endpoint without its secrets, the date and the versions, and no
text of any answer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from batchwrap.errors import ConfigError
from batchwrap.eval.answers.situations import KINDS, Kind

SCHEMA = "batchwrap.answers/1"


class AnswerPlace(NamedTuple):
    """A place in the plan: a situation, an arm, and the number of the run, from 1."""

    kind: Kind
    situation: str
    arm: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAnswer:
    """What the model did in a situation.

    Attributes:
        kind: the kind of situation.
        situation: its name.
        arm: the arm's name.
        number: the number of the run, from 1.
        options: the arm's options.
        lapses: the turns with one call each that came before.
        wanted: the files for which the model could have called the tool at once.
        called: those of them for which it did, in this answer.
        calls: all calls of the answer, as the agent gets them.
        multi_calls: the multi-calls among those that the model made.
        malformed: the multi-calls that were malformed.
        reminders: the reminders in the request.
        prompt_tokens: the tokens of the prompt; 0 if the provider reports none.
        completion_tokens: the tokens of the output; 0 if the provider reports none.
        error: the provider's error in one line; None if there was an answer.
    """

    kind: Kind
    situation: str
    arm: str
    number: int
    options: str
    lapses: int
    wanted: int
    called: int = 0
    calls: int = 0
    multi_calls: int = 0
    malformed: int = 0
    reminders: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str | None = None

    @property
    def place(self) -> AnswerPlace:
        """Its place in the plan."""
        return AnswerPlace(self.kind, self.situation, self.arm, self.number)

    @property
    def is_eligible(self) -> bool:
        """Whether the model called the tool at all, so that it could have made a batch."""
        return self.called > 0

    @property
    def is_batch(self) -> bool:
        """Whether it called the tool for several of the files in this one answer."""
        return self.called > 1

    @property
    def is_complete(self) -> bool:
        """Whether it called the tool for all of the files in this one answer."""
        return self.called == self.wanted


class AnswerFile:
    """The answers of an evaluation, in memory and in a file.

    Args:
        path: the file, created with the first answer; None keeps the answers only in memory.
        setting: the options that all answers have in common, as JSON values.
        about: what is recorded but not compared: the date, the versions.

    Attributes:
        answers: the answers in their order.

    Raises:
        ConfigError: the file cannot be read, is something else, or has another setting.
    """

    def __init__(
        self, path: Path | None, setting: Mapping[str, Any], about: Mapping[str, Any]
    ) -> None:
        self._path, self._setting, self._about = path, dict(setting), dict(about)
        self.answers: list[ModelAnswer] = []
        if path is not None and path.exists() and path.stat().st_size:
            setting, self._about, self.answers = read(path)
            self._compare(setting)

    def add(self, answer: ModelAnswer) -> None:
        """Add an answer. When this returns, it is on the disk."""
        self.answers.append(answer)
        if self._path is None:
            return
        text = json.dumps(self.as_dict(), indent=1) + "\n"
        beside = self._path.with_name(self._path.name + ".new")
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            # An answer has cost money, so it must survive a crash of the machine.
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)

    def as_dict(self) -> dict[str, Any]:
        """The contents of the file."""
        answers = [asdict(answer) for answer in self.answers]
        return {"schema": SCHEMA, **self._about, "setting": self._setting, "answers": answers}

    def _compare(self, setting: Mapping[str, Any]) -> None:
        for name, value in self._setting.items():
            if setting.get(name) != value:
                raise ConfigError(
                    "--out",
                    f"{self._path} has answers with {name} {setting.get(name)!r}, not {value!r};"
                    " name another file",
                )


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any], list[ModelAnswer]]:
    """The setting, what else is recorded, and the answers of a file.

    Raises:
        ConfigError: the file cannot be read, or contains something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("schema") != SCHEMA:
            raise ValueError
        setting, answers = (
            dict(values.pop("setting")),
            [_answer(it) for it in values.pop("answers")],
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        said = error.strerror if isinstance(error, OSError) else f"it is no {SCHEMA}"
        raise ConfigError("--out", f"{path} cannot be read: {said}; name another file") from error
    return setting, values, answers


def latest(answers: Iterable[ModelAnswer]) -> dict[AnswerPlace, ModelAnswer]:
    """The answers by their place in the plan; the last of several counts."""
    return {answer.place: answer for answer in answers}


def _answer(values: Mapping[str, Any]) -> ModelAnswer:
    """An answer of the file.

    Raises:
        KeyError: a field is missing.
        ValueError: a field has another type.
    """
    known = {field.name: values[field.name] for field in fields(ModelAnswer)}
    texts: Sequence[str] = ("situation", "arm", "options")
    others = {name for name in known if name not in (*texts, "kind", "error")}
    sound = all(isinstance(known[name], str) for name in texts) and known["kind"] in KINDS
    if not sound or not all(isinstance(known[name], int) for name in others):
        raise ValueError
    return ModelAnswer(**known)
