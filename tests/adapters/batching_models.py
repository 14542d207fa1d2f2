"""Simulated models that batch, for agents of every API, and what they mean by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from batchwrap.lab import Call, Reply
from batchwrap.options import Batching, ReadAhead, Reminders


def scripted(*replies: Reply) -> Callable[[Any], Reply]:
    """A model that says these, one after the other, and then that it is done."""
    left = list(replies)
    return lambda _: left.pop(0) if left else Reply("done")


def files(*items: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a multi-call."""
    return {"files": list(items)}


def edit(path: str, new: str) -> dict[str, str]:
    """The arguments of an edit."""
    return {"path": path, "old_string": "x", "new_string": new}


PATHS = ["a.py", "b.py", "c.py"]
_paths = st.sampled_from(PATHS)
_items = st.one_of(
    _paths.map(lambda path: ("read_file", {"path": path})),
    st.builds(lambda path, new: ("edit_file", edit(path, new)), _paths, st.sampled_from("123")),
)
_calls = st.one_of(
    st.lists(_items, min_size=1, max_size=5).map(
        lambda items: Call(
            "batch", {"calls": [{"tool": tool, "arguments": given} for tool, given in items]}
        )
    ),
    _items.map(lambda item: Call(*item)),
    st.lists(_paths, min_size=1, max_size=4).map(
        lambda paths: Call("multi_read", files(*({"path": path} for path in paths)))
    ),
)
conversations = st.lists(
    st.builds(
        lambda text, calls: Reply(text, calls=tuple(calls)),
        st.sampled_from(["", "Looking."]),
        st.lists(_calls, min_size=1, max_size=3),
    ),
    max_size=3,
)


def meant(replies: list[Reply]) -> list[tuple[str, Any]]:
    """The calls that a model meant."""
    found: list[tuple[str, Any]] = []
    for reply in replies:
        for call in reply.calls:
            given: Any = call.arguments
            if call.name == "batch":
                found += [(one["tool"], one["arguments"]) for one in given["calls"]]
            elif call.name == "multi_read":
                found += [("read_file", one) for one in given["files"]]
            else:
                found.append((call.name, given))
    return found


def edits_of(calls: list[tuple[str, Any]], path: str) -> list[Any]:
    """The edits of one file, in order."""
    return [given for name, given in calls if name == "edit_file" and given["path"] == path]


def long_job() -> list[Reply]:
    """Single reads, a batch beside a single call, edits of one file in a batch, and a search."""
    edits = [{"tool": "edit_file", "arguments": edit("a.py", new)} for new in "12"]
    batch = [*edits, {"tool": "read_file", "arguments": {"path": "a.py"}}]
    reads = Call("multi_read", files({"path": "c.py"}, {"path": "d.py"}))
    return [
        Reply("Looking.", calls=(Call("read_file", {"path": "a.py"}),)),
        Reply(calls=(Call("read_file", {"path": "b.py"}),)),
        Reply(calls=(reads, Call("read_file", {"path": "e.py"}))),
        Reply("Now.", calls=(Call("batch", {"calls": batch}),)),
        Reply(calls=(Call("grep", {"pattern": "x"}),)),
    ]


# Options that change how a conversation is written or delivered, and what local answers they need.
OPTIONS: dict[str, tuple[dict[str, Any], int]] = {
    "coalesce": ({"batching": Batching(coalesce="always")}, 2),
    "instead": ({"batching": Batching(offer="instead")}, 2),
    "as the user": ({"reminders": Reminders(placement="user")}, 2),
    "as the system": ({"reminders": Reminders(placement="system")}, 2),
    "read ahead": ({"batching": Batching(read_ahead=ReadAhead(sources=("prompt",)))}, 2),
    "approvals": ({"batching": Batching(approvals=True)}, 2),
    "serial": ({"batching": Batching(delivery="serial")}, 4),
    "at once": ({"batching": Batching(delivery="at_once")}, 0),
}
