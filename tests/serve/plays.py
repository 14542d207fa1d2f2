"""What a model says to agents that ask any of several processes, and what it means."""

from __future__ import annotations

import json
import threading
from typing import Any

from batchwrap.lab import Call, Reply
from batchwrap.lab.api_forms import as_chat


def read(path: str) -> tuple[str, Any]:
    """A read as the agent gets it."""
    return "read_file", {"path": path}


def edit(path: str, old: int) -> tuple[str, Any]:
    """One of several edits of a file, each of which waits for the one before it."""
    return "edit_file", {"path": path, "old_string": f"{old}", "new_string": f"{old + 1}"}


def batch(*calls: tuple[str, Any]) -> Reply:
    """One multi-call with all of these."""
    listed = [{"tool": name, "arguments": given} for name, given in calls]
    return Reply(calls=(Call("batch", {"calls": listed}),))


FIRST = [read("a.py"), edit("a.py", 1), edit("a.py", 2), edit("a.py", 3), read("b.py")]
SECOND = [edit("b.py", 1), edit("b.py", 2), read("a.py")]
# A call that the model makes itself, and that waits for another one.
OWN = Reply(calls=(Call(*edit("a.py", 5)), Call(*edit("a.py", 6))))
PROGRAM = """
hits = await grep(pattern="x")
texts = [await read_file(path=f"{n}.py") for n in range(2)]
await edit_file(path="c.py", old_string="1", new_string="2")
print(len(hits), len(texts))
"""
SCRIPTED = [
    [("grep", {"pattern": "x"})],
    [read("0.py")],
    [read("1.py")],
    [edit("c.py", 1)],
]
PLAYS = {
    "batches": [batch(*FIRST), batch(*SECOND), OWN, Reply("Done.")],
    "scripts": [Reply(calls=(Call("run_script", {"code": PROGRAM}),)), Reply("Done.")],
}


class Model:
    """Plays what the name of the model asks for, by how often it has spoken.

    Attributes:
        entered: released by each request that is held up.
        leave: set: no request is held up.
    """

    def __init__(self) -> None:
        self.entered, self.leave = threading.Semaphore(0), threading.Event()

    def __call__(self, request: dict[str, Any]) -> Reply:
        """The next turn of the play."""
        chat = as_chat(request)
        spoken = sum(one["role"] == "assistant" for one in chat["messages"])
        if not self.leave.is_set():
            self.entered.release()
            self.leave.wait(60)
        said: Reply = PLAYS[chat["model"]][spoken]
        return said


def flat(waves: list[list[tuple[str, Any]]]) -> list[str]:
    """The calls of all waves, as texts."""
    return sorted(json.dumps(one) for wave in waves for one in wave)
