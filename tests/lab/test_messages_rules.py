"""The lab refuses what a model thought where anything before it has changed."""

from __future__ import annotations

from typing import Any

import pytest

from batchwrap.lab.api_forms.messages_rules import fault_in, signed

ASK: dict[str, Any] = {
    "system": "Be brief.",
    "tools": [{"name": "read_file"}],
    "messages": [{"role": "user", "content": "Hello."}],
}


def answered(ask: dict[str, Any]) -> dict[str, Any]:
    """The request that comes after an answer with thinking."""
    block = {"type": "thinking", "thinking": "Hm.", "signature": signed(ask, "Hm.")}
    said = {"role": "assistant", "content": [block, {"type": "text", "text": "Hi."}]}
    return {**ask, "messages": [*ask["messages"], said, {"role": "user", "content": "Go on."}]}


def test_nothing_has_changed() -> None:
    """Neither cache marks nor another form of the same text are a change."""
    body = answered(ASK)
    assert fault_in(body) is None
    marked = {"type": "text", "text": "Hello.", "cache_control": {"type": "ephemeral"}}
    body["messages"][0] = {"role": "user", "content": [marked]}
    assert fault_in(body) is None


@pytest.mark.parametrize(
    "change",
    [
        {"system": "Be long."},
        {"tools": []},
        {"messages": [{"role": "user", "content": "Hello!"}, *answered(ASK)["messages"][1:]]},
    ],
)
def test_what_has_changed(change: dict[str, Any]) -> None:
    """The thinking is refused, unless the request has it left out."""
    body = {**answered(ASK), **change}
    assert "bound to a different conversation" in str(fault_in(body))
    controls = {"prefix_mismatch_behavior": "drop_block"}
    assert fault_in({**body, "thinking": {"block_binding": controls}}) is None
