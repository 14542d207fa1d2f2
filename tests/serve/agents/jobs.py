"""A folder to work in, and models that say their turns whatever the API is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchwrap.lab import Call, Lab, Raw, Reply
from batchwrap.lab.api_forms import as_chat
from batchwrap.lab.transcript import text_of
from tests.serve.agents.recipes import Agent

Request = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """An agent with its home and its project, and what its model is asked.

    Attributes:
        agent: the agent.
        folder: its home and its project.
        lab: the provider.
        base_url: what the agent is told.
    """

    agent: Agent
    folder: Path
    lab: Lab
    base_url: str

    def run(self, prompt: str, *more: str) -> str:
        """Let the agent work, with more arguments; what it printed."""
        home, project = self.folder / "home", self.folder / "project"
        return self.agent.run(prompt, home, project, self.base_url, *more)

    def path(self, name: str) -> str:
        """A file of the project."""
        return str(self.folder / "project" / name)

    def text(self, name: str) -> str:
        """What is in a file of the project."""
        return Path(self.path(name)).read_text()

    @property
    def asked(self) -> list[Request]:
        """The requests that the model got, in chat's form."""
        return [as_chat(entry.json) for entry in self.lab.journal if entry.is_turn]


@contextmanager
def job(
    agent: Agent, folder: Path, model: Callable[[Request], Reply | Raw], front: Callable[[str], str]
) -> Iterator[Job]:
    """A job whose project has the files a.txt and b.txt."""
    for name in ("home", "project"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, text in (("a.txt", "a is alpha\n"), ("b.txt", "b is beta\n")):
        (folder / "project" / name).write_text(text)
    with Lab(lambda request: model(as_chat(request)), tokens_per_s=math.inf, ttft_s=0) as lab:
        yield Job(agent, folder, lab, front(lab.base_url))


def in_turn(*replies: Reply | Raw) -> Callable[[Request], Reply | Raw]:
    """A model that says these, one after the other, in each conversation; at last "Done."."""

    def say(request: Request) -> Reply | Raw:
        at = sum(message["role"] == "assistant" for message in request["messages"])
        return replies[at] if at < len(replies) else Reply("Done.")

    return say


def several(name: str, items: Sequence[dict[str, Any]], key: str = "files") -> Reply:
    """A turn with one multi-call."""
    return Reply(calls=(Call(name, {key: list(items)}),))


def made(request: Request) -> list[str]:
    """The names of the calls in a request, in order."""
    calls = (call for one in request["messages"] for call in one.get("tool_calls") or ())
    return [call["function"]["name"] for call in calls]


def results(request: Request) -> list[str]:
    """The results in a request as texts, in order; they answer its calls in the same order."""
    found = [one for one in request["messages"] if one["role"] == "tool"]
    calls = (call for one in request["messages"] for call in one.get("tool_calls") or ())
    assert [one["tool_call_id"] for one in found] == [call["id"] for call in calls]
    return [text_of(one) for one in found]


def offered(request: Request) -> set[str]:
    """The names of the functions that a request lets the model call."""
    return {tool["function"]["name"] for tool in request.get("tools") or () if "function" in tool}
