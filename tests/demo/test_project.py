"""The demo's project, the job in it, and the edits that do the job."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.demo.project import NEW_NAME, OLD_NAME, Project, create, rename_calls
from batchwrap.tools import Workspace

FILES = [
    "README.md",
    "ledger/__init__.py",
    "ledger/cli.py",
    "ledger/discounts.py",
    "ledger/importer.py",
    "ledger/invoice.py",
    "ledger/journal.py",
    "ledger/money.py",
    "ledger/statement.py",
    "ledger/tax.py",
    "tests/test_invoice.py",
    "tests/test_journal.py",
    "tests/test_money.py",
]

# One of each kind.
FEW = ("README.md", "ledger/money.py", "tests/test_money.py")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return create(tmp_path / "new" / "project")


def rename(project: Project, *, but: str = "") -> None:
    """Do the job with the tools of an agent, in all files but one."""
    workspace = Workspace(project.root)
    sources = {path: workspace.read_file(path) for path in project.files if path != but}
    for tool, arguments in rename_calls(sources, project.old_name, project.new_name):
        assert workspace.call(tool, arguments).startswith("Replaced ")


def test_the_prompt_names_every_file_that_mentions_the_function(project: Project) -> None:
    """Nobody has to search: the files of the prompt are all that there are."""
    mention = [
        path
        for path in Workspace(project.root).list_files()
        if re.search(rf"\b{OLD_NAME}\b", (project.root / path).read_text(encoding="utf-8"))
    ]
    assert mention == list(project.files) == FILES
    assert all(f"- {path}\n" in project.prompt for path in project.files)
    assert OLD_NAME in project.prompt
    assert NEW_NAME in project.prompt


def test_a_new_project_passes_its_tests_and_is_not_renamed(project: Project) -> None:
    """The job starts from a project that works."""
    passed, output = project.run_tests()
    assert passed, output
    assert not project.renamed()


def test_running_the_tests_leaves_nothing_behind(project: Project) -> None:
    """No caches turn up among the files of the project."""
    before = Workspace(project.root).list_files()
    project.run_tests()
    assert Workspace(project.root).list_files() == before


def test_the_whole_job_is_recognised(project: Project) -> None:
    """With every file edited the tests pass and the project counts as renamed."""
    rename(project)
    assert project.run_tests()[0]
    assert project.renamed()


@pytest.mark.parametrize(
    "left_out",
    [pytest.param(file, marks=() if file in FEW else pytest.mark.thorough) for file in FILES],
)
def test_a_half_done_job_fails_the_tests(project: Project, left_out: str) -> None:
    """One file that was forgotten, whichever, is enough."""
    rename(project, but=left_out)
    assert not project.run_tests()[0]
    assert not project.renamed()


def test_a_blunt_rename_is_not_the_job(project: Project) -> None:
    """Renaming longer names along with it passes the tests, but is not what was asked for."""
    for path in project.files:
        file = project.root / path
        blunt = file.read_text(encoding="utf-8").replace(OLD_NAME, NEW_NAME)
        file.write_text(blunt, encoding="utf-8")
    assert project.run_tests()[0]
    assert not project.renamed()


def test_an_alias_left_behind_is_not_the_job(project: Project) -> None:
    """The old name may not live on beside the new one."""
    rename(project)
    with (project.root / "ledger/money.py").open("a", encoding="utf-8") as file:
        file.write(f"\n\n{OLD_NAME} = {NEW_NAME}\n")
    assert not project.renamed()


def test_a_file_that_was_deleted_is_not_the_job(project: Project) -> None:
    """Removing a file is no way to get rid of the name."""
    rename(project)
    (project.root / "README.md").unlink()
    assert not project.renamed()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """Nobody's files are overwritten."""
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_one_edit_is_enough_where_the_name_stands_alone() -> None:
    """A file without longer names takes a single call; one without the name takes none."""
    files = {"a.py": "f = get\nget(f)\n", "b.py": "getter\n"}
    assert rename_calls(files, "get", "fetch") == [
        (
            "edit_file",
            {"path": "a.py", "old_string": "get", "new_string": "fetch", "replace_all": True},
        )
    ]


IDENTIFIERS = st.sampled_from(["get", "get_all", "forget", "_get", "getter", "get2", "x"])
SOURCES = st.lists(st.tuples(IDENTIFIERS, st.sampled_from([" ", "(", ".", "\n", ", "]))).map(
    lambda pairs: "".join(name + mark for name, mark in pairs)
)


@given(SOURCES, IDENTIFIERS.filter(bool), st.sampled_from(["fetch", "get_one", "forget"]))
def test_edits_rename_whole_words_only(
    tmp_path_factory: pytest.TempPathFactory, source: str, last: str, new: str
) -> None:
    """Made one after the other by the real tool, the edits do what a rename by word does."""
    source += last
    workspace = Workspace(tmp_path_factory.getbasetemp())
    workspace.write_file("a.py", source)
    for _, arguments in rename_calls({"a.py": source}, "get", new):
        assert workspace.call("edit_file", arguments).startswith("Replaced ")
    assert workspace.read_file("a.py") == re.sub(r"\bget\b", new, source)
