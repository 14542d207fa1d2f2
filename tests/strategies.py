"""What the property tests draw from: tools, calls, conversations and ways to cut a text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from hypothesis import settings
from hypothesis import strategies as st

READ_FILE: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Reads a text file.",
        "parameters": {
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "The file."},
                "offset": {"type": "integer", "description": "First line."},
            },
            "required": ["path"],
            "additionalProperties": False,
        },
    },
}
READ_FILES: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "read_files",
        "parameters": {
            "type": "object",
            "properties": {"paths": {"type": "array", "items": {"type": "string"}}},
            "required": ["paths"],
        },
    },
}
EDIT_FILE: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "edit_file",
        "parameters": {
            "type": "object",
            "properties": {
                "path": {"type": "string"},
                "old_string": {"type": "string"},
                "new_string": {"type": "string"},
            },
            "required": ["path", "old_string", "new_string"],
        },
    },
}

WRITE_FILE: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "write_file",
        "parameters": {
            "type": "object",
            "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
            "required": ["path", "content"],
        },
    },
}
GREP: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "grep",
        "parameters": {
            "type": "object",
            "properties": {"pattern": {"type": "string"}, "path": {"type": "string"}},
            "required": ["pattern"],
        },
    },
}
RUN: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "run",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        },
    },
}

# Text that JSON and our scanner must get right: quotes, brackets, escapes, any script.
# No lone surrogates: they cannot be sent as UTF-8.
texts = st.text(st.characters(codec="utf-8"), max_size=30) | st.text('"\\{}[],: \n', max_size=30)
paths = texts.filter(bool)
provider_ids = st.one_of(
    st.from_regex(r"call_[A-Za-z0-9]{24}", fullmatch=True),
    st.from_regex(r"functions\.read_file:[0-9]{1,3}", fullmatch=True),
    st.uuids().map(str),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
)
items = st.builds(
    lambda path, offset: {"path": path} | ({} if offset is None else {"offset": offset}),
    paths,
    st.none() | st.integers(1, 10_000),
)


@st.composite
def multi_arguments(draw: st.DrawFn, least: int = 1) -> tuple[str, list[dict[str, Any]]]:
    """The arguments of a `multi_read` call as some model may write them, and its items."""
    listed = draw(st.lists(items, min_size=least, max_size=6))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")]))
    indent = draw(st.sampled_from([None, None, 2]))
    ascii_only = draw(st.booleans())
    text = json.dumps(
        {"files": listed}, separators=separators, indent=indent, ensure_ascii=ascii_only
    )
    return text, listed


# Few files, so that calls meet on the same ones; spelled in ways that mean the same file.
_files = st.sampled_from(["a.py", "./a.py", "src/a.py", "b.py", "B.py", "c/d.py"])
_reads = st.builds(lambda path: ("read_file", {"path": path}), _files)
_edits = st.builds(
    lambda path, old, new: ("edit_file", {"path": path, "old_string": old, "new_string": new}),
    _files,
    texts,
    texts,
)
_searches = st.builds(lambda pattern: ("grep", {"pattern": pattern}), texts)
single_calls = st.one_of(_reads, _edits, _searches)


@st.composite
def turns(draw: st.DrawFn) -> tuple[dict[str, Any], list[tuple[str, Any]]]:
    """An assistant message with multi-calls and single calls, and the calls they stand for."""
    calls, means, taken = [], list[tuple[str, Any]](), set[str]()
    for _ in range(draw(st.integers(1, 4))):
        call_id = draw(provider_ids)
        if call_id in taken:
            continue
        taken.add(call_id)
        form = draw(st.sampled_from(["multi_read", "multi_edit", "batch", "single"]))
        source = {"multi_read": _reads, "multi_edit": _edits}.get(form, single_calls)
        made = draw(st.lists(source, min_size=1, max_size=1 if form == "single" else 5))
        means += made
        if form == "single":
            [(name, arguments)] = made
        elif form == "batch":
            items = [{"tool": tool, "arguments": given} for tool, given in made]
            name, arguments = form, {"calls": items}
        else:
            name, arguments = form, {"files": [given for _, given in made]}
        ascii_only = draw(st.booleans())
        function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=ascii_only)}
        calls.append({"id": call_id, "type": "function", "function": function})
    return {"role": "assistant", "content": draw(st.none() | texts), "tool_calls": calls}, means


@st.composite
def cuts(draw: st.DrawFn, text: Any, most: int = 12) -> list[Any]:
    """A text or bytes cut into pieces at any place; the pieces joined are the whole."""
    places = draw(st.lists(st.integers(0, len(text)), max_size=most).map(sorted))
    bounds = [0, *places, len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]


# Contents that look like calls: whatever a file holds must never become one.
_call_like = st.sampled_from(
    [
        '[{"tool": "run", "arguments": {"command": "rm -rf ."}}]',
        '{"path": "b", "old_string": "x", "new_string": "y"}',
        '{"calls": [{"tool": "run", "command": "x"}]}',
        '["a.py", "b.py"]',
        '"[]"',
    ]
)
_batch_paths = st.sampled_from(["a.py", "b.py", "src/c d.py"]) | texts.filter(bool)
_contents = texts | _call_like
_ranges = st.none() | st.integers(1, 10_000)


def _without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


_ARGUMENTS = {
    "read_file": st.builds(
        lambda path, offset: _without_none({"path": path, "offset": offset}), _batch_paths, _ranges
    ),
    "edit_file": st.builds(
        lambda path, old, new: {"path": path, "old_string": old, "new_string": new},
        _batch_paths,
        _contents,
        _contents,
    ),
    "write_file": st.builds(
        lambda path, content: {"path": path, "content": content}, _batch_paths, _contents
    ),
    "grep": st.builds(
        lambda pattern, path: _without_none({"pattern": pattern, "path": path}),
        _contents,
        st.none() | _batch_paths,
    ),
}
_run_arguments = st.builds(lambda command: {"command": command}, _contents)


_one_tool = st.sampled_from(sorted(_ARGUMENTS)).flatmap(
    lambda tool: st.lists(st.tuples(st.just(tool), _ARGUMENTS[tool]), min_size=1, max_size=5)
)
_any_tools = st.lists(
    st.one_of(
        *(st.tuples(st.just(tool), arguments) for tool, arguments in _ARGUMENTS.items()),
        st.tuples(st.just("run"), _run_arguments),
    ),
    min_size=1,
    max_size=5,
)
# Lists of calls, of one tool or of several, that a model may want to make at once.
batches = _one_tool | _any_tools


@dataclass(frozen=True)
class Step:
    """One turn of the model, and what an agent makes of it.

    Attributes:
        message: what the model says.
        means: the calls that it stands for.
        pieces: the arguments of each call as they are streamed; None: the answer comes whole.
        cut: the share of a stream behind which it breaks off; None: it does not.
        takes: whether the agent runs and keeps all calls that it gets, or the first.
        fails: which of the calls that it runs in this turn fail, by their number.
        denies: whether it is a person that lets them fail.
        retries: whether each of its requests is sent twice.
        forgets: when what is remembered is lost: in the middle of the turn, or behind it.
        then: what stands behind the results: a person's message, or a note of the agent's.
    """

    message: dict[str, Any]
    means: list[tuple[str, Any]]
    pieces: list[list[str]] | None
    cut: float | None
    takes: Literal["all", "first"]
    fails: frozenset[int]
    denies: bool
    retries: bool
    forgets: Literal["", "amid", "behind"]
    then: Literal["", "person", "note"]

    @property
    def is_plain(self) -> bool:
        """Whether all that the model has called must have been run."""
        has_multi = any(one["function"]["name"] in MULTIS for one in self.message["tool_calls"])
        kept = self.takes == "all" or has_multi  # else it is the agent's own business
        return kept and self.cut is None and not self.fails and self.forgets != "amid"


MULTIS = ("multi_read", "multi_edit", "batch")


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """A turn, mostly of an agent that does nothing odd."""
    message, means = draw(turns())
    pieces = None
    if draw(st.booleans()):
        pieces = [draw(cuts(one["function"]["arguments"])) for one in message["tool_calls"]]
    return Step(
        message,
        means,
        pieces,
        cut=draw(st.none() | st.none() | st.floats(0, 1)) if pieces else None,
        takes=draw(st.sampled_from(["all", "all", "first"])),
        fails=draw(st.just(frozenset()) | st.frozensets(st.integers(0, 9), max_size=3)),
        denies=draw(st.booleans()),
        retries=draw(st.booleans()),
        forgets=draw(st.sampled_from(["", "", "", "amid", "behind"])),
        then=draw(st.sampled_from(["", "", "person", "note"])),
    )


sessions = st.lists(steps(), min_size=1, max_size=4)


def is_thorough() -> bool:
    """Whether the profile is CI's, or one with even more examples; not the quick one."""
    return settings().max_examples >= 100


def examples(number: int = 100, *, quick: int | None = None) -> settings:
    """Settings of a property that needs more or fewer examples than the profile has.

    Args:
        number: of examples under the profile `ci`, whose own number is 100. The quick profile
            tries fewer in proportion.
        quick: of examples under the quick profile, where each takes long.
    """
    most = min(100, settings().max_examples)
    if quick is not None and not is_thorough():
        return settings(max_examples=quick)
    return settings(max_examples=max(1, number * most // 100))
