"""The task to read eight files that the prompt names, and answer a question about them."""

from __future__ import annotations

import re
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
    listed,
    reading,
)
from batchwrap.lab import Call

_OPENING = "Each of these files is about one service:"
_PROMPT = """\
{opening}

{files}

How many megabytes of memory do the services in the region north have together? Memory for a
cache does not count. Change nothing. {ask}
"""
_SERVICE = """\
# {name}: where it runs, and with how much
[place]
region = {region}
replicas = 1

[memory]
main_mb = {memory}
cache_mb = {cache}

[limits]
connections = {connections}
timeout_s = 30
"""
_REGIONS = ("north", "north", "south", "east", "west")


def _make(random: Random) -> Task:
    files, total = {}, 0
    for name in random.sample(NAMES, 8):
        region, memory = random.choice(_REGIONS), 64 * random.randint(2, 40)
        total += memory if region == "north" else 0
        files[f"services/{name}.conf"] = _SERVICE.format(
            name=name,
            region=region,
            memory=memory,
            cache=32 * random.randint(1, 9),
            connections=random.randint(10, 99),
        )
    ask = ASK_FOR_ANSWER.format("number")
    prompt = _PROMPT.format(opening=_OPENING, files=listed(list(files)), ask=ask)

    return Task(
        prompt=prompt,
        files=files,
        check=lambda root, text: differences(root, files) or answer_is(text, str(total)),
    )


def _job(_: Files, __: dict[str, Any]) -> list[Call]:
    return []


def _final(files: Files) -> str:
    north = [text for text in files.values() if "region = north\n" in text]
    found = [re.search(r"^main_mb = (\d+)$", text, re.MULTILINE) for text in north]
    return f"I have added them up.\nANSWER: {sum(int(match[1]) for match in found if match)}"


_ADD = """\
north = [text for text in texts if "region = north\\n" in text]
total = sum(int(re.search(r"main_mb = (\\d+)", text).group(1)) for text in north)
print(f"I have added them up.\\nANSWER: {total}")
"""


KIND = Kind(
    name="answer",
    about="a question about 8 files that the prompt names",
    opening=_OPENING,
    make=_make,
    job=_job,
    final=_final,
    program=lambda request: reading(request) + _ADD,
)
