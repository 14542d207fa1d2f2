"""The control task: seven notes, each of which leads to the next one, so no batch can help."""

from __future__ import annotations

import re
from itertools import pairwise
from random import Random
from typing import Any

from batchwrap.eval.task_kinds.task import (
    ASK_FOR_ANSWER,
    NAMES,
    Files,
    Kind,
    Task,
    answer_is,
    differences,
)
from batchwrap.lab import Call
from batchwrap.lab.transcript import current_prompt

_OPENING = "The folder notes holds many notes, and a trail leads through some of them."
_PROMPT = """\
{opening} It begins
with notes/{first}.txt. Each note on it tells how to work out the number of the next one. The last
one has a password. Which? Change nothing. {ask}
"""
# The next number has to be computed, so that read-ahead cannot know the path either.
_NOTE = "Add {step} to the number of this note: that is the number of the next.\n"
_LAST = "The password is {password}.\n"
_ON_THE_TRAIL = 7


def _make(random: Random) -> Task:
    numbers = sorted(random.sample(range(100, 999), 40))
    trail = sorted(random.sample(numbers, _ON_THE_TRAIL))
    password = "-".join(random.sample(NAMES, 3))
    steps = {here: following - here for here, following in pairwise(trail)}
    files = {
        f"notes/{number}.txt": _LAST.format(password=password)
        if number == trail[-1]
        else _NOTE.format(step=steps.get(number, random.randint(1, 400)))
        for number in numbers
    }
    ask = ASK_FOR_ANSWER.format("password")
    return Task(
        prompt=_PROMPT.format(opening=_OPENING, first=trail[0], ask=ask),
        files=files,
        check=lambda root, text: differences(root, files) or answer_is(text, password),
    )


def _job(files: Files, _: dict[str, Any]) -> list[Call]:
    calls = []
    for path, text in files.items():
        number, step = re.search(r"\d+", path), re.search(r"Add (\d+) to", text)
        if number and step:
            following = f"notes/{int(number[0]) + int(step[1])}.txt"
            calls.append(Call("read_file", {"path": following}))
    return calls


def _final(files: Files) -> str:
    found = re.search(r"password is ([\w-]+)", "\n".join(files.values()))
    return f"I followed the trail.\nANSWER: {found[1] if found else 'unknown'}"


_PROGRAM = """\
number = {first}
while True:
    text = await read_file(path=f"notes/{number}.txt")
    step = re.search(r"Add (\\d+) to", text)
    if not step:
        break
    number += int(step.group(1))
password = re.search(r"password is ([\\w-]+)", text).group(1)
print(f"I followed the trail.\\nANSWER: {password}")
"""


def _program(request: dict[str, Any]) -> str:
    first = re.search(r"notes/(\d+)\.txt", current_prompt(request["messages"]))
    return _PROGRAM.replace("{first}", first[1] if first else "0")


KIND = Kind(
    name="chain",
    about="the control: 7 files, each of which leads to the next",
    opening=_OPENING,
    make=_make,
    job=_job,
    final=_final,
    program=_program,
)
