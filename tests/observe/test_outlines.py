"""The last event of a request has the answer's outline: what the model said, what the agent got."""

from __future__ import annotations

from typing import Any

import pytest

from batchwrap.lab import Call, Reply
from batchwrap.options import Batching, Event, Scripts
from tests.adapters.api_agents import ApiAgent, MessagesAgent, ResponsesAgent
from tests.adapters.conftest import opened as opened  # a fixture

EDITS = [{"path": path, "old": "1", "new": "2"} for path in ("a.py", "a.py", "b.py")]
MULTI_EDIT = Reply(calls=(Call("multi_edit", {"files": EDITS}),))
END = Reply("Done.")

both = pytest.mark.parametrize("api", [MessagesAgent, ResponsesAgent])
plain_and_streamed = pytest.mark.parametrize("stream", [False, True])


class Heard:
    """The last events of all requests."""

    def __init__(self) -> None:
        self.ended: list[dict[str, Any]] = []

    def __call__(self, event: Event) -> None:
        """Keep the last event of a request."""
        if event.name == "ended":
            self.ended.append(dict(event.data))

    def counts(self, side: str) -> list[dict[str, int]]:
        """By request: how often each tool was called on a side."""
        return [{name: count for name, count, _ in one.get(side, ())} for one in self.ended]


@both
@plain_and_streamed
def test_a_batch(serve: Any, opened: Any, api: type[ApiAgent], stream: bool) -> None:
    """A batch, the local answer with what had waited, and a text are told apart."""
    heard = Heard()
    agent = opened(serve(MULTI_EDIT, END), api, stream=stream, on_event=heard)
    agent.run()
    assert heard.counts("said") == [{"multi_edit": 1}, {}, {}]
    assert heard.counts("got") == [{"edit_file": 2}, {"edit_file": 1}, {}]
    assert [one.get("held") for one in heard.ended] == [1, None, None]
    assert [one["local"] for one in heard.ended] == [False, True, False]
    [[_, _, chars]] = heard.ended[0]["said"]
    assert chars > sum(chars for _, _, chars in heard.ended[0]["got"])
    names = {one["conversation"] for one in heard.ended}
    assert len(names) == 1 and len(names.pop()) == 12


@both
def test_conversations(serve: Any, opened: Any, api: type[ApiAgent]) -> None:
    """A conversation keeps its name, in another process, too; another task has another name."""
    heard = Heard()
    replies = [Reply(calls=(Call("read_file", {"path": "a.py"}),))] * 3
    agent = opened(serve(*replies, END), api, stream=False, on_event=heard)
    for _ in range(2):
        agent.step()
        agent.forget()
    agent.history = [{"role": "user", "content": "Another task."}]
    agent.step()
    first, second, third = (one["conversation"] for one in heard.ended)
    assert first == second != third


@both
@plain_and_streamed
def test_scripts(serve: Any, opened: Any, api: type[ApiAgent], stream: bool) -> None:
    """A script is what the model said; its calls are what the agent got, wave by wave."""
    code = 'one = await read_file(path="a.py")\nawait read_file(path="b.py")\n'
    heard = Heard()
    batching = Batching(scripts=Scripts())
    lab = serve(Reply(calls=(Call("run_script", {"code": code}),)), END)
    agent = opened(lab, api, stream=stream, on_event=heard, batching=batching)
    agent.run()
    assert heard.counts("said") == [{"run_script": 1}, {}, {}]
    assert heard.counts("got") == [{"read_file": 1}, {"read_file": 1}, {}]


def test_nothing_translated(serve: Any, opened: Any) -> None:
    """Where nothing is translated, the event has no outline."""
    heard = Heard()
    agent = opened(serve(END), MessagesAgent, stream=False, on_event=heard)
    agent.fields = {"messages": "odd"}
    agent.client.post(agent.url, json={**agent.body, **agent.fields})
    [ended] = heard.ended
    assert not {"conversation", "said", "got", "held"} & set(ended)
