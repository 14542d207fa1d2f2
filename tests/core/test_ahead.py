"""Read-ahead: the reads that will follow, never more than is safe, and only while it pays."""

import json
import re
import time
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core import chat
from batchwrap.core.views import ids
from batchwrap.core.views.ahead import hit_rate, kept, next_reads
from batchwrap.core.views.find import SingleTool, find
from batchwrap.core.views.multi import AHEAD
from batchwrap.options import AheadSource, Batching, ReadAhead
from tests.core.harness import call
from tests.strategies import EDIT_FILE, GREP, READ_FILE, WRITE_FILE, texts

TOOLS = [READ_FILE, EDIT_FILE, WRITE_FILE, GREP]
SINGLES = {single.name: single for single in find(TOOLS, Batching())}
DIALECTS = json.loads((Path(__file__).parent / "dialects.json").read_text())


def user(text: Any) -> list[dict[str, Any]]:
    """A user message."""
    return [{"role": "user", "content": text}]


def turn(
    name: str, arguments: Any, result: Any = "ok", *, ahead: tuple[Any, ...] = (), text: str = ""
) -> list[dict[str, Any]]:
    """A turn of the model with one call, reads that were added to it, and their results."""
    origin = f"call_{name}_{len(str(arguments))}"
    calls = [call(origin, name, arguments)]
    for place, more in enumerate(ahead):
        derived = ids.DerivedId("abcd", place, 0, AHEAD, origin)
        calls.append(call(ids.encode(derived), name, more))
    answers = [{"role": "tool", "tool_call_id": made["id"], "content": result} for made in calls]
    return [{"role": "assistant", "content": text, "tool_calls": calls}, *answers]


def read(path: str, result: Any = "ok", **more: Any) -> list[dict[str, Any]]:
    """A turn in which the model reads a file."""
    ahead = more.pop("ahead", ())
    return turn("read_file", {"path": path, **more}, result, ahead=ahead)


def added(
    messages: list[dict[str, Any]],
    arguments: Any,
    *,
    singles: dict[str, SingleTool] = SINGLES,
    name: str = "read_file",
    room: int | None = None,
    **options: Any,
) -> list[Any]:
    """The arguments of the reads that are added to a read."""
    given = {"path": arguments} if isinstance(arguments, str) else arguments
    options.setdefault("max_reads", 20)
    reads = next_reads(messages, call("c", name, given), singles, ReadAhead(**options), room=room)
    assert all(tool is singles[name] for tool, _ in reads)
    return [json.loads(text) for _, text in reads]


def paths(messages: list[dict[str, Any]], arguments: Any, **options: Any) -> list[str]:
    """The paths of the reads that are added to a read."""
    return [one["path"] for one in added(messages, arguments, **options)]


def lines(count: int) -> str:
    """A file, or a part of one."""
    return "\n".join(f"line {number}" for number in range(count))


# --- the newest user prompt


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


# --- the next part of a file


def test_the_next_part() -> None:
    """A read that goes on where the last one ended brings the part behind it."""
    messages = read("a.md", lines(100), offset=0, limit=100)
    wanted = {"path": "a.md", "offset": 200, "limit": 100}
    assert added(messages, {**wanted, "offset": 100}) == [wanted]


DIALECT_READS = [entry for entry in DIALECTS if entry["found"] == "read"]


@pytest.mark.parametrize("entry", DIALECT_READS, ids=lambda entry: f"{entry['agent']}")
def test_the_ranges_of_real_agents(entry: dict[str, Any]) -> None:
    """Whatever a real agent calls the range, the next part has no gap and is as long."""
    tool = {"name": entry["name"], "parameters": entry["parameters"]}
    singles = {one.name: one for one in find([{"type": "function", "function": tool}], Batching())}
    path = singles[entry["name"]].path or ""

    def part(first: int, last: int) -> dict[str, Any]:
        given: dict[str, Any] = {path: "src/a.md"}
        for name, schema in entry["parameters"]["properties"].items():
            flat = name.lower()
            if schema["type"] == "array":
                given[name] = [first, last]
            elif schema["type"] in ("number", "integer") and flat not in ("head", "tail"):
                is_end, is_start = "end" in flat, "start" in flat or flat == "offset"
                given[name] = last if is_end else first if is_start else last - first + 1
            elif schema["type"] == "boolean":
                given[name] = False
            elif name in entry["parameters"].get("required", ()) and name != path:
                given[name] = "why"
        return given

    messages = turn(entry["name"], part(1, 50), lines(50))
    found = added(messages, part(51, 100), singles=singles, name=entry["name"])
    has_range = part(1, 2) != part(1, 3)
    assert found == ([part(101, 150)] if has_range else [])


