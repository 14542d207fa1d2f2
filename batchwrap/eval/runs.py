"""What one run came to, and the file of runs that an evaluation goes on from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from batchwrap.errors import ConfigError

# How a line of the file begins.
_START = b'{"setting": '

Ending = Literal["itself", "turns", "error", "stopped"]


class Cell(NamedTuple):
    """A place in the plan: one arm at one task, for the so-manieth time, from 1."""

    task: str
    arm: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the agent. Tokens are the provider's own numbers, seconds its seconds.

    Attributes:
        task: the task's name.
        arm: the arm's name.
        number: which of the runs of that task and arm, from 1.
        options: the arm's options.
        ended: how: the agent by ``"itself"``, after the most ``"turns"`` it may take, by an
            ``"error"`` of the endpoint, or ``"stopped"`` by a limit or the user.
        done: whether the checker found nothing wrong with the result.
        problem: what was wrong, or the error; None if nothing was.
        turns: answers that the agent got.
        round_trips: requests that the provider answered.
        prompt_tokens: tokens of the prompts; None if the provider did not say.
        completion_tokens: tokens of the output, the same.
        cached_tokens: prompt tokens from the provider's cache, the same.
        tool_calls: calls that the agent ran.
        tool_errors: how many of them failed.
        refusals: requests that were answered with status 429.
        failed_open: requests that were refused with what batchwrap added.
        multi_calls: multi-calls of the model.
        malformed: multi-calls that were not in the form that was asked for.
        items: single calls that they became.
        reminders: reminders that stood in requests, counted in each request again.
        wall_s: from the first request to the last answer.
        waiting_s: seconds of these in which no request was being served.
    """

    task: str
    arm: str
    number: int
    options: str
    ended: Ending
    done: bool
    problem: str | None
    turns: int = 0
    round_trips: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    tool_calls: int = 0
    tool_errors: int = 0
    refusals: int = 0
    failed_open: int = 0
    multi_calls: int = 0
    malformed: int = 0
    items: int = 0
    reminders: int = 0
    wall_s: float = 0.0
    waiting_s: float = 0.0

    @property
    def cell(self) -> Cell:
        """Its place in the plan."""
        return Cell(self.task, self.arm, self.number)

    @property
    def counts(self) -> bool:
        """Whether it is a result; a run that was stopped only cost tokens."""
        return self.ended != "stopped"

    @property
    def reached_nobody(self) -> bool:
        """Whether it failed before there was any answer: that says nothing about its arm."""
        return self.ended == "error" and self.turns == 0


class RunFile:
    """A file with a line of JSON for each run: its setting, versions and numbers.

    Runs of other settings may stand in it; they are left alone. A last line that was cut off in
    the middle is taken out; any other line that cannot be read is left where it is.

    Args:
        path: the file, made if need be; None keeps the runs in memory only.
        setting: what all runs of this evaluation have in common; ready for JSON.
        versions: of the programs; written down, not compared.

    Attributes:
        runs: the runs of this setting, those that were stopped included, in their order.
        notices: what was found to be odd, a sentence each.

    Raises:
        ConfigError: the file cannot be read or written, or is a file of something else.
    """

    def __init__(
        self, path: Path | None, setting: Mapping[str, Any], versions: Mapping[str, str]
    ) -> None:
        self._path, self._setting, self._versions = path, dict(setting), dict(versions)
        self.runs: list[Run] = []
        self.notices: list[str] = []
        try:
            if path is not None:
                self._load(path)
        except OSError as error:
            raise ConfigError("--out", str(error)) from error

    def add(self, run: Run) -> None:
        """Write a run down, so that it is on the disk when this returns."""
        line = {"setting": self._setting, "versions": self._versions, **asdict(run)}
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        self.runs.append(run)

    def _load(self, path: Path) -> None:
        with path.open("ab+") as file:  # an impossible path is known before anything is spent
            file.seek(0)
            whole, end, rest = file.read().rpartition(b"\n")
            lines = whole.split(b"\n") if end else []
            if rest and _read(rest) is not None:
                lines.append(rest)
                file.write(b"\n")
            elif _START.startswith(rest[: len(_START)]) and rest:
                self.notices.append("The last line was cut off in the middle: taken out.")
                file.truncate(len(whole + end))
            elif rest:
                lines.append(rest)
        if lines and all(_read(line) is None for line in lines):
            raise ConfigError("--out", f"{path} is a file of something else")
        self._take(lines)

    def _take(self, lines: Iterable[bytes]) -> None:
        broken, others = [], 0
        for number, line in enumerate(lines, 1):
            read = _read(line)
            if read is None:
                broken.append(str(number))
            elif read[0] == self._setting:
                self.runs.append(read[1])
            else:
                others += 1
        if broken:
            self.notices.append(f"Lines that are no run were passed over: {', '.join(broken)}.")
        if others:
            self.notices.append(f"{others} runs of other settings were left alone.")


def latest(runs: Iterable[Run]) -> dict[Cell, Run]:
    """The results by their place in the plan; of several runs of one place the last counts."""
    return {run.cell: run for run in runs if run.counts}


def _read(line: bytes) -> tuple[Any, Run] | None:
    """Setting and run of a line; None if it is none."""
    try:
        values = json.loads(line)
        known = {field.name: values[field.name] for field in fields(Run)}
        setting = values["setting"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    numbers = ("number", "turns", "round_trips", "wall_s")
    sound = all(isinstance(known[name], (int, float)) for name in numbers)
    return (setting, Run(**known)) if sound else None
