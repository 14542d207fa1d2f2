"""What was called, in one form whoever tells of it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessage

from batchwrap.testing import calls_in
from tests.core.harness import call

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=9,
)


@given(st.lists(st.tuples(st.sampled_from(["read_file", "ls"]), JSON)))
def test_dicts_and_objects(made: list[tuple[str, Any]]) -> None:
    """The same calls are found in dicts and in objects of the SDK, in one message or in many."""
    calls = [call(f"c{n}", name, json.dumps(said)) for n, (name, said) in enumerate(made)]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    assert calls_in(message) == calls_in(ChatCompletionMessage.model_validate(message)) == made
    single = [{"role": "user", "content": "hi"}, *({**message, "tool_calls": [c]} for c in calls)]
    assert calls_in(single) == made


def test_what_is_no_call() -> None:
    """Anything else has no calls; arguments that are no JSON stay text."""
    for odd in (None, 7, "text", [None, 7], {"tool_calls": 7}, SimpleNamespace()):
        assert calls_in(odd) == []
    assert calls_in(call("c", "ls", "{")) == []
    assert calls_in({"tool_calls": [call("c", "ls", "{")]}) == [("ls", "{")]
