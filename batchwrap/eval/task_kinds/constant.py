"""The task to find where a constant is set, among 14 files, and to change it only there."""

from __future__ import annotations

import re
from random import Random
from typing import Any

from batchwrap.eval.task_kinds.task import NAMES, Files, Kind, Task, differences
from batchwrap.lab import Call
from batchwrap.lab.transcript import calls_of, current_prompt, flat

_OPENING = "Some of the modules in the folder clients set a constant RETRY_LIMIT of their own."
_PROMPT = """\
{opening} Find
all of them, and set it to {new} in each. What it is now differs. Other constants stay as they
are, also those whose name contains that one, and so do modules that only use it.
"""
_SETS = """\
RETRY_LIMIT = {old}
RETRY_LIMIT_BYTES = {old}000
"""
_USES = """\
from clients.common import RETRY_LIMIT

RETRY_LIMIT_S = {old} * RETRY_LIMIT
"""
_MODULE = '''\
"""How the {name} service is asked."""

{constants}

def wait_s(attempt: int) -> int:
    """Seconds before an attempt; RETRY_LIMIT = 0 would mean none."""
    return {old} * attempt
'''
_SET = re.compile(r"^RETRY_LIMIT = (\d+)$", re.MULTILINE)


def _make(random: Random) -> Task:
    new = random.randint(20, 99)
    kinds = [_SETS] * 5 + [_USES] * 5 + ["DELAY_S = {old}\n"] * 4
    files, wanted = {}, {}
    for name, constants in zip(random.sample(NAMES, 14), kinds, strict=True):
        old = random.randint(2, 9)
        text = _MODULE.format(name=name, constants=constants.format(old=old), old=old)
        files[f"clients/{name}.py"] = text
        wanted[f"clients/{name}.py"] = _SET.sub(f"RETRY_LIMIT = {new}", text)
    return Task(
        prompt=_PROMPT.format(opening=_OPENING, new=new),
        files=files,
        check=lambda root, _: differences(root, wanted),
    )


def _job(files: Files, request: dict[str, Any]) -> list[Call]:
    """A search, then a read and an edit of each file that sets the constant."""
    search = Call("search_files", {"pattern": "RETRY_LIMIT = "})
    made = flat(calls_of(request["messages"]))
    found = next((call.result for call in made if call.name == search.name and call.result), "")
    paths = re.findall(r"^(\S+):\d+: RETRY_LIMIT = \d", found, re.MULTILINE)
    reads = [Call("read_file", {"path": path}) for path in paths]
    if not paths or not files.keys() >= set(paths):
        return [search, *reads]
    new = _new_in(request)
    return [search, *reads, *(_edit(path, files[path], new) for path in paths)]


def _new_in(request: dict[str, Any]) -> str:
    asked = re.search(r"set it to (\d+)", current_prompt(request["messages"]))
    return asked[1] if asked else ""


def _edit(path: str, text: str, new: str) -> Call:
    old = _SET.search(text)
    now = f"{old[0]}\n" if old else ""
    return Call(
        "edit_file",
        {"path": path, "old_string": now, "new_string": f"RETRY_LIMIT = {new}\n"},
    )


_PROGRAM = """\
hits = await search_files(pattern="RETRY_LIMIT = ")
paths = re.findall(r"(?m)^(\\S+):\\d+: RETRY_LIMIT = \\d", hits)
texts = await asyncio.gather(*[read_file(path=path) for path in paths])
for path, text in zip(paths, texts):
    old = re.search(r"(?m)^RETRY_LIMIT = \\d+$", text).group(0) + "\\n"
    await edit_file(path=path, old_string=old, new_string="RETRY_LIMIT = {new}\\n")
print("It is set in", len(paths), "modules.")
"""


def _program(request: dict[str, Any]) -> str:
    return _PROGRAM.replace("{new}", _new_in(request))


KIND = Kind(
    name="constant",
    about="a constant found with a search, and changed in 5 of 14 files",
    opening=_OPENING,
    make=_make,
    job=_job,
    program=_program,
)
