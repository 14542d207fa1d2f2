"""The tools, as a program and as a model call them."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchwrap.tools import MatchError, PathError, TextError, Workspace, WorkspaceError


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One workspace for all the examples of a property."""
    return Workspace(tmp_path_factory.mktemp("shared"))


# Without a lone "\r", which makes a line end of the "\n" that an edit puts behind it.
CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0\ufeff")
TEXTS = st.lists(st.text(CHARACTERS, max_size=5), min_size=1, max_size=5).map("\n".join)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
ENDS = st.sampled_from(["\n", "\r\n"])


@given(TEXTS, TEXTS, TEXTS, TEXTS, ENCODINGS, ENDS)
def test_an_edit_and_its_reverse_restore_the_bytes(
    shared: Workspace, head: str, old: str, new: str, tail: str, encoding: str, end: str
) -> None:
    """There and back again, a file is what it was, in every encoding and with both line ends."""
    assume(old and new and old != new)
    # One line end at least stays, so that the file shows which it uses.
    content, edited = (head + middle + tail + "\n" for middle in (old, new))
    assume(content.find(old) == content.rfind(old) == len(head))
    assume(edited.find(new) == edited.rfind(new) == len(head))
    before = content.replace("\n", end).encode(encoding)
    file = shared.root / "a.txt"
    file.write_bytes(before)
    shared.edit_file("a.txt", old, new)
    assert file.read_bytes() == edited.replace("\n", end).encode(encoding)
    shared.edit_file("a.txt", new, old)
    assert file.read_bytes() == before


@given(TEXTS, TEXTS, ENCODINGS, ENDS)
def test_a_rewritten_file_keeps_line_ends_and_encoding(
    shared: Workspace, old: str, new: str, encoding: str, end: str
) -> None:
    """A new content in the place of an old one is spelt as the old one was."""
    file = shared.root / "b.txt"
    file.write_bytes((old + "\n").replace("\n", end).encode(encoding))
    shared.write_file("b.txt", new)
    assert file.read_bytes() == new.replace("\n", end).encode(encoding)
    assert shared.read_file("b.txt") == new


@given(TEXTS, st.integers(1, 3))
def test_pieces_read_one_after_the_other_are_the_file(
    shared: Workspace, content: str, limit: int
) -> None:
    """Offset and limit neither lose nor repeat a line."""
    shared.write_file("c.txt", content)
    count = len(content.rstrip("\n").split("\n")) + len(content) - len(content.rstrip("\n"))
    pieces, offset = [], 1
    while offset <= count:
        try:
            pieces.append(shared.read_file("c.txt", offset, limit))
        except WorkspaceError:
            break
        offset += limit
    assert "".join(pieces) == content


def test_lines_are_counted_from_one(workspace: Workspace) -> None:
    """Offset 2 with limit 1 is the second line; a form feed or U+2028 ends none."""
    workspace.write_file("a.txt", "one\x0c\u2028\ntwo\nthree")
    assert workspace.read_file("a.txt", offset=2, limit=1) == "two\n"
    assert workspace.read_file("a.txt", limit=2) == "one\x0c\u2028\ntwo\n"
    assert workspace.read_file("a.txt", offset=3) == "three"
    assert workspace.read_file("a.txt", offset=3, limit=10**30) == "three"


@pytest.mark.parametrize(("offset", "limit"), [(0, None), (-1, None), (1, 0), (4, None)])
def test_lines_that_are_not_there_are_refused(
    workspace: Workspace, offset: int, limit: int | None
) -> None:
    """An offset past the end or a limit of nothing is an error, never an empty text."""
    workspace.write_file("a.txt", "one\ntwo\nthree\n")
    with pytest.raises(WorkspaceError, match=r"a\.txt"):
        workspace.read_file("a.txt", offset, limit)


def test_an_empty_file_has_an_empty_first_line(workspace: Workspace) -> None:
    """Reading an empty file from its start is no error."""
    workspace.write_file("a.txt", "")
    assert workspace.read_file("a.txt", offset=1, limit=10) == ""


