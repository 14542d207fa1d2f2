"""Which files follow: those that a prompt, a search or a file names, as far as they may be read."""

from typing import Any

import pytest

from batchwrap.core.formats.chat.calls import read_call
from batchwrap.core.moves.read_ahead import next_reads
from batchwrap.core.tools.find import SingleTool, find
from batchwrap.options import Batching, ReadAhead
from tests.core.harness import call, entries, specs
from tests.core.moves.read_ahead.conversations import SINGLES, added, paths, read, turn, user


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Compare a.py with b.py and src/c.ts.", ["b.py", "src/c.ts"]),
        ("Look at `b.py`, @src/c.ts:12-20 and (d.md)!", ["b.py", "src/c.ts", "d.md"]),
        ([{"type": "text", "text": "see b.py"}, {"type": "image_url"}], ["b.py"]),
        ("Run tests/test_x.py::test_y, then mend ./b.py", ["tests/test_x.py", "b.py"]),
        ("We use Node.js 20.1, e.g. os.path, and foo.bar()", []),
        ("Read https://example.org/a/x.py and s3://bucket/y.py", []),
        ("<environment_details>\nopen: x.py\n</environment_details> mend b.py", ["b.py"]),
        (" ".join(f"f{number}.py" for number in range(50)), []),
        ("The Makefile is wrong", ["Makefile"]),
    ],
)
def test_files_in_the_prompt(prompt: Any, expected: list[str]) -> None:
    """Files that the newest user message names are read along, and nothing else in it."""
    assert paths(user(prompt), "a.py") == expected


def test_the_older_prompt_does_not_count() -> None:
    """Only the newest user message tells what is wanted now."""
    assert paths([*user("mend b.py"), *user("mend c.py")], "a.py") == ["c.py"]


def test_relative_names_for_absolute_paths() -> None:
    """How the model writes one of the names tells how it would write the others."""
    prompt = user("Compare src/a.py with src/b.py and src/deep/c.py, not with lib/d.py")
    assert paths(prompt, "/home/me/p/src/a.py") == [
        "/home/me/p/src/b.py",
        "/home/me/p/src/deep/c.py",
    ]
    assert paths(user("mend b.py"), "/home/me/p/src/a.py") == []


def test_windows_paths_stay_windows_paths() -> None:
    """A path is written with the separators that the model uses."""
    prompt = user("Compare src/a.py with src/b.py")
    assert paths(prompt, "C:\\p\\src\\a.py") == ["C:\\p\\src\\b.py"]


@pytest.mark.parametrize(
    "result",
    [
        "a.py\nb.py\nc.py",
        "b.py:3:import x\na.py:10:from y import z\na.py:12:x\nc.py:1: # see d.py",
        '["a.py", "b.py", "c.py"]',
        '{"matches": [{"path": "b.py", "text": "d.py"}, {"path": "a.py"}, {"path": "./c.py"}]}',
        "Found 3 files\n- a.py\n- b.py\n- c.py",
        "File: a.py\nL1: import d\n---\nFile: b.py\nL3: x\n---\nFile: c.py\nL5: y",
        "a.py\n12:import x\n\nb.py\n3:y = d.py\n\nc.py\n1:z",
    ],
)
def test_the_rest_of_a_search(result: str) -> None:
    """The other files of the newest search are read along with one of them."""
    messages = turn("grep", {"pattern": "x"}, result)
    assert sorted(paths(messages, "a.py")) == ["b.py", "c.py"]
    assert paths(messages, "z.py") == []


def test_the_next_of_a_search_comes_first() -> None:
    """Files behind the one that the model reads come before those that it left out."""
    messages = turn("grep", {"pattern": "x"}, "a.py\nb.py\nc.py")
    assert paths(messages, "b.py", max_reads=1) == ["c.py"]


def test_a_search_in_another_folder() -> None:
    """A search opens no folder: only files below those the model has read from are read."""
    messages = turn("grep", {"pattern": "x"}, "src/a.py\nsrc/x/b.py\nlib/c.py\nd.py")
    assert paths(messages, "src/a.py") == ["src/x/b.py"]
    assert paths([*read("lib/z.py"), *messages], "src/a.py") == ["src/x/b.py", "lib/c.py"]
    refused = read("lib/z.py", "Permission denied")
    assert paths([*refused, *messages], "src/a.py") == ["src/x/b.py"]
    ahead = read("src/y.py", ahead=({"path": "lib/z.py"},))
    assert paths([*ahead, *messages], "src/a.py") == ["src/x/b.py"]


@pytest.mark.parametrize(
    ("source", "text", "current", "expected"),
    [
        ("d/a.yml", "run: d/b.sh\nthen: d/c.sh, not e/f.sh", "d/b.sh", ["d/c.sh"]),
        ("a.md", "see `d/b.py` and [c](d/x/c.py)", "/w/d/b.py", ["/w/d/x/c.py"]),
        ("d/a.yml", "run: b.sh\nthen: c.sh", "d/b.sh", []),
        ("p/a.py", "from .b import B\nfrom .c import C\nimport p.d", "p/b.py", []),
        ("d/a.yml", "run: d/b.sh\nthen: d/c.sh", "d/z.sh", []),
    ],
)  # fmt: skip
def test_references(source: str, text: str, current: str, expected: list[str]) -> None:
    """Reading one of the files that the last file names with a folder brings the others."""
    assert paths(read(source, text), current) == expected


