"""The jobs of `benchmarks.scripts`: files, what is asked, and a program that does it.

Each job stands here once, as a program over the agent's tools; a scripted model does it in the
way that its arm offers (`script_models`). What is right follows from how the files were made, and
not from the program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from batchwrap.demo.project import (
    NEW_NAME,
    OLD_NAME,
    list_of,
    project_in,
    rename_program,
    template,
)
from batchwrap.eval.task_kinds.task import NAMES, differences

# Gets the folder and the model's last words; says what is wrong, None if nothing is.
Check = Callable[[Path, str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job on files.

    Attributes:
        name: what it is called in the tables.
        prompt: the user's message.
        files: path to text of what stands in the folder before.
        code: the program. What it prints is the answer.
        check: says what is wrong with the result, None if nothing is.
        then: tools that are called afterwards, each in a turn of its own.
        named: tools that programs may call beside those that are batchable.
        has_tests: whether the agent has a tool that runs the tests in the folder.
        searches: whether it has tools that search and list.
    """

    name: str
    prompt: str
    files: Mapping[str, str]
    code: str
    check: Check
    then: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    has_tests: bool = False
    searches: bool = True

    def create(self, root: Path) -> None:
        """Write the files into a folder."""
        for path, text in self.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8", newline="\n")


def jobs() -> list[Job]:
    """All six."""
    return [_demo(), _fix(), _authors(), _imports(), _rename(), _log()]


def _outcome(wanted: Mapping[str, str], answer: str) -> Check:
    """The files are these to the letter, and so are the last words."""

    def check(root: Path, text: str) -> str | None:
        wrong = None if text.strip() == answer else f"the answer is {text!r}, not {answer!r}"
        return differences(root, wanted) or wrong

    return check


def _demo() -> Job:
    project = project_in(Path())
    code = list_of(project.files) + rename_program(OLD_NAME, NEW_NAME)

    def check(root: Path, _: str) -> str | None:
        return None if project_in(root).renamed() else "it is not renamed everywhere"

    return Job(
        name="the demo's job",
        prompt=project.prompt,
        files=dict(template()),
        code=f'{code}print("renamed in", len(paths), "files")\n',
        check=check,
        then=("run_tests",),
        has_tests=True,
    )


_FIX_PROMPT = """\
Some modules in the folder services still wait for LEGACY_TIMEOUT. Find them, and let them wait for
30 seconds. Comments that mention the name stay. Tell how many you have changed.
"""
_FIX = """\
hits = await search_files(pattern="LEGACY_TIMEOUT")
paths = sorted({line.split(":")[0] for line in hits.splitlines()})
texts = await asyncio.gather(*[read_file(path=path) for path in paths])
old = "timeout_s = LEGACY_TIMEOUT"
wrong = [path for path, text in zip(paths, texts) if old in text]
await asyncio.gather(
    *[edit_file(path=path, old_string=old, new_string="timeout_s = 30") for path in wrong]
)
print("changed:", len(wrong))
"""
_SERVICE = '''\
"""How the {name} service is called."""

{about}

def call(request: str) -> str:
    """The answer to a request."""
    timeout_s = {timeout}
    return send("{name}", request, timeout_s)
'''


def _fix() -> Job:
    """30 files: 18 are wrong, 5 mention the name only, 7 have nothing to do with it."""
    about = ["", "# LEGACY_TIMEOUT was 5 here.\n", ""]
    timeout = ["LEGACY_TIMEOUT", "30", "10"]
    files, wanted = {}, {}
    for number in range(30):
        kind = 0 if number < 18 else 1 if number < 23 else 2
        name = f"{NAMES[number % len(NAMES)]}_{number}"
        text = _SERVICE.format(name=name, about=about[kind], timeout=timeout[kind])
        files[f"services/{name}.py"] = text
        wanted[f"services/{name}.py"] = text.replace("= LEGACY_TIMEOUT", "= 30")
    return Job(
        name="find and fix",
        prompt=_FIX_PROMPT,
        files=files,
        code=_FIX,
        check=_outcome(wanted, "changed: 18"),
    )


_AUTHORS_PROMPT = """\
The folder changes has the notes of 30 releases, a file for each. Count the changes by author, over
all of them. Answer with a line for each author, "name: count", in the order of the names.
"""
_AUTHORS = """\
paths = (await list_files(pattern="changes/*.md")).splitlines()
texts = await asyncio.gather(*[read_file(path=path) for path in paths])
counts = {}
for text in texts:
    for name in re.findall(r"\\(by (\\w+)\\)", text):
        counts[name] = counts.get(name, 0) + 1
for name in sorted(counts):
    print(f"{name}: {counts[name]}")
"""


def _authors() -> Job:
    files: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for release in range(30):
        lines = [f"# Release {release}", ""]
        for change in range(8 + release % 5):
            author = NAMES[(release * 7 + change * change) % 11]
            counts[author] += 1
            lines.append(f"- Change {release}.{change} of the parser and its tests (by {author})")
        files[f"changes/{release:02}.md"] = "\n".join([*lines, ""])
    return Job(
        name="count by author",
        prompt=_AUTHORS_PROMPT,
        files=files,
        code=_AUTHORS,
        check=_outcome(files, "\n".join(f"{name}: {n}" for name, n in sorted(counts.items()))),
    )


