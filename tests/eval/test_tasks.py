"""The tasks: solved by the scripts through tools, and not taken for solved where they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from threading import Event

import pytest

from batchwrap.demo.project import NEW_NAME, OLD_NAME, rename_calls, template
from batchwrap.demo.project_tests import run_tests
from batchwrap.eval.arms import arm
from batchwrap.eval.runs import Cell, Run
from batchwrap.eval.simulated import MODELS, solver
from batchwrap.eval.task_kinds import TASKS, Task, bug
from batchwrap.eval.task_kinds.task import answer_is, differences
from batchwrap.eval.token_budget import TokenBudget
from batchwrap.eval.trial import run_cell
from batchwrap.tools import Workspace
from tests.eval.helpers import endpoint_of, quick_lab


def made(name: str, folder: Path, seed: int = 0) -> Task:
    """A task, and its files in a folder."""
    task = TASKS[name].make(Random(seed))
    task.create(folder)
    return task


def runs_of(model: str, arm_text: str, *tasks: str) -> dict[str, Run]:
    with quick_lab(solver(MODELS[model])) as lab:
        return {
            task: run_cell(
                Cell(task, arm_text, 1), arm(arm_text), endpoint_of(lab), TokenBudget(), Event()
            )
            for task in tasks
        }


@pytest.mark.parametrize(
    ("model", "arm_text"),
    [
        pytest.param("never", "bare", marks=pytest.mark.thorough),
        ("forgets", "reminders"),
        pytest.param("never", "instead", marks=pytest.mark.thorough),
    ],
)
def test_the_scripts_solve_them(model: str, arm_text: str) -> None:
    """Every task can be done with the tools, one call at a time and in batches."""
    runs = runs_of(model, arm_text, *TASKS)
    assert {name: run.problem for name, run in runs.items()} == dict.fromkeys(TASKS)
    assert all(run.tool_errors == 0 for run in runs.values())


def test_batching_helps_all_but_the_control() -> None:
    """A model that batches needs fewer round trips for each task but the control."""
    tasks = ("answer", "header", "constant", "totals", "chain")
    bare, batched = runs_of("cooperates", "bare", *tasks), runs_of("cooperates", "offer", *tasks)
    fewer = [name for name in tasks if batched[name].round_trips < bare[name].round_trips / 2]
    assert fewer == ["answer", "header", "constant", "totals"]
    assert batched["chain"].round_trips == bare["chain"].round_trips == 8


def test_scripts_help_the_control_too() -> None:
    """A program does a task in one round trip before the last words, reads that depend or not."""
    pytest.importorskip("pydantic_monty")
    runs = runs_of("forgets", "scripts", *TASKS)
    assert {name: run.problem for name, run in runs.items()} == dict.fromkeys(TASKS)
    assert all(run.tool_errors == 0 for run in runs.values())
    round_trips = {name: run.round_trips for name, run in runs.items()}
    assert round_trips.pop("rename") == 3  # the tests are run outside of the program
    assert round_trips.pop("bug") == 4  # which needs to know first what they say
    assert set(round_trips.values()) == {2}


@pytest.mark.parametrize("name", TASKS)
def test_nothing_done_is_not_done(name: str, tmp_path: Path) -> None:
    """An agent that says that it is done has not done it."""
    assert made(name, tmp_path).check(tmp_path, "It is done.\nANSWER: 1") is not None


@pytest.mark.parametrize("name", TASKS)
def test_prompts_say_which_task_it_is(name: str) -> None:
    """A prompt begins with the opening of its own task, and no other opening stands in it."""
    prompt = TASKS[name].make(Random(0)).prompt
    assert prompt.startswith(TASKS[name].opening)
    assert [other for other, kind in TASKS.items() if kind.opening in prompt] == [name]


@pytest.mark.parametrize("name", [name for name in TASKS if name != "rename"])
def test_seeds(name: str) -> None:
    """One seed makes one task, others make others."""
    made = [TASKS[name].make(Random(seed)) for seed in range(12)]
    assert TASKS[name].make(Random(3)).files == made[3].files
    assert len({(it.prompt, *it.files.items()) for it in made}) > 1


def spoil(path: str, old: str, new: str) -> Callable[[Path], None]:
    """Changes one file."""

    def change(root: Path) -> None:
        file = root / path
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def rename(root: Path) -> None:
    """The whole job."""
    workspace = Workspace(root)
    for name, arguments in rename_calls(dict(template()), OLD_NAME, NEW_NAME):
        workspace.call(name, arguments)


@pytest.mark.parametrize(
    "also",
    [
        spoil("README.md", NEW_NAME, OLD_NAME),
        spoil("ledger/money.py", f"def {NEW_NAME}", f"def no_{NEW_NAME}"),
        lambda root: (root / "ledger/tax.py").unlink(),
    ],
)
def test_a_half_done_rename(also: Callable[[Path], None], tmp_path: Path) -> None:
    """One file that was missed, broken or lost is enough to fail."""
    task = made("rename", tmp_path)
    rename(tmp_path)
    assert task.check(tmp_path, "") is None
    also(tmp_path)
    assert task.check(tmp_path, "") is not None


def headed(root: Path, prompt: str) -> None:
    header = prompt[prompt.index("# Copyright") : prompt.index("\nChange nothing")]
    for path in root.rglob("*.py"):
        path.write_text(header + path.read_text(encoding="utf-8"), encoding="utf-8")


def test_a_header_that_is_not_quite_it(tmp_path: Path) -> None:
    """The lines have to stand in each file as they were given, and the rest as it was."""
    task = made("header", tmp_path)
    headed(tmp_path, task.prompt)
    assert task.check(tmp_path, "") is None
    one = next(iter(task.files))
    text = (tmp_path / one).read_text(encoding="utf-8")
    for wrong in (task.files[one], text.replace("MIT\n", "MIT\n\n"), text + "\n", text[2:]):
        (tmp_path / one).write_text(wrong, encoding="utf-8")
        assert task.check(tmp_path, "") == f"{one} is not what it should be"


def test_a_constant_that_is_changed_elsewhere(tmp_path: Path) -> None:
    """Changing every number behind the name is wrong, and so is changing too few."""
    task = made("constant", tmp_path)
    sets = [path for path, text in task.files.items() if "\nRETRY_LIMIT = " in text]
    assert len(sets) == 5
    new = task.prompt.partition("set it to ")[2].split()[0]
    for path in sets:
        old = task.files[path].partition("\nRETRY_LIMIT = ")[2].split()[0]
        spoil(path, f"\nRETRY_LIMIT = {old}\n", f"\nRETRY_LIMIT = {new}\n")(tmp_path)
    assert task.check(tmp_path, "") is None
    spoil(sets[0], "RETRY_LIMIT = 0 would", f"RETRY_LIMIT = {new} would")(tmp_path)
    assert task.check(tmp_path, "") == f"{sets[0]} is not what it should be"


def test_totals_that_are_wrong(tmp_path: Path) -> None:
    """Each sum has to be there and right; a line end behind it is no mistake."""
    task = made("totals", tmp_path)
    (tmp_path / "totals").mkdir()
    for path, text in task.files.items():
        total = sum(int(row.split(",")[1]) for row in text.splitlines()[1:])
        (tmp_path / f"totals/{Path(path).stem}.txt").write_text(f"{total}\n")
    assert task.check(tmp_path, "") is None
    last = tmp_path / f"totals/{Path(path).stem}.txt"
    last.write_text(str(total + 1))
    assert task.check(tmp_path, "") == f"totals/{last.name} does not hold the sum"
    last.unlink()
    assert task.check(tmp_path, "") is not None
    last.write_text(str(total))
    (tmp_path / path).write_text("spoilt")
    assert task.check(tmp_path, "") == f"{path} is not what it should be"


def test_each_mistake_fails_the_tests(tmp_path: Path) -> None:
    """The package is right without its mistakes; each is found once, and fails the tests."""
    right = dict(made("bug", tmp_path).files) | bug.RIGHT
    Task(prompt="", files=right, check=differences_of(right)).create(tmp_path)
    assert run_tests(tmp_path)[0]
    for module, good, bad in bug.MISTAKES:
        path = f"shelf/{module}.py"
        assert (right[path].count(good), right[path].count(bad)) == (1, 0)
        broken = right[path].replace(good, bad)
        assert broken.count(bad) == 1
        (tmp_path / path).write_text(broken, encoding="utf-8")
        assert not run_tests(tmp_path)[0]
        (tmp_path / path).write_text(right[path], encoding="utf-8")


def differences_of(files: dict[str, str]) -> Callable[[Path, str], str | None]:
    return lambda root, _: differences(root, files)


def test_a_bug_that_is_hidden(tmp_path: Path) -> None:
    """Mending the tests in place of the module, or another module along with it, is not done."""
    task = made("bug", tmp_path)
    broken = next(path for path, text in bug.RIGHT.items() if task.files[path] != text)
    (tmp_path / broken).write_text(bug.RIGHT[broken], encoding="utf-8")
    assert task.check(tmp_path, "") is None
    other = next(path for path in bug.RIGHT if path not in (broken, "shelf/__init__.py"))
    (tmp_path / other).write_text(bug.RIGHT[other] + "# better\n", encoding="utf-8")
    assert task.check(tmp_path, "") == f"{other} is not what it should be"
    task.create(tmp_path)
    for test in (tmp_path / "tests").glob("test_*.py"):
        test.write_text("")
    assert task.check(tmp_path, "") is not None
    assert task.check(tmp_path, "") != "the tests fail"


@pytest.mark.parametrize("name", ["answer", "chain"])
def test_a_question_with_a_side_effect(name: str, tmp_path: Path) -> None:
    """The right answer does not count if a file was changed, or one was added."""
    task = made(name, tmp_path)
    final = TASKS[name].final(dict(task.files))
    assert task.check(tmp_path, final) is None
    (tmp_path / "notes.txt").write_text("mine")
    assert task.check(tmp_path, final) == "notes.txt should not be there"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("ANSWER: 1234", True),
        ("It is so.\n\n**ANSWER:** 1,234\n", True),
        ("ANSWER: `1234`.", True),
        ("ANSWER: 99\nNo, wait.\nANSWER: 1234", True),
        ("ANSWER: 12345", False),
        ("The answer is 1234", False),
        ("ANSWER: 1234\nANSWER: 99", False),
        ("", False),
    ],
)
def test_answers(text: str, right: bool) -> None:
    """The last ANSWER line counts, in the ways in which models write it."""
    assert (answer_is(text, "1234") is None) is right