def test_only_the_last_file_refers() -> None:
    """What an older file names does not count."""
    messages = [*read("d/a.yml", "d/b.sh d/c.sh"), *read("d/z.sh")]
    assert paths(messages, "d/b.sh") == []


def test_known_files() -> None:
    """A file that was read is not read again, unless it was changed and then named again."""
    prompt, edited = user("b.py and ./c.py"), turn("edit_file", {"path": "b.py"})
    known = [*read("/p/x/b.py"), *read("z.py", ahead=({"path": "c.py"},))]
    assert paths([*prompt, *known], "a.py") == []
    assert paths([*prompt, *known, *edited], "a.py") == []
    assert paths([*known, *edited, *prompt], "a.py") == ["b.py"]
    assert paths([*known, *edited, *prompt, *read("b.py")], "a.py") == []
    assert paths([*prompt, *turn("write_file", {"path": "b.py"})], "a.py") == ["c.py"]


@pytest.mark.parametrize(
    "path",
    """../b.py /etc/b.py ~/b.py $HOME/b.py .env .env.py .ssh/id_rsa .git/b.py src/.x/b.py id_rsa
    id_rsa.txt b.pem b.key b.pem.txt secrets/b.py client_secret.json credentials.json
    AuthToken.json my-token.txt passwords.txt PASSWORD.md api-keys.yaml node_modules/b/b.js
    __pycache__/b.py b.png b.tar.gz b.zip b.pyc src/*.py src/?.py C:\\Windows\\b.ini C:b.py
    \\\\server\\share\\b.py //server/b.py https://b.org/b.py file:///etc/b.conf %APPDATA%\\b.ini
    /proc/self/b.txt b.py:stream -b.py src\\..\\..\\b.py ſecret.txt x/b.min.js""".split(),  # noqa: SIM905
)
def test_what_is_never_read(path: str) -> None:
    """Secrets, hidden files, other machines and places outside are never read."""
    assert paths(user(f"a.py {path}"), "a.py") == []
    assert paths(turn("grep", {"pattern": "x"}, f"a.py\n{path}"), "a.py") == []
    assert paths(read("z.md", f"[a](a.py) [b]({path}) ./a.py {path}"), "a.py") == []


@pytest.mark.parametrize("path", [f"{'x' * 300}.py", "b\x00.py", "b\u202e.py", "b c.py"])
def test_odd_names(path: str) -> None:
    """Names that are too long, hold control characters, or may be prose are left alone."""
    assert paths(turn("grep", {"pattern": "x"}, f"a.py\n{path}"), "a.py") == []


def test_absolute_paths() -> None:
    """An absolute path is read only below a folder that the model has read from, never `/`."""
    prompt = user("/w/p/a.py /w/p/x/b.py /w/q/c.py /d.py")
    assert paths(prompt, "/w/p/a.py") == ["/w/p/x/b.py"]
    assert paths([*read("/w/z.py"), *prompt], "/w/p/a.py") == ["/w/p/x/b.py", "/w/q/c.py"]
    assert paths(prompt, "/a.md") == ["/d.py"]
    assert paths([*read("//w/q/z.py"), *prompt], "/w/p/a.py") == ["/w/p/x/b.py"]


def test_nothing_twice() -> None:
    """A file that two sources name, in whatever spelling, is read once."""
    messages = [*user("B.py ./b.py"), *turn("grep", {"pattern": "x"}, "a.py\nb.py\nc.py")]
    assert paths(messages, "a.py") == ["B.py", "c.py"]


def tool_of(required: dict[str, str]) -> dict[str, SingleTool]:
    """A read tool with these required parameters and their types."""
    properties = {name: {"type": kind} for name, kind in required.items()}
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    made = {"type": "function", "function": {"name": "read_file", "parameters": parameters}}
    return {one.name: one for one in find(specs(made), Batching())}


def test_required_parameters() -> None:
    """Notes and flags are copied; a tool that wants a range is not given one that is guessed."""
    prompt, given = user("b.py"), {"path": "a.py", "explanation": "why", "whole": True, "x": 1}
    noted = tool_of({"path": "string", "explanation": "string", "whole": "boolean"})
    expected = {"path": "b.py", "explanation": "why", "whole": True}
    assert added(prompt, given, singles=noted) == [expected]
    ranged = tool_of({"path": "string", "start_line": "integer", "end_line": "integer"})
    assert added(prompt, {"path": "a.py", "start_line": 1, "end_line": 5}, singles=ranged) == []


@pytest.mark.parametrize("name", ["edit_file", "write_file", "grep", "unknown"])
def test_only_reads_bring_reads(name: str) -> None:
    """A call that is no read brings nothing."""
    made = call("c", name, {"path": "a.py"})
    assert next_reads(entries(user("b.py")), read_call(made), SINGLES, ReadAhead()) == []


def test_the_options() -> None:
    """Sources can be left out, the number is bounded, and a short context gets nothing."""
    messages = [*user("b.py c.py d.py"), *turn("grep", {"pattern": "x"}, "a.py\ne.py")]
    assert paths(messages, "a.py", max_reads=2) == ["b.py", "c.py"]
    assert paths(messages, "a.py", sources=["search"]) == ["e.py"]
    assert paths(messages, "a.py", sources=["search", "prompt"])[0] == "b.py"
    assert paths(messages, "a.py", max_tokens=1000, room=1999) == []
    assert paths(messages, "a.py", max_tokens=1000, room=2000, max_reads=1) == ["b.py"]
