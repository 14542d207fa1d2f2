"""What a model means by a multi-call: exactly the calls that it means, or none."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from batchwrap.core.views.find import barriers, find
from batchwrap.core.views.meaning import Meant, Toolbox, read
from batchwrap.options import Batching
from benchmarks.distortions import Renderer
from tests.strategies import EDIT_FILE, GREP, READ_FILE, WRITE_FILE, texts

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
TOOLS = [READ_FILE, EDIT_FILE, WRITE_FILE, GREP, RUN]
SINGLES = {tool.name: tool for tool in find(TOOLS, Batching())}
BARRIERS = barriers(TOOLS, SINGLES)
TOOLBOX = Toolbox(SINGLES, BARRIERS)
OF_MULTI = {
    "multi_read": SINGLES["read_file"],
    "multi_edit": SINGLES["edit_file"],
    "multi_write": SINGLES["write_file"],
    "multi_grep": SINGLES["grep"],
    "multi_run": BARRIERS["run"],
}

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
_paths = st.sampled_from(["a.py", "b.py", "src/c d.py"]) | texts.filter(bool)
_contents = texts | _call_like
_ranges = st.none() | st.integers(1, 10_000)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


CALLS = {
    "read_file": st.builds(
        lambda path, offset: _given({"path": path, "offset": offset}), _paths, _ranges
    ),
    "edit_file": st.builds(
        lambda path, old, new: {"path": path, "old_string": old, "new_string": new},
        _paths,
        _contents,
        _contents,
    ),
    "write_file": st.builds(
        lambda path, content: {"path": path, "content": content}, _paths, _contents
    ),
    "grep": st.builds(
        lambda pattern, path: _given({"pattern": pattern, "path": path}),
        _contents,
        st.none() | _paths,
    ),
}
run_calls = st.builds(lambda command: {"command": command}, _contents)


def of(tool: str, least: int = 1) -> st.SearchStrategy[list[tuple[str, dict[str, Any]]]]:
    """Lists of calls of one tool."""
    return st.lists(CALLS[tool].map(lambda given: (tool, given)), min_size=least, max_size=5)


several = st.sampled_from(sorted(CALLS)).flatmap(of)
mixed = st.lists(
    st.one_of(
        *(st.tuples(st.just(tool), strategy) for tool, strategy in CALLS.items()),
        st.tuples(st.just("run"), run_calls),
    ),
    min_size=1,
    max_size=5,
)


def meant(name: str, value: Any) -> list[tuple[str, Any] | None]:
    """The calls that a multi-call means; None in the place of one that means none."""
    return [
        (part.tool.name, json.loads(part.arguments)) if isinstance(part, Meant) else None
        for part in read(value, TOOLBOX, OF_MULTI.get(name))
    ]


@given(several | mixed, st.randoms(use_true_random=False), st.sampled_from([0.05, 0.25, 0.5]))
def test_any_rendering(
    calls: list[tuple[str, dict[str, Any]]], draw: random.Random, rate: float
) -> None:
    """A list of calls in any form comes back as exactly these calls, or as none."""
    rendered = Renderer(draw, rate).render(calls)
    found = meant(rendered.name, rendered.value)
    if None in found:
        assert not set(map(repr, filter(None, found))) - set(map(repr, calls)), rendered
    else:
        assert found == calls, rendered