def test_parts_grow() -> None:
    """Each further part in a row is twice as long, within the budget."""
    first = read("a.md", lines(50), offset=1, limit=50)
    second = read("a.md", lines(50), offset=51, limit=50, ahead=({"path": "a.md"},))
    second[0]["tool_calls"][1] = call(
        second[0]["tool_calls"][1]["id"],
        "read_file",
        {"path": "a.md", "offset": 101, "limit": 50},
    )
    [grown] = added([*first, *second], {"path": "a.md", "offset": 151, "limit": 50})
    assert (grown["offset"], grown["limit"]) == (201, 100)
    third = {"path": "a.md", "offset": 151, "limit": 50}
    [small] = added([*first, *second], third, max_tokens=60)
    assert 1 <= small["limit"] < 50


@pytest.mark.parametrize(
    "result",
    [
        lines(20),
        lines(50) + "\n(End of file)",
        lines(50) + "\n(Showing lines 1-50 of 100 lines)",
        "Error: no such file",
    ],
)
def test_the_end_of_the_file(result: str) -> None:
    """No part is asked for behind what looks like the end of the file."""
    messages = read("a.md", result, offset=1, limit=50)
    assert added(messages, {"path": "a.md", "offset": 51, "limit": 50}) == []


@pytest.mark.parametrize("offset", [1, 30, 200])
def test_jumps_are_no_sequence(offset: int) -> None:
    """A read that goes back, or somewhere else in the file, brings nothing."""
    messages = read("a.md", lines(50), offset=1, limit=50)
    assert added(messages, {"path": "a.md", "offset": offset, "limit": 50}) == []


def test_parts_without_a_length() -> None:
    """Where the tool decides how much it shows, its results tell."""
    messages = read("a.md", lines(2000))
    assert added(messages, {"path": "a.md", "offset": 2000}) == [{"path": "a.md", "offset": 4000}]


def test_a_part_that_was_read_is_not_read_again() -> None:
    """A part that lies in what was read before brings nothing."""
    messages = [
        *read("a.md", lines(50), offset=101, limit=50),
        *read("a.md", lines(50), offset=1, limit=50),
    ]
    assert added(messages, {"path": "a.md", "offset": 51, "limit": 50}) == []


def test_the_models_own_overlap() -> None:
    """Parts that reach back into the ones before them go on doing so: no line is missed."""
    messages = read("a.md", lines(50), offset=1, limit=50)
    assert added(messages, {"path": "a.md", "offset": 46, "limit": 50}) == [
        {"path": "a.md", "offset": 91, "limit": 50}
    ]
    assert added(messages, {"path": "a.md", "offset": 46, "limit": 5}) == []


@pytest.mark.parametrize("path", ["../a.md", ".env", "src/server.pem", "secrets/a.md"])
def test_parts_of_what_is_never_read(path: str) -> None:
    """Where the model itself reads what is secret or elsewhere, it reads all of it itself."""
    messages = read(path, lines(50), offset=1, limit=50)
    assert added(messages, {"path": path, "offset": 51, "limit": 50}) == []


# --- the newest search


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


# --- references of the file that was just read


@pytest.mark.parametrize(
    ("importer", "text", "current", "expected"),
    [
        ("p/a.py", "from .b import B\nfrom .c.d import D\nimport os", "p/b.py", ["p/c/d.py"]),
        ("p/q/a.py", "  3\tfrom . import (b,\n  4\t  c as d)", "p/q/b.py", ["p/q/c.py"]),
        ("p/q/a.py", "from p.q.b import x\nimport p.r\nimport numpy.core", "p/q/b.py", []),
        ("p/a.py", "from p.q import b\nfrom p.c import d", "p/q/b.py", ["p/c.py"]),
        ("p/a.py", "from p import b, c", "p/b.py", ["p/c.py"]),
        ("p/q/a.py", "from ..... import b\nfrom . import b\nimport c", "p/q/b.py", []),
        ("s/a.ts", "import {b} from './b'\nimport c from \"./x/c.js\"", "s/b.ts", ["s/x/c.ts"]),
        ("s/a.js", "require('./b'), require('react')\nimport './c.css'", "s/b.js", ["s/c.css"]),
        ("s/a.c", '#include "b.h"\n#include <stdio.h>\n#include "x/c.h"', "s/b.h", ["s/x/c.h"]),
        ("d/a.md", "[b](b.md#top) [c](./x/c.md) [d](https://e.org/d.md)", "d/b.md", ["d/x/c.md"]),
        ("d/a.yml", "run: d/b.sh\nthen: d/c.sh, not e/f.sh", "d/b.sh", ["d/c.sh"]),
        ("p/a.py", "from .b import B\nfrom .c import C", "p/z.py", []),
    ],
)  # fmt: skip
def test_references(importer: str, text: str, current: str, expected: list[str]) -> None:
    """Reading one of the files that the last file refers to brings the others."""
    assert paths(read(importer, text), current) == expected


