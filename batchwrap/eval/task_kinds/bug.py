"""The task to fix the one mistake in a small package whose tests fail."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

from batchwrap.demo.project_tests import run_tests
from batchwrap.eval.task_kinds.task import Files, Kind, Task, differences, text_in
from batchwrap.lab import Call
from batchwrap.lab.transcript import calls_of, flat

_OPENING = "The tests of the package shelf fail, because of a mistake in one of its modules."
_PROMPT = """\
{opening} Find
it and put it right. The tests in the folder tests are right and stay as they are, as do the other
modules. Run the tests when you are done; they have to pass.
"""
RIGHT = {
    "shelf/__init__.py": '"""Books on a shelf."""\n',
    "shelf/pages.py": '''\
"""Pages of a list."""


def pages(count: int, size: int) -> int:
    """How many pages so many books need."""
    return (count + size - 1) // size


def first(page: int, size: int) -> int:
    """The first book of a page; both are counted from 1."""
    return (page - 1) * size + 1
''',
    "shelf/prices.py": '''\
"""What books cost, in cents."""


def discounted(cents: int, percent: int) -> int:
    """The price less some percent, rounded down."""
    return cents * (100 - percent) // 100


def total(prices: list[int], free_from: int, shipping: int) -> int:
    """All prices and the shipping, which is free from a sum on."""
    goods = sum(prices)
    return goods if goods >= free_from else goods + shipping
''',
    "shelf/names.py": '''\
"""Names of authors."""


def sort_key(name: str) -> str:
    """Last name first, without regard to case."""
    *others, last = name.split()
    return " ".join([last, *others]).lower()


def initials(name: str) -> str:
    """The first letter of each part."""
    return "".join(part[0].upper() for part in name.replace("-", " ").split())
''',
}
_TESTS = {
    "tests/__init__.py": "",
    "tests/test_pages.py": """\
import unittest

from shelf.pages import first, pages


class Pages(unittest.TestCase):
    def test_pages(self) -> None:
        self.assertEqual([pages(n, 10) for n in (0, 1, 10, 11, 20)], [0, 1, 1, 2, 2])

    def test_first(self) -> None:
        self.assertEqual([first(n, 10) for n in (1, 2, 5)], [1, 11, 41])
""",
    "tests/test_prices.py": """\
import unittest

from shelf.prices import discounted, total


class Prices(unittest.TestCase):
    def test_discounted(self) -> None:
        self.assertEqual(discounted(999, 10), 899)
        self.assertEqual(discounted(1000, 0), 1000)

    def test_total(self) -> None:
        self.assertEqual(total([600, 400], 1000, 250), 1000)
        self.assertEqual(total([600, 399], 1000, 250), 1249)
""",
    "tests/test_names.py": """\
import unittest

from shelf.names import initials, sort_key


class Names(unittest.TestCase):
    def test_sort_key(self) -> None:
        self.assertEqual(sort_key("Ursula K. Le"), "le ursula k.")
        self.assertEqual(sort_key("Homer"), "homer")

    def test_initials(self) -> None:
        self.assertEqual(initials("Anna-Maria de Vries"), "AMDV")
""",
}
# The module, the right text, and the wrong text that replaces it. Each occurs once.
MISTAKES = (
    ("pages", "(count + size - 1) // size", "count // size + 1"),
    ("pages", "(page - 1) * size + 1", "page * size + 1"),
    ("prices", "goods >= free_from", "goods > free_from"),
    ("prices", "percent) // 100\n", "percent) // 100 + 1\n"),
    ("names", "*others]).lower()\n", "*others])\n"),
    ("names", 'in name.replace("-", " ").split()', "in name.split()"),
)


def _make(random: Random) -> Task:
    module, right, wrong = random.choice(MISTAKES)
    broken = f"shelf/{module}.py"
    files = {**RIGHT, **_TESTS, broken: RIGHT[broken].replace(right, wrong)}
    others = {path: text for path, text in files.items() if path != broken}

    def check(root: Path, _: str) -> str | None:
        problem = differences(root, others | {broken: text_in(root, broken)})
        return problem or (None if run_tests(root)[0] else "the tests fail")

    return Task(prompt=_PROMPT.format(opening=_OPENING), files=files, check=check, has_tests=True)


def _job(files: Files, request: dict[str, Any]) -> list[Call]:
    """The tests, a read of the module whose tests fail, and the edit.

    The script knows all possible mistakes, and finds out which one it is like an agent.
    """
    tests = Call("run_tests", {})
    made = flat(calls_of(request["messages"]))
    printed = next((call.result for call in made if call.name == tests.name and call.result), "")
    module = re.search(r"\(tests\.test_(\w+)", printed)
    if module is None:
        return [tests]
    path = f"shelf/{module[1]}.py"
    edits = [
        Call("edit_file", {"path": path, "old_string": wrong, "new_string": right})
        for named, right, wrong in MISTAKES
        if named == module[1] and wrong in files.get(path, "")
    ]
    return [tests, Call("read_file", {"path": path}), *edits]


KIND = Kind(
    name="bug",
    about="a mistake in one of 3 modules, with tests",
    opening=_OPENING,
    make=_make,
    job=_job,
)