def test_a_binary_file_is_refused_by_name(workspace: Workspace) -> None:
    """An image is neither shown, nor edited, nor replaced by a text."""
    data = b"\x89PNG\r\n\x1a\n\0"
    (workspace.root / "a.png").write_bytes(data)
    uses: list[Callable[[], str]] = [
        lambda: workspace.read_file("a.png"),
        lambda: workspace.edit_file("a.png", "P", "p"),
        lambda: workspace.write_file("a.png", "text"),
    ]
    for use in uses:
        with pytest.raises(TextError, match=r"a\.png") as caught:
            use()
        assert caught.value.path == "a.png"
    assert (workspace.root / "a.png").read_bytes() == data


def test_a_newline_matches_the_line_ends_of_the_file(workspace: Workspace) -> None:
    r"""``\n`` in the old text stands for ``\r\n``, and new lines end as the file's do."""
    file = workspace.root / "a.txt"
    file.write_bytes(b"one\r\ntwo\r\nthree\r\n")
    workspace.edit_file("a.txt", "one\ntwo", "1\n1.5\n2")
    assert file.read_bytes() == b"1\r\n1.5\r\n2\r\nthree\r\n"
    workspace.edit_file("a.txt", "2\r\nthree", "rest")
    assert file.read_bytes() == b"1\r\n1.5\r\nrest\r\n"


def test_a_mark_stays_at_the_front(workspace: Workspace) -> None:
    """A byte order mark is not a part of the text, and an edit of the first line keeps it."""
    file = workspace.root / "a.txt"
    file.write_bytes(codecs.BOM_UTF8 + b"one")
    assert workspace.read_file("a.txt") == "one"
    workspace.edit_file("a.txt", "one", "two")
    assert file.read_bytes() == codecs.BOM_UTF8 + b"two"


def test_a_text_that_is_not_there_is_an_error(workspace: Workspace) -> None:
    """The error names the file and says how often the text was found: never."""
    workspace.write_file("a.txt", "one")
    with pytest.raises(MatchError, match=r"a\.txt.*not found") as caught:
        workspace.edit_file("a.txt", "two", "three")
    assert (caught.value.path, caught.value.count) == ("a.txt", 0)


def test_a_text_that_is_there_twice_is_an_error(workspace: Workspace) -> None:
    """Which one is meant is not guessed; with `replace_all` it is all of them."""
    workspace.write_file("a.txt", "one one one")
    with pytest.raises(MatchError, match=r"a\.txt.*3 times") as caught:
        workspace.edit_file("a.txt", "one", "two")
    assert caught.value.count == 3
    assert workspace.read_file("a.txt") == "one one one"
    assert workspace.edit_file("a.txt", "one", "two", replace_all=True) == (
        "Replaced 3 occurrences in a.txt"
    )
    assert workspace.read_file("a.txt") == "two two two"


@pytest.mark.parametrize(("old", "new"), [("", "x"), ("one", "one"), ("one\r\n", "one\n")])
def test_an_edit_that_says_nothing_is_an_error(workspace: Workspace, old: str, new: str) -> None:
    """An empty old text, or a new one that is the same, is a mistake and said to be one."""
    workspace.write_file("a.txt", "one\n")
    with pytest.raises(WorkspaceError, match=r"a\.txt"):
        workspace.edit_file("a.txt", old, new)


def test_writing_makes_the_folders(workspace: Workspace) -> None:
    """The result tells a new file from an old one and counts its lines."""
    assert workspace.write_file("a/b/c.txt", "1\n2\n") == "Created a/b/c.txt (2 lines)"
    assert workspace.write_file("./a//b/c.txt", "1") == "Wrote a/b/c.txt (1 line)"
    assert (workspace.root / "a/b/c.txt").read_bytes() == b"1"


def test_nul_is_not_written(workspace: Workspace) -> None:
    """A file that could not be read again is not made."""
    with pytest.raises(TextError, match="NUL"):
        workspace.write_file("a.txt", "a\0b")
    assert workspace.list_files() == []


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("**/*", [".env", "a.py", "src/b.py", "src/deep/c.py", "src/deep/d.txt"]),
        ("*", [".env", "a.py"]),
        ("*.py", ["a.py"]),
        ("**/*.py", ["a.py", "src/b.py", "src/deep/c.py"]),
        ("src/**", ["src/b.py", "src/deep/c.py", "src/deep/d.txt"]),
        ("src/**/?.py", ["src/b.py", "src/deep/c.py"]),
        ("*/[ab].py", ["src/b.py"]),
        ("src", []),
        ("", []),
    ],
)
def test_patterns(workspace: Workspace, pattern: str, names: list[str]) -> None:
    """A star stays within one name, two of them span folders; the list is sorted."""
    for name in ("src/deep/d.txt", "src/deep/c.py", "src/b.py", "a.py", ".env"):
        workspace.write_file(name, "")
    assert workspace.list_files(pattern) == names


