"""The task to put the same two lines at the top of eight files."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

from batchwrap.eval.task_kinds.task import NAMES, Files, Kind, Task, differences, listed, reading
from batchwrap.lab import Call
from batchwrap.lab.transcript import current_prompt

_OPENING = "Put a header at the top of each of these files:"
_PROMPT = """\
{opening}

{files}

The header is these two lines, to the letter, with nothing between them and what is the first line
of the file now:

{header}
Change nothing else.
"""
_HEADER = """\
# Copyright {year} The {name} authors
# SPDX-License-Identifier: MIT
"""
_SOURCE = '''\
"""What there is to know about the {name}."""

HEIGHT_M = {height}


def age(rings: int) -> int:
    """Years that a {name} with so many rings has seen."""
    return rings + {extra}
'''


def _make(random: Random) -> Task:
    header = _HEADER.format(year=random.randint(2001, 2026), name=random.choice(NAMES).title())
    files = {
        f"trees/{name}.py": _SOURCE.format(
            name=name, height=random.randint(3, 60), extra=random.randint(0, 4)
        )
        for name in random.sample(NAMES, 8)
    }
    wanted = {path: header + text for path, text in files.items()}
    return Task(
        prompt=_PROMPT.format(opening=_OPENING, files=listed(list(files)), header=header),
        files=files,
        check=lambda root, _: differences(root, wanted),
    )


def _header_in(request: dict[str, Any]) -> str:
    header = re.search(r"(?m)^# Copyright .*\n# SPDX.*\n", current_prompt(request["messages"]))
    return header[0] if header else ""


def _job(files: Files, request: dict[str, Any]) -> list[Call]:
    """An edit of the first line of each file, as it was when it was first read."""
    top = _header_in(request)
    firsts = {path: text.partition("\n")[0] for path, text in files.items()}
    return [
        Call("edit_file", {"path": path, "old_string": first, "new_string": top + first})
        for path, first in firsts.items()
    ]


_EDIT = """\
for path, text in zip(paths, texts):
    first = text.split("\\n")[0]
    await edit_file(path=path, old_string=first, new_string=top + first)
print("The header stands in", len(paths), "files.")
"""


def _program(request: dict[str, Any]) -> str:
    return f"top = {json.dumps(_header_in(request))}\n{reading(request)}{_EDIT}"


KIND = Kind(
    name="header",
    about="the same two lines at the top of 8 files",
    opening=_OPENING,
    make=_make,
    job=_job,
    program=_program,
)