def test_only_the_last_file_refers() -> None:
    """What an older file refers to does not count."""
    messages = [*read("p/a.py", "from .b import x\nfrom .c import y"), *read("p/z.py")]
    assert paths(messages, "p/b.py") == []


# --- what is known, what is allowed


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
    return {one.name: one for one in find([made], Batching())}


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
    assert next_reads(user("b.py"), made, SINGLES, ReadAhead()) == []


def test_the_options() -> None:
    """Sources can be left out, the number is bounded, and a short context gets nothing."""
    messages = [*user("b.py c.py d.py"), *turn("grep", {"pattern": "x"}, "a.py\ne.py")]
    assert paths(messages, "a.py", max_reads=2) == ["b.py", "c.py"]
    assert paths(messages, "a.py", sources=["search"]) == ["e.py"]
    assert paths(messages, "a.py", sources=["search", "prompt"])[0] == "b.py"
    assert paths(messages, "a.py", max_tokens=1000, room=1999) == []
    assert paths(messages, "a.py", max_tokens=1000, room=2000, max_reads=1) == ["b.py"]


# --- the hit rate


def ahead_of(*added_paths: str) -> list[dict[str, Any]]:
    """A read to which others were added."""
    return read("start.py", ahead=tuple({"path": path} for path in added_paths))


def says(*said: str) -> list[dict[str, Any]]:
    """Turns of the model that only speak."""
    return [{"role": "assistant", "content": text} for text in said]


def test_too_few_say_nothing() -> None:
    """There is no rate while fewer than four are judged."""
    assert hit_rate([]) is None
    assert hit_rate([*ahead_of("a.py", "b.py", "c.py"), *says("", "", "")]) is None
    assert hit_rate([*ahead_of("a.py", "b.py", "c.py", "d.py"), *says("", "")]) is None
    assert hit_rate([*ahead_of("a.py", "b.py", "c.py", "d.py"), *says("", "", "")]) == 0


def test_wanted_reads() -> None:
    """A read is wanted if the model names its file within three turns, in words or calls."""
    messages = ahead_of("src/a.py", "b.py", "c.py", "x/__init__.py")
    named = turn("edit_file", {"path": "b.py", "old_string": "1", "new_string": "2"}, text="bc.py")
    silent = says("It is in a.py: see y/__init__.py", "", "", "c.py")
    assert hit_rate([*messages, *named, *silent]) == 0.5


def test_added_reads_and_results_do_not_count() -> None:
    """What read-ahead does itself, or tools and users say, proves nothing."""
    messages = ahead_of("a.py", "b.py", "c.py", "d.py")
    again = read("z.md", "a.py b.py", ahead=({"path": "a.py"}, {"path": "b.py"}))
    assert hit_rate([*messages, *user("c.py"), *again, *says("", "")]) == 0


def test_the_rest_of_a_turn_is_no_turn() -> None:
    """Added reads that an agent runs one by one wait for the model's turns, not for its own."""
    [own, *rest] = ahead_of("a.py", "b.py", "c.py", "d.py")
    one_by_one = [
        message
        for made, answer in zip(own["tool_calls"], rest, strict=True)
        for message in ({**own, "tool_calls": [made]}, answer)
    ]
    assert hit_rate([*one_by_one, *says("", "")]) is None
    assert hit_rate([*one_by_one, *says("", "a.py", "")]) == 0.25


def test_waves_are_no_turns() -> None:
    """Calls of one multi-call that go out one after the other are one turn of the model."""
    wave = [
        call(ids.encode(ids.DerivedId("wave", place, 0, "e", "c9")), "edit_file", {"path": "z.md"})
        for place in range(2)
    ]
    waves = [{"role": "assistant", "tool_calls": [made]} for made in wave]
    messages = ahead_of("a.py", "b.py", "c.py", "d.py")
    assert hit_rate([*messages, *waves, *says("")]) is None
    assert hit_rate([*messages, *waves, *says("", "")]) == 0


