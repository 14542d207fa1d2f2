"""Programs that go wrong, through a wrapped client: one clear line for the model, and no more."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

import batchwrap
from batchwrap.adapters.clients import engine_of
from batchwrap.lab import Call, Lab, Reply
from batchwrap.options import Batching, Scripts
from tests.core.apis import CHAT
from tests.core.script_play import INTERPRETER, gathered
from tests.strategies import EDIT_FILE, GREP, READ_FILE

pytest.importorskip("pydantic_monty")
SCRIPTS = Scripts(max_seconds=0.3, max_calls=20, max_output_tokens=500)
TOOLS = [GREP, READ_FILE, EDIT_FILE]
FIRST = "x = await grep(pattern='a')\n"


class Talk:
    """One conversation of an agent, through a wrapped client, with a model that plays replies.

    Attributes:
        ran: the calls that the agent got.
        told: the results of the model's own calls, in its last request.
    """

    def __init__(self, lab: Lab, closing: ExitStack, *, stream: bool, **options: Any) -> None:
        bare = closing.enter_context(httpx2.Client(base_url=lab.url, timeout=60))
        batching = Batching(scripts=SCRIPTS, **options)
        self.client = batchwrap.wrap(bare, batching=batching, reminders=None)
        engine = engine_of(self.client)
        assert engine is not None
        engine.interpreter = INTERPRETER
        self.ran: list[tuple[str, str]] = []
        self._lab, self._stream = lab, stream
        self._messages: list[dict[str, Any]] = [{"role": "user", "content": "Mend a.py."}]

    def go(self) -> Talk:
        """Until the model has nothing more to call."""
        while True:
            asked = {"model": "m", "messages": self._messages, "tools": TOOLS}
            body = {**asked, "stream": self._stream}
            answer = self.client.post("/v1/chat/completions", json=body)
            answer.raise_for_status()
            if self._stream:
                message = gathered(CHAT, answer.text)
            else:
                message = answer.json()["choices"][0]["message"]
            self._messages.append(message)
            if not message.get("tool_calls"):
                return self
            for one in message["tool_calls"]:
                name, given = one["function"]["name"], one["function"]["arguments"]
                self.ran.append((name, given))
                known = name in ("grep", "read_file", "edit_file")
                text = f"text of {given}" if known else f"Error: no tool {name}"
                result = {"role": "tool", "tool_call_id": one["id"], "content": text}
                self._messages.append(result)

    @property
    def told(self) -> list[str]:
        """What the model was told."""
        sent = self._lab.journal[-1].json["messages"]
        return [one["content"] for one in sent if one["role"] == "tool"]


def calls(arguments: str, text: str = "", **more: Any) -> Reply:
    """A model that calls a script."""
    return Reply(text, calls=(Call("run_script", arguments),), **more)


# Programs that make no call, and what the model is told of them.
FUTILE = {
    "while True:\n    pass": r"TimeoutError: it computed for more than 0\.3 s",
    "x = 'a' * 10**9": r"MemoryError: it takes more than 64 MB|process died",
    "x = [0] * 10**8": r"MemoryError: it takes more than 64 MB|process died",
    "x = []\nwhile True:\n    x.append('a' * 10_000)": r"MemoryError|TimeoutError",
    "def f():\n    return f()\nf()": r"RecursionError.*line 2",
    "print('x' * 10**7)": r"9998001 more characters were printed and are left out",
    "for i in range(10**5):\n    print('line', i)": r"more characters were printed|TimeoutError",
    "print(open('/etc/passwd').read())": r"open|PermissionError|not supported",
    "import os\nos.system('touch /tmp/x')": r"'os'|os\.system|attribute 'system'",
    "import subprocess": r"No module named 'subprocess'.*line 1",
    "import socket": r"No module named 'socket'",
    "__import__('os').remove('a')": r"__import__",
    "().__class__.__base__.__subclasses__()": r"AttributeError|TypeError",
    "eval('1 +')": r"SyntaxError",
    "await shell(command='rm -rf /')": r"name 'shell' is not defined.*line 1.*there are edit_file",
    "await read_fil(path='a')": r"did you mean read_file\?",
    "await read_file()": r"TypeError: read_file\(\) needs 'path'",
    "await read_file(path=3)": r"TypeError: read_file\(\) wants string as 'path', not '3'",
    "await read_file(pth='a')": r"has no parameter 'pth'",
    "x = (": r"SyntaxError",
    "1 / 0": r"ZeroDivisionError.*line 1: 1 / 0",
    "": r"No call was run",
    "print(1 + 1)": r"^2\n",
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("code", FUTILE, ids=lambda code: code[:24])
def test_a_program_without_calls(serve: Any, closing: ExitStack, code: str, stream: bool) -> None:
    """The model is told inside of the request, and the agent gets its next answer."""
    lab = serve(calls(json.dumps({"code": code})), Reply("done"))
    talk = Talk(lab, closing, stream=stream).go()
    assert talk.ran == []
    assert re.search(FUTILE[code], talk.told[0]), talk.told
    assert "[No call was run.]" in talk.told[0]
    assert len(lab.journal) == 2
    assert batchwrap.stats(talk.client).asked_again == 1


# Programs that go wrong behind a first call, what they run, and what the model is told.
LATE = {
    "while True:\n    pass": (1, r"TimeoutError: it computed for more than 0\.3 s"),
    "x = x * 10**9": (1, r"MemoryError|process died"),
    "for i in range(10**6):\n    await grep(pattern=str(i))": (20, r"may make 20 calls"),
    "await asyncio.gather(*[grep(pattern=str(i)) for i in range(10**6)])": (
        1,
        r"may make 20 calls|TimeoutError",
    ),
    "print(x * 10**6)": (1, r"more characters were printed and are left out"),
    "await shell(command='x')": (1, r"name 'shell' is not defined.*line 2"),
    "await read_file(path=[x])": (1, r"TypeError: read_file\(\) wants string"),
    "raise ToolError('mine')": (1, r"mine.*line 2"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("code", LATE, ids=lambda code: code[:24])
def test_a_program_that_goes_wrong(serve: Any, closing: ExitStack, code: str, stream: bool) -> None:
    """What has run is told with the error, and nothing else happens."""
    lab = serve(calls(json.dumps({"code": FIRST + code}), "I look."), Reply("done"))
    talk = Talk(lab, closing, stream=stream).go()
    count, told = LATE[code]
    assert len(talk.ran) == count
    assert re.search(told, talk.told[0]), talk.told
    assert f"{count} call{'s' if count > 1 else ''} ran: grep {count}]" in talk.told[0]
    assert len(talk.told[0]) < 4_000
    assert len(lab.journal) == 2


READ = "print(len(await read_file(path='a.py')))"
UNDERSTOOD = [
    json.dumps({"code": READ}, indent=2),
    json.dumps({"script": READ}),
    json.dumps({"code": f"```python\n{READ}\n```"}),
    json.dumps({"code": f"\n  ```py\n{READ}\n```\n"}),
    json.dumps({"code": f"    {READ}\n"}),
    json.dumps({"code": READ, "language": "python"}),
    json.dumps(READ),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("arguments", UNDERSTOOD)
def test_a_program_in_odd_arguments(
    serve: Any, closing: ExitStack, arguments: str, stream: bool
) -> None:
    """What can only be meant as a program is run as one."""
    lab = serve(calls(arguments), Reply("done"))
    talk = Talk(lab, closing, stream=stream).go()
    assert talk.ran == [("read_file", '{"path":"a.py"}')]
    assert talk.told[0].endswith("[1 call ran: read_file 1]")


BROKEN = [
    '{"code": "x = await read_file(path=\'a.py\')',
    '{"code": 7}',
    "{}",
    "",
    '{"a": "x = 1", "b": "y = 2"}',
    "[1]",
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("arguments", BROKEN)
@pytest.mark.parametrize("reason", [None, "length"])
def test_a_call_without_a_program(
    serve: Any, closing: ExitStack, arguments: str, stream: bool, reason: str | None
) -> None:
    """Nothing runs, and the model is told what is wrong with the call."""
    lab = serve(calls(arguments, finish_reason=reason), Reply("done"))
    talk = Talk(lab, closing, stream=stream).go()
    assert [name for name, _ in talk.ran] == (["run_script"] if reason else [])
    assert "holds no program" in talk.told[0], talk.told
    assert len(lab.journal) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_at_most_twice(serve: Any, closing: ExitStack, stream: bool) -> None:
    """A model that writes nothing but futile programs is asked twice, then not again."""
    futile = [calls(json.dumps({"code": f"print({n})"})) for n in range(4)]
    lab = serve(*futile, Reply("done"))
    talk = Talk(lab, closing, stream=stream).go()
    assert [name for name, _ in talk.ran] == ["run_script"]
    assert [one.partition("\n")[0] for one in talk.told] == ["0", "1", "2", "3"]
    assert batchwrap.stats(talk.client).asked_again == 3


def test_behind_a_text(serve: Any, closing: ExitStack) -> None:
    """Where a stream's text has gone out, the agent gets the call, the model what it did."""
    lab = serve(calls(json.dumps({"code": "print(7)"}), "I look."), Reply("done"))
    talk = Talk(lab, closing, stream=True).go()
    assert [name for name, _ in talk.ran] == ["run_script"]
    assert talk.told == ["7\n[No call was run.]"]
