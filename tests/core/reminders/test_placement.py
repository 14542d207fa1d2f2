"""Where reminders stand: at the end of a message, or as one of their own."""

from typing import Any

import pytest

from batchwrap.core.model import Model
from batchwrap.options import Options, Placement, Reminders
from tests.core.harness import Bench, answer, call
from tests.strategies import EDIT_FILE, READ_FILE

TASK = {"role": "user", "content": "Go."}
AFTER_TOOLS = [
    TASK,
    *answer({"tool_calls": [call(name, "other", {}) for name in "ab"]}),
]
AFTER_USER = [TASK, {"role": "assistant", "content": "ok"}, TASK]


def sent(
    messages: list[dict[str, Any]], placement: Placement, model: Model | None = None
) -> list[dict[str, Any]]:
    """The messages as the provider sees them, with a reminder in every turn."""
    bench = Bench(Options(reminders=Reminders(every=1, placement=placement)))
    bench.model = model or bench.model
    made = bench.request({"messages": messages, "tools": [READ_FILE, EDIT_FILE]})
    assert made is not None
    messages_made: list[dict[str, Any]] = made["messages"]
    return messages_made


@pytest.mark.parametrize("placement", ["user", "system"])
@pytest.mark.parametrize("messages", [AFTER_TOOLS, AFTER_USER])
def test_messages_of_their_own(placement: Placement, messages: list[dict[str, Any]]) -> None:
    """The agent's messages stay as they are; the reminder comes after the last of them."""
    made = sent(messages, placement)
    assert made[:-1] == messages
    assert made[-1]["role"] == placement
    assert made[-1]["content"].startswith("[Reminder: ")


@pytest.mark.parametrize("placement", ["user", "system"])
def test_they_stay(placement: Placement) -> None:
    """In later requests each stands where it was put."""
    messages = [*AFTER_TOOLS, *answer({"tool_calls": [call("c", "other", {})]})]
    roles = [message["role"] for message in sent(messages, placement)]
    assert roles == ["user", "assistant", "tool", "tool", placement, "assistant", "tool", placement]


@pytest.mark.parametrize(
    ("placement", "messages", "refused"),
    [
        ("user", AFTER_TOOLS, "user_after_tool"),
        ("user", AFTER_USER, "user_after_user"),
        ("system", AFTER_TOOLS, "late_system"),
        ("system", AFTER_USER, "late_system"),
    ],
)
def test_orders_that_the_model_refuses(
    placement: Placement, messages: list[dict[str, Any]], refused: Any
) -> None:
    """There the reminder is appended; elsewhere it is placed as the user wants."""
    made = sent(messages, placement, Model(unsupported={refused: "refused"}))
    assert [message["role"] for message in made] == [message["role"] for message in messages]
    assert "[Reminder: " in made[-1]["content"]
    others: Any = {"user_after_tool", "user_after_user", "late_system"} - {refused}
    model = Model(unsupported=dict.fromkeys(others, "refused"))
    assert len(sent(messages, placement, model)) == len(messages) + 1


def test_several_results_come_first() -> None:
    """No reminder stands between the results of one turn, in any placement."""
    for placement in ("append", "user", "system"):
        made = sent(AFTER_TOOLS, placement)
        assert made[:3] == AFTER_TOOLS[:3]
        assert made[3]["tool_call_id"] == "b"