@pytest.mark.parametrize(
    ("later", "rate"),
    [
        (turn("read_file", {"path": "a.md", "offset": 150}), 1.0),
        (turn("edit_file", {"path": "a.md", "old_string": "1", "new_string": "2"}), 1.0),
        (turn("read_file", {"path": "a.md", "offset": 1}), 0.0),
        (says("a.md"), 0.0),
    ],
)
def test_wanted_parts(later: list[dict[str, Any]], rate: float) -> None:
    """The next part of a file is wanted if the model goes on behind its start, or edits."""
    part = ({"path": "a.md", "offset": 100},)
    messages = [
        message
        for _ in range(4)
        for message in (*read("a.md", "x", offset=50, ahead=part), *later, *says("", ""))
    ]
    assert hit_rate(messages) == rate


def test_it_stops_by_itself() -> None:
    """Nothing is added in a conversation in which too few added reads were wanted."""
    messages = [*ahead_of("e.py", "f.py", "g.py", "h.py"), *says("", "e.py", ""), *user("b.py")]
    assert hit_rate(messages) == 0.25
    assert paths(messages, "a.py", min_hit_rate=0.25) == ["b.py"]
    assert paths(messages, "a.py", min_hit_rate=0.3) == []


# --- what is shown


def test_what_is_kept() -> None:
    """Results are shown while they fit; never failures, pictures, or what has no result."""
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    results: list[list[object]] = [
        ["x" * 400],
        ["x" * 400_000],
        ["Error: no such file"],
        [{"type": "text", "text": "y" * 40}],
        ["see", image],
        [],
        [""],
        [5],
        ["x" * 400],
    ]
    assert kept(results, 200) == [True, False, False, True, False, False, False, False, False]
    assert kept([["fine"], ["nope"]], 9, failed=lambda text: text == "nope") == [True, False]


@given(st.lists(st.lists(texts | st.none() | st.integers(), max_size=3)), st.integers(1, 50))
def test_never_more_than_the_budget(results: list[list[object]], max_tokens: int) -> None:
    """What is shown is at most the budget together, one answer for each result."""
    shown = kept(results, max_tokens)
    assert len(shown) == len(results)
    total = sum(
        len("\n".join(map(str, result))) // 4
        for result, is_shown in zip(results, shown, strict=True)
        if is_shown
    )
    assert total <= max_tokens


# --- properties

HOSTILE = """../../etc/passwd /etc/shadow /etc/x.conf .ssh/id_rsa ~/.ssh/config.txt id_rsa.txt
    C:\\Windows\\win.ini c:/Windows/x.txt https://evil.org/x.py file:///etc/x.py .env src/.env.py
    \\\\evil\\share\\x.py //evil/x.py src/../../x.py ./src/./../x.py **/*.py {a,b}.py $HOME/x.py
    src/secret.txt token.json src/server.pem node_modules/x.js x.png x.sqlite %TEMP%/x.txt
    /home/me/.aws/credentials.txt /home/you/x.py src/x.py:evil /x.py""".split()  # noqa: SIM905
HARMLESS = """a.py b.py ./c.py src/a.py src/b.py src/deep/c.ts lib/d.md /home/me/p/a.py
    /home/me/p/src/b.py C:\\p\\e.py""".split()  # noqa: SIM905
_names = st.sampled_from(HARMLESS) | st.sampled_from(HOSTILE) | texts
_forms = st.sampled_from(
    [
        "{}",
        "{}:12: x",
        "- {}",
        "[x]({})",
        'import "{}"',
        "from './{}' import",
        "from .{} import x",
        '#include "{}"',
        "File: {}",
        '{{"path": "{}"}}',
    ]
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[dict[str, Any]], str]:
    """A conversation full of texts that name files, and a file that the model reads next."""
    current = draw(st.sampled_from(HARMLESS))
    named = st.builds(str.format, _forms, _names | st.just(current))
    text = st.lists(named, max_size=8).map("\n".join) | st.lists(_names).map(json.dumps)
    messages: list[dict[str, Any]] = []
    kinds = st.sampled_from(["user", "grep", "read", "ahead", "edit"])
    for kind in draw(st.lists(kinds, min_size=1, max_size=6)):
        path, said = draw(_names), f"{current}\n{draw(text)}"
        messages += {
            "user": user(said),
            "grep": turn("grep", {"pattern": "x"}, said),
            "read": read(path, said),
            "ahead": read("z.md", said, ahead=({"path": path},)),
            "edit": turn("edit_file", {"path": path}),
        }[kind]
    return messages, current


