"""`Task` and `Kind`, and what the checkers of all tasks share."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from batchwrap.demo.project import list_of
from batchwrap.lab import Call
from batchwrap.lab.transcript import current_prompt

Files = dict[str, str]
# Gets the folder and the agent's last text; returns what is wrong, None if nothing is.
Check = Callable[[Path, str], str | None]

_NAMES = """
alder ash aspen beech birch cedar cherry elm fir hazel holly juniper larch linden maple oak pine
poplar rowan spruce walnut willow yew
"""
NAMES = _NAMES.split()
ASK_FOR_ANSWER = "End with a line of its own that says ANSWER: and then the {}, nothing else."

_ANSWER = re.compile(r"ANSWER:[\s*`]*([\w.,-]*\w)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One job on files for an agent.

    Attributes:
        prompt: the user's message.
        files: the texts of the folder's files before the run, by path.
        check: returns what is wrong with the result; None if nothing is.
        has_tests: whether the agent gets a tool that runs the tests in the folder.
    """

    prompt: str
    files: Mapping[str, str]
    check: Check
    has_tests: bool = False

    def create(self, root: Path) -> None:
        """Write the files into a folder."""
        for path, text in self.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8", newline="\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of task. Each seed makes a task with other files and another result.

    The lab's scripted model solves it with `job` and `final`. They know how the kind is solved, and
    take the data from what was read with tools.

    Attributes:
        name: its name.
        about: a description in one line.
        opening: the beginning of its prompt, which no other kind has.
        make: makes a task from a source of randomness.
        job: the calls that a scripted model makes after it has read the files in the prompt.
        final: the last text of a scripted model, given the files that were read.
        program: the program that a scripted model writes for a request, where scripts are offered;
            None: it makes calls there, too.
        afterwards: the calls that follow the program.
    """

    name: str
    about: str
    opening: str
    make: Callable[[Random], Task]
    job: Callable[[Files, dict[str, Any]], list[Call]]
    final: Callable[[Files], str] = lambda _: "It is done."
    program: Callable[[dict[str, Any]], str] | None = None
    afterwards: tuple[Call, ...] = ()


def differences(root: Path, expected: Mapping[str, str]) -> str | None:
    """The first difference between a folder and what it should contain; None if there is none.

    Args:
        root: the folder.
        expected: the texts of all files that should be in it, by path.
    """
    found = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    for path, text in expected.items():
        if path not in found:
            return f"{path} is missing"
        if found.pop(path).read_bytes() != text.encode():
            return f"{path} is not what it should be"
    return f"{min(found)} should not be there" if found else None


def text_in(root: Path, path: str) -> str:
    """The text of a file; empty if it does not exist."""
    file = root / path
    return file.read_bytes().decode(errors="replace") if file.is_file() else ""


def answer_is(text: str, wanted: str) -> str | None:
    """What is wrong with an agent's answer; None if nothing is. The last ANSWER line counts."""
    answers = _ANSWER.findall(text)
    if not answers:
        return "there is no line with ANSWER:"
    given = answers[-1].replace(",", "")
    return None if given == wanted else f"the answer is {given} and should be {wanted}"


def listed(paths: list[str]) -> str:
    """Paths for a prompt, one a line."""
    return "\n".join(f"- {path}" for path in paths)


def reading(request: dict[str, Any]) -> str:
    """The beginning of a program: it reads the files that a prompt lists into `texts`."""
    reads = "texts = await asyncio.gather(*[read_file(path=path) for path in paths])\n"
    return listing(request) + reads


def listing(request: dict[str, Any]) -> str:
    """The line of a program that sets `paths` to the files that a prompt lists."""
    paths = re.findall(r"^- (\S+)$", current_prompt(request["messages"]), re.MULTILINE)
    return list_of(paths)
