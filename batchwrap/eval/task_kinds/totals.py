"""The task to read six tables and write a small file for each."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

from batchwrap.eval.task_kinds.task import (
    NAMES,
    Files,
    Kind,
    Task,
    differences,
    listed,
    reading,
    text_in,
)
from batchwrap.lab import Call

_OPENING = "Add up the column pieces in each of these tables:"
_PROMPT = """\
{opening}

{files}

For each of them write a new file into the folder totals, with the same name but the suffix
".txt", that holds the sum and nothing else. The tables stay as they are.
"""


def _make(random: Random) -> Task:
    files, sums = {}, {}
    for name in random.sample(NAMES, 6):
        pieces = [random.randint(1, 60) for _ in range(8)]
        rows = [
            f"{name}-{at},{count},{random.randint(100, 999)}" for at, count in enumerate(pieces)
        ]
        files[f"tables/{name}.csv"] = "\n".join(["item,pieces,price_cents", *rows, ""])
        sums[f"totals/{name}.txt"] = str(sum(pieces))

    def check(root: Path, _: str) -> str | None:
        written = {path: text_in(root, path) for path in sums}
        wrong = [path for path, text in written.items() if text.strip() != sums[path]]
        return f"{wrong[0]} does not hold the sum" if wrong else differences(root, files | written)

    prompt = _PROMPT.format(opening=_OPENING, files=listed(list(files)))
    return Task(prompt=prompt, files=files, check=check)


def _job(files: Files, _: dict[str, Any]) -> list[Call]:
    return [
        Call("write_file", {"path": f"totals/{Path(path).stem}.txt", "content": f"{_sum(text)}\n"})
        for path, text in files.items()
    ]


def _sum(table: str) -> int:
    return sum(int(row[1]) for row in re.finditer(r"^[\w-]+,(\d+),\d+$", table, re.MULTILINE))


_WRITE = """\
for path, text in zip(paths, texts):
    total = sum(int(row.split(",")[1]) for row in text.splitlines()[1:])
    name = path.split("/")[-1].replace(".csv", ".txt")
    await write_file(path=f"totals/{name}", content=f"{total}\\n")
print("I have written", len(paths), "sums.")
"""


KIND = Kind(
    name="totals",
    about="6 tables read, 6 files written",
    opening=_OPENING,
    make=_make,
    job=_job,
    program=lambda request: reading(request) + _WRITE,
)