def own_folders(messages: list[dict[str, Any]], current: str) -> set[str]:
    """The folders of the files that the model itself reads, with `/` at their end."""
    own = [
        json.loads(made["function"]["arguments"])["path"]
        for message in messages
        for made in message.get("tool_calls", ())
        if made["function"]["name"] == "read_file" and ids.decode(made["id"]) is None
    ]
    return {re.sub(r"[^/]*$", "", plain(path)) for path in (*own, current)}


def plain(path: str) -> str:
    """A path with forward slashes, and without parts that mean nothing."""
    return re.sub(r"(?<![^/])\./|(?<=.)/(?=/)", "", path.replace("\\", "/"))


SOURCES = st.sets(st.sampled_from(get_args(AheadSource)), min_size=1)


@given(conversations(), SOURCES, st.integers(1, 5))
def test_nothing_leads_it_astray(
    conversation: tuple[list[dict[str, Any]], str], sources: set[AheadSource], most: int
) -> None:
    """Whatever texts say: few reads, none twice, none of what is secret, hidden or elsewhere."""
    messages, current = conversation
    found = paths(messages, current, max_reads=most, sources=list(sources), min_hit_rate=0)
    assert len(found) <= most
    assert len({path.casefold() for path in found}) == len(found)
    folders = own_folders(messages, current)
    for path in found:
        folder, _, name = plain(path).rpartition("/")
        is_absolute = path.startswith(("/", "\\")) or path[1:2] == ":"
        near = any(f"{folder}/".startswith(own) for own in folders if own not in ("", "/"))
        in_root = any(own == (f"{folder}/" if is_absolute or folder else "") for own in folders)
        assert near or in_root or ("prompt" in sources and not is_absolute)
        parts = plain(path).removeprefix("C:").removeprefix("c:").split("/")
        assert ".." not in parts and not any(part.startswith((".", "~", "-")) for part in parts)
        assert not re.search(r"[*?\[\]{}$%:\x00-\x1f]", "/".join(parts)) and len(path) <= 300
        assert not re.search(r"secret|token|id_rsa|credential|node_modules|passw", path.casefold())
        assert name.endswith((".py", ".ts", ".md", ".txt", ".conf", ".ini", ".js", ".json"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["path", "offset", "text", "type", "limit"]), inner)
    ),
    max_leaves=8,
)
odd_calls = st.fixed_dictionaries(
    {"id": st.none() | st.sampled_from(["c", ids.encode(ids.DerivedId("abcd", 0, 0, AHEAD, "c"))])},
    optional={
        "function": json_values
        | st.fixed_dictionaries(
            {
                "name": st.sampled_from([*SINGLES, "other"]) | json_values,
                "arguments": json_values | json_values.map(json.dumps) | texts,
            }
        )
    },
)
odd_messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["assistant", "tool", "user", "system", None])},
    optional={
        "content": json_values | texts,
        "tool_call_id": st.none() | st.just("c"),
        "tool_calls": st.none() | st.lists(odd_calls, max_size=3),
    },
)


@given(st.lists(odd_messages, max_size=6), odd_calls)
def test_odd_shapes(messages: list[dict[str, Any]], odd_call: dict[str, Any]) -> None:
    """Whatever the messages and the call look like, nothing breaks."""
    assert not messages or chat.is_understood({"messages": messages})
    reads = next_reads(messages, odd_call, SINGLES, ReadAhead())
    assert all(tool.kind == "read" for tool, _ in reads)
    rate = hit_rate(messages)
    assert rate is None or 0 <= rate <= 1


@pytest.mark.parametrize(
    "text",
    [
        "x" * 500_000,
        " " * 500_000 + "x",
        "1" + "\t" * 500_000 + "from",
        "from " + "." * 500_000,
        ":1" * 250_000 + "x",
        "<environment_a>" * 30_000,
        "[](" * 150_000,
        "[" * 500_000,
        "\n".join(f"src/f{number}.py:1: x" for number in range(25_000)),
        "a.py " * 100_000,
    ],
    ids=lambda text: text[:12].strip(),
)
def test_long_texts_are_cheap(text: str) -> None:
    """No text, however long and nasty, holds an answer up."""
    messages = [*user(text), *turn("grep", {"pattern": "x"}, text), *read("src/z.py", text)]
    start = time.process_time()
    for importer in ("src/z.ts", "src/z.md"):
        added([*messages, *read(importer, text)], {"path": "src/a.py", "offset": 5})
    assert time.process_time() - start < 1