def test_schemas_describe_the_tools(workspace: Workspace) -> None:
    """Every tool and argument has a description, and no other argument is allowed."""
    schemas = workspace.schemas()
    functions = [schema["function"] for schema in schemas]
    assert [function["name"] for function in functions] == ["read_file", "edit_file", "write_file"]
    for function in functions:
        parameters = function["parameters"]
        assert function["description"]
        assert parameters["additionalProperties"] is False
        assert set(parameters["required"]) <= set(parameters["properties"])
        assert all(value["description"] for value in parameters["properties"].values())
    schemas.clear()
    assert json.loads(json.dumps(workspace.schemas()))


def test_calls_run_the_tools(workspace: Workspace) -> None:
    """A call takes JSON or a dict, and an optional argument that is null counts as left out."""
    assert workspace.call("write_file", {"path": "a.txt", "content": "one\ntwo\n"}) == (
        "Created a.txt (2 lines)"
    )
    edit = {"path": "a.txt", "old_string": "two", "new_string": "2", "replace_all": None}
    assert workspace.call("edit_file", json.dumps(edit)) == "Replaced 1 occurrence in a.txt"
    read = '{"path": "a.txt", "offset": 2, "limit": null}'
    assert workspace.call("read_file", read) == "2\n"


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("delete_file", "{}", "there is no tool 'delete_file'"),
        ("__init__", "{}", "there is no tool '__init__'"),
        ("read_file", "", "not valid JSON"),
        ("read_file", '{"path": "a', "not valid JSON"),
        ("read_file", "[" * 100_000, "not valid JSON"),
        ("read_file", '["a.txt"]', "JSON object"),
        ("read_file", "{}", "path is missing"),
        ("read_file", '{"path": null}', "path has to be of type string"),
        ("read_file", '{"path": 1}', "path has to be of type string"),
        ("read_file", '{"path": "a.txt", "offset": "1"}', "offset has to be of type integer"),
        ("read_file", '{"path": "a.txt", "offset": true}', "offset has to be of type integer"),
        ("read_file", '{"path": "a.txt", "offset": 7}', "past its end"),
        ("read_file", '{"path": "a.txt", "encoding": "latin-1"}', "no argument encoding"),
        ("read_file", '{"path": "b.txt"}', "'b.txt': there is no such file"),
        ("read_file", '{"path": "../b.txt"}', "'../b.txt'"),
        ("edit_file", '{"path": "a.txt", "old_string": "x", "new_string": ""}', "was not found"),
        ("edit_file", '{"path": "a.txt", "old_string": "o", "new_string": ""}', "2 times"),
        ("write_file", '{"path": "a.txt"}', "content is missing"),
        ("write_file", r'{"path": "a.txt", "content": "\ud800"}', "cannot hold"),
    ],
)
def test_a_mistake_of_the_model_is_a_text(
    workspace: Workspace, name: str, arguments: str, says: str
) -> None:
    """What the model got wrong is handed back to it, and no file is touched."""
    workspace.write_file("a.txt", "one two\n")
    answer = workspace.call(name, arguments)
    assert answer.startswith("Error: ")
    assert says in answer
    assert answer.isprintable()
    assert workspace.list_files() == ["a.txt"]
    assert workspace.read_file("a.txt") == "one two\n"


@given(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_no_call_raises(shared: Workspace, name: str, value: Any) -> None:
    """Whatever a model sends as arguments, it gets a text back."""
    for tool in (name, "read_file", "edit_file"):
        for arguments in (json.dumps(value), json.dumps({"path": value}), name):
            assert shared.call(tool, arguments).startswith("Error: ")


def test_errors_are_value_errors() -> None:
    """Old code that catches `ValueError` catches every refusal."""
    assert all(issubclass(error, ValueError) for error in (MatchError, PathError, TextError))
