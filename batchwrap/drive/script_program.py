"""A model's program as the interpreter takes it, and what is run before it.

The sandbox lacks some of asyncio: tasks, time-outs, and `return_exceptions`. Models use them often,
and all that they mean here is that calls wait together. So a program that names them gets an
`asyncio` of its own, which is a part of the prelude; others do without, since it takes time.
"""

from __future__ import annotations

import re
from textwrap import dedent

# Fed on its own, so that the lines of the program keep their numbers. No class can be handed in,
# and none can inherit from another, so an error of a tool is the plainest one that there is.
_PRELUDE = "ToolError = RuntimeError\nimport asyncio, json, math, re\n"
_ASYNCIO = """
_asyncio = asyncio

async def _quiet(one):
    try:
        return await one
    except Exception as error:
        return error

class _Asyncio:
    TimeoutError = TimeoutError

    def __init__(self):
        self.run, self.sleep = _asyncio.run, _asyncio.sleep

    def create_task(self, one, name=None):
        return one

    def ensure_future(self, one):
        return one

    async def wait_for(self, one, timeout=None):
        return await one

    async def gather(self, *many, return_exceptions=False):
        if return_exceptions:
            many = [_quiet(one) for one in many]
        return await _asyncio.gather(*many)

asyncio = _Asyncio()
"""

_FENCE = re.compile(
    r"\A\s*(`{3,9}|~{3,9})[^\n]*\n(.*?)(?:^[ \t]*\1\s*)?\Z", re.DOTALL | re.MULTILINE
)
_MORE_ASYNCIO = re.compile(
    r"\b(?:asyncio\.(?:create_task|ensure_future|wait_for|TimeoutError)|return_exceptions)\b"
)
# At the beginning of a program, where no text in several lines can have begun.
_HEAD = re.compile(r"(?:[ \t]*(?:#.*)?\n|(?:import|from)[ \t].*\n)*")
_IMPORT = re.compile(r"^import[ \t]+([^\n#]*)", re.MULTILINE)


def program(code: str) -> str:
    """A program as it is run: out of its Markdown fence, and without a common indentation.

    Lines keep their numbers.
    """
    text = encodable(code.replace("\r\n", "\n").replace("\r", "\n"))
    if fenced := _FENCE.match(text):
        text = "\n" * text.count("\n", 0, fenced.start(2)) + fenced[2]
    if text.lstrip("\n")[:1] in (" ", "\t"):
        text = dedent(text)
    return _without_import(text) if _MORE_ASYNCIO.search(text) else text


def prelude_of(text: str) -> str:
    """What is run before a program."""
    return _PRELUDE + _ASYNCIO if _MORE_ASYNCIO.search(text) else _PRELUDE


def encodable(text: str) -> str:
    """A text without half surrogates, which the interpreter does not take."""
    return text.encode(errors="replace").decode()


def _without_import(text: str) -> str:
    """The program does not import what would hide the prelude's own."""
    head = _HEAD.match(text)
    assert head is not None
    return _IMPORT.sub(_without_asyncio, head[0]) + text[head.end() :]


def _without_asyncio(found: re.Match[str]) -> str:
    """The beginning of an import, up to a comment, that does not name asyncio."""
    names = found[1].split(",")
    kept = [name for name in names if name.strip() != "asyncio"]
    if len(kept) == len(names):
        return found[0]
    return f"import {','.join(kept).lstrip()}" if kept else "pass "
