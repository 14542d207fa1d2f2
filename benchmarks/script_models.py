"""Scripted models that do a job's program in one of four ways.

    bare, batches   the model runs the program in its head: it makes the calls that the program
                    would wait for, one at a time or up to eight as a batch
    scripts         it writes the program down, where it is offered a tool that runs it
    both            it looks first, until it has made a batch, at most twice; then it writes it

None has a memory: what has come back so far stands in the conversation.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import math
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import orjson

from batchwrap.lab import Call, Reply
from batchwrap.lab.transcript import MadeCall, calls_of, flat, split_batch
from benchmarks.script_jobs import Job

Way = Literal["bare", "batches", "scripts", "both"]
WAYS: tuple[Way, ...] = ("bare", "batches", "scripts", "both")
_SCRIPT = "run_script"
_TOOLS = ("read_file", "edit_file", "write_file", "search_files", "list_files", "run_tests")
# A history in which single calls were put together has these, too.
_SINGLES = {"multi_read": "read_file", "multi_edit": "edit_file", "multi_write": "write_file"}
_MOST_ITEMS, _MOST_LOOKS = 8, 2
# All that the program started has run to its next call after this many turns of the loop.
_TURNS = 10


def model_of(job: Job, way: Way) -> Callable[[dict[str, Any]], Reply]:
    """The model that does a job in some way."""

    def model(request: dict[str, Any]) -> Reply:
        turns = list(calls_of(request["messages"]))
        made = [call for turn in turns for call in _singles(turn)]
        writes = way == "scripts" or (way == "both" and _has_looked(turns))
        printed, wave = _written(job, made) if writes else _run(job, made)
        if wave:
            return Reply(calls=(_as_one(wave[:1] if way == "bare" else wave),))
        left = [name for name in job.then if all(call.name != name for call in made)]
        return Reply(calls=(Call(left[0], {}),)) if left else Reply(printed)

    return model


def _has_looked(turns: Sequence[MadeCall]) -> bool:
    return len(turns) >= _MOST_LOOKS or any(len(call.items()) > 1 for call in turns)


def _singles(call: MadeCall) -> Iterator[MadeCall]:
    """The calls that a call stands for: batches are taken apart."""
    tool = _SINGLES.get(call.name)
    if tool is None:
        yield from flat([call])
        return
    items = call.items()
    texts = split_batch(call.result or "", [str(item.get("path")) for item in items])
    for item, text in zip(items, texts, strict=True):
        yield MadeCall(tool, item, text)


def _written(job: Job, made: list[MadeCall]) -> tuple[str, list[Call]]:
    """What the program has printed, or the call that runs it."""
    printed = next((call.result for call in made if call.name == _SCRIPT), None)
    if printed is not None:
        return printed.rpartition("\n[")[0], []
    return "", [Call(_SCRIPT, {"code": job.code})]


def _run(job: Job, made: list[MadeCall]) -> tuple[str, list[Call]]:
    """What the program has printed, and the calls that it waits for."""
    return asyncio.run(_program(job.code, made))


async def _program(code: str, made: Iterable[MadeCall]) -> tuple[str, list[Call]]:
    printed: list[str] = []
    waiting: list[Call] = []
    results: dict[bytes, deque[str]] = defaultdict(deque)
    for call in made:
        results[_key(call.name, call.arguments)].append(call.result or "")

    async def call_tool(name: str, **arguments: Any) -> str:
        if there := results[_key(name, arguments)]:
            return there.popleft()
        waiting.append(Call(name, arguments))
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    names: dict[str, Any] = {name: partial(call_tool, name) for name in _TOOLS}
    names |= {"asyncio": asyncio, "json": json, "math": math, "re": re}
    names["print"] = lambda *said: printed.append(" ".join(map(str, said)))
    running = eval(compile(code, "program", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    assert inspect.iscoroutine(running)
    task = asyncio.ensure_future(running)
    while not task.done() and not waiting:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
    if waiting:
        task.cancel()
        await asyncio.wait([task])
    else:
        task.result()
    return "\n".join(printed), waiting


def _as_one(calls: list[Call]) -> Call:
    """One call, or up to eight as a batch."""
    if len(calls) == 1:
        return calls[0]
    items = [{"tool": call.name, "arguments": call.arguments} for call in calls[:_MOST_ITEMS]]
    return Call("batch", {"calls": items})


def _key(name: str, arguments: Any) -> bytes:
    return orjson.dumps([name, arguments], option=orjson.OPT_SORT_KEYS)
