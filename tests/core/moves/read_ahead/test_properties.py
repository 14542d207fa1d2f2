"""Whatever a conversation holds: never more than is safe, and never slow."""

import json
import re
import time
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.formats import chat
from batchwrap.core.formats.chat.calls import read_call
from batchwrap.core.moves import ids
from batchwrap.core.moves.read_ahead import hit_rate, next_reads
from batchwrap.core.tools.multi import AHEAD
from batchwrap.options import AheadSource, ReadAhead
from tests.core.harness import entries
from tests.core.moves.read_ahead.conversations import SINGLES, added, paths, read, turn, user
from tests.strategies import texts

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
    reads = next_reads(entries(messages), read_call(odd_call), SINGLES, ReadAhead())
    assert all(tool.kind == "read" for tool, _ in reads)
    rate = hit_rate(entries(messages))
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