_IMPORTS_PROMPT = """\
Which modules are reached from app/main.py over at most three imports, and call eval? Only modules
of the package app count. Answer with their paths in order, one a line.
"""
_IMPORTS = """\
seen = {}
level = ["app/main.py"]
for depth in range(4):
    texts = await asyncio.gather(*[read_file(path=path) for path in level])
    seen.update(zip(level, texts))
    found = {f"app/{name}.py" for text in texts for name in re.findall(r"from app.(\\w+)", text)}
    level = sorted(found - set(seen))
for path in sorted(seen):
    if "eval(" in seen[path]:
        print(path)
"""
_MODULE = '''\
"""What the module {name} is for."""

{imports}

def {name}(text: str) -> object:
    """What it makes of a text."""
    return {call}(text)
'''


def _imports() -> Job:
    """A module imports three; from the fifth level on nobody is asked any more."""
    names = iter(f"{tree}_{kind}" for kind in ("input", "output") for tree in NAMES)
    levels = [["main"], *([next(names) for _ in range(size)] for size in (3, 9, 18, 5))]
    files = {}
    for depth, its_names in enumerate(levels):
        below = levels[depth + 1] if depth + 1 < len(levels) else []
        for place, name in enumerate(its_names):
            its = sorted({below[(3 * place + n) % len(below)] for n in range(3)}) if below else []
            imports = "".join(f"from app.{one} import {one}\n" for one in its)
            call = "eval" if (depth + place) % 4 == 3 else "str"
            files[f"app/{name}.py"] = _MODULE.format(name=name, imports=imports, call=call)
    reached = [name for level in levels[:4] for name in level]
    wanted = [path for name in reached if "eval(" in files[path := f"app/{name}.py"]]
    return Job(
        name="imports, three deep",
        prompt=_IMPORTS_PROMPT,
        files=files,
        code=_IMPORTS,
        check=_outcome(files, "\n".join(sorted(wanted))),
    )


_CHECKED_PROMPT = """\
Rename the function total_price to sum_of_prices wherever it stands. Other names that contain it
stay. When you are done, look whether the old name is left anywhere, and run the tests.
"""
_CHECKED = """\
hits = await search_files(pattern="total_price")
paths = sorted({line.split(":")[0] for line in hits.splitlines()})
%s
hits = await search_files(pattern="total_price")
left = [line for line in hits.splitlines() if re.search(r"\\btotal_price\\b", line)]
tests = await run_tests()
print("left:", len(left), "tests pass:", tests.rstrip().endswith("OK"))
"""
_SHOP = {
    "shop/__init__.py": "",
    "shop/prices.py": '''\
"""Prices in cents."""


def total_price(prices: list[int]) -> int:
    """All of them together."""
    return sum(prices)


def total_price_or_none(prices: list[int]) -> int | None:
    """None where there are none."""
    return total_price(prices) if prices else None
''',
    "tests/__init__.py": "",
}
_SHELF = '''\
"""The shelf with the {name} chairs."""

from shop.prices import total_price, total_price_or_none

PRICES = [{prices}]


def worth() -> int:
    """What all of them cost."""
    return total_price(PRICES)
'''
_SHELF_TEST = """\
import unittest

from shop import {name}
from shop.prices import total_price


class Worth(unittest.TestCase):
    def test_worth(self) -> None:
        self.assertEqual({name}.worth(), total_price([{prices}]))
"""


def _rename() -> Job:
    """14 files with the name, of which one has a longer one beside it that stays."""
    files = dict(_SHOP)
    for number, name in enumerate(NAMES[:8]):
        prices = ", ".join(str(100 * number + n) for n in range(3))
        files[f"shop/{name}.py"] = _SHELF.format(name=name, prices=prices)
        if number < 5:
            files[f"tests/test_{name}.py"] = _SHELF_TEST.format(name=name, prices=prices)
    kept = "total_price_or_none"
    wanted = {
        path: text.replace(kept, "KEPT").replace("total_price", "sum_of_prices")
        for path, text in files.items()
    }
    renaming = rename_program("total_price", "sum_of_prices")
    return Job(
        name="rename, with a check",
        prompt=_CHECKED_PROMPT,
        files=files,
        code=_CHECKED % renaming,
        check=_outcome(
            {path: text.replace("KEPT", kept) for path, text in wanted.items()},
            "left: 0 tests pass: True",
        ),
        named=("run_tests",),
        has_tests=True,
    )


_PART = 200
_LOG_PROMPT = f"""\
Read server.log in parts of {_PART} lines from its beginning, until you find the first line with
FATAL. Which request had begun last before it? Answer with its number alone.
"""
_LOG = f"""\
request = None
for part in range(40):
    text = await read_file(path="server.log", offset=1 + {_PART} * part, limit={_PART})
    for line in text.splitlines():
        if begun := re.search(r"begin request (\\d+)", line):
            request = begun.group(1)
        if "FATAL" in line:
            break
    if "FATAL" in text:
        break
print(request)
"""


def _log() -> Job:
    fatal, lines = 21 * _PART + 57, list(_log_lines())
    begun = max(number for number in range(fatal) if "begin" in lines[number])
    lines[fatal] = f"{_time(fatal)} FATAL worker 3 has gone"
    return Job(
        name="a log, in parts",
        prompt=_LOG_PROMPT,
        files=(files := {"server.log": "\n".join([*lines, ""])}),
        code=_LOG,
        check=_outcome(files, lines[begun].rpartition(" ")[2]),
        searches=False,
    )


def _log_lines() -> Iterator[str]:
    for number in range(6_000):
        what = f"begin request {70_000 + number}" if number % 7 == 2 else f"step {number % 13} done"
        yield f"{_time(number)} INFO {what}"


def _time(number: int) -> str:
    return f"09:{number // 60 % 60:02}:{number % 60:02}"
