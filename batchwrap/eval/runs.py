"""The result of one run, and the file of runs, from which an evaluation can be continued."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from batchwrap.errors import ConfigError

# The beginning of each line of the file, by which a line that was cut off is recognised.
_START = b'{"setting": '

Ending = Literal["itself", "turns", "error", "stopped"]


class Cell(NamedTuple):
    """A place in the plan: a task, an arm, and the number of the run, from 1."""

    task: str
    arm: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the agent. Tokens are those that the provider reports, times are provider time.

    Attributes:
        task: the task's name.
        arm: the arm's name.
        number: the number of the run of this task and arm, from 1.
        options: the arm's options.
        ended: how it ended: the agent by ``"itself"``, after the maximum of ``"turns"``, by an
            ``"error"`` of the endpoint, or ``"stopped"`` by a limit or the user.
        done: whether the checker accepted the result.
        problem: what was wrong with the result, or the error; None if nothing was.
        turns: the answers that the agent got.
        round_trips: the requests that the provider answered.
        prompt_tokens: the tokens of the prompts; None if the provider reports none.
        completion_tokens: the tokens of the output; None if the provider reports none.
        cached_tokens: the prompt tokens from the provider's cache; None if it reports none.
        tool_calls: the calls that the agent ran.
        tool_errors: the calls that failed.
        refusals: the requests that were answered with status 429.
        failed_open: the requests that were refused because of what batchwrap had changed.
        multi_calls: the model's multi-calls.
        malformed: the multi-calls that were malformed.
        items: the single calls that the multi-calls became.
        reminders: the reminders in all requests.
        wall_s: seconds from the first request to the last answer.
        waiting_s: the seconds of these in which no request was being served.
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
        """The place of the run in the plan."""
        return Cell(self.task, self.arm, self.number)

    @property
    def counts(self) -> bool:
        """Whether it is a result. A run that was stopped is none, but its tokens were spent."""
        return self.ended != "stopped"

    @property
    def reached_nobody(self) -> bool:
        """Whether it failed before any answer, which says nothing about its arm."""
        return self.ended == "error" and self.turns == 0


class RunFile:
    """A file with a line of JSON for each run: its setting, versions and numbers.

    The file may also contain runs of other settings, which are not changed. A last line that was
    cut off in the middle is removed; any other line that cannot be read is left in place.

    Args:
        path: the file, created if it does not exist; None keeps the runs only in memory.
        setting: the options that all runs of this evaluation have in common, as JSON values.
        versions: the versions of the programs, which are recorded but not compared.

    Attributes:
        runs: the runs of this setting in their order, including those that were stopped.
        notices: a sentence for each thing that was odd in the file.

    Raises:
        ConfigError: the file cannot be read or written, or contains something else.
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
        """Add a run to the file. When this returns, it is on the disk."""
        line = {"setting": self._setting, "versions": self._versions, **asdict(run)}
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                # A run has cost money, so it must survive a crash of the machine.
                file.flush()
                os.fsync(file.fileno())
        self.runs.append(run)

    def _load(self, path: Path) -> None:
        # Opened for writing, so that a wrong path is found before any token is spent.
        with path.open("ab+") as file:
            file.seek(0)
            whole, end, rest = file.read().rpartition(b"\n")
            lines = whole.split(b"\n") if end else []
            # The last line may lack only its line end, may be cut off, or may be no run at all.
            if rest and _read(rest) is not None:
                lines.append(rest)
                file.write(b"\n")
            elif _START.startswith(rest[: len(_START)]) and rest:
                self.notices.append("The last line was cut off in the middle and was removed.")
                file.truncate(len(whole + end))
            elif rest:
                lines.append(rest)
        if lines and all(_read(line) is None for line in lines):
            raise ConfigError("--out", f"{path} contains no runs of batchwrap eval; name another")
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
            self.notices.append(f"Lines that are no runs were skipped: {', '.join(broken)}.")
        if others:
            self.notices.append(f"{others} runs of other settings were skipped.")


def latest(runs: Iterable[Run]) -> dict[Cell, Run]:
    """The results by their place in the plan; the last of several runs of one place counts."""
    return {run.cell: run for run in runs if run.counts}


def _read(line: bytes) -> tuple[Any, Run] | None:
    """The setting and the run of a line; None if it is not a run."""
    try:
        values = json.loads(line)
        known = {field.name: values[field.name] for field in fields(Run)}
        setting = values["setting"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    numbers = ("number", "turns", "round_trips", "wall_s")
    sound = all(isinstance(known[name], (int, float)) for name in numbers)
    return (setting, Run(**known)) if sound else None
