"""An interpreter of scripts that is easy to trust: plain Python, and asyncio, in this process.

It says what the sandboxed one must say, for programs that keep to their limits, await their calls
and do without `asyncio.run`. Tests of what is done with an outcome may use it in its place: it has
the same methods. It is no sandbox: it runs whatever it is given.
"""

from __future__ import annotations

import ast
import asyncio
import json
import math
import re
from collections.abc import Callable
from typing import Any

from batchwrap.core.failures import ResultStatus
from batchwrap.core.moves.script_run import ScriptCall, ScriptOutcome, ScriptRun

_CHARS_PER_TOKEN = 4
_FILE = "<script>"
_VALUE = "__value__"


class _Over(BaseException):
    """No program may catch it."""


class ReferenceInterpreter:
    """Runs scripts with `exec`."""

    is_available = True

    def run(self, run: ScriptRun) -> ScriptOutcome:
        """How far a script comes."""
        return _ReferenceRun(run).outcome()

    async def run_async(self, run: ScriptRun) -> ScriptOutcome:
        """The same; a thread is needed where an event loop runs already."""
        from anyio import to_thread

        return await to_thread.run_sync(self.run, run)

    def close(self) -> None:
        """There is nothing to close."""


class _ReferenceRun:
    def __init__(self, run: ScriptRun) -> None:
        self.given = run
        self.calls: list[ScriptCall] = []
        self.futures: list[asyncio.Future[str]] = []
        self.printed = ""
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda *_: None)  # of calls that nobody waits for

    def outcome(self) -> ScriptOutcome:
        """What the run comes to."""
        try:
            return self.loop.run_until_complete(self._driven())
        finally:
            self.loop.close()

    async def _driven(self) -> ScriptOutcome:
        program = self.loop.create_task(self._program())
        try:
            while True:
                await self._until_all_wait()
                if denied := self._denied():
                    return self._said(error=denied, is_denied=True)
                is_over = program.done() and program.exception() is not None
                if not is_over and (missing := self._missing()):
                    return self._waiting(missing)
                if program.done():
                    return self._ended(program)
                self._hand_out()
        finally:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await self._until_all_wait()

    async def _until_all_wait(self) -> None:
        """Let everybody go on who can."""
        await asyncio.sleep(0)
        while self.loop._ready:  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0)

    async def _program(self) -> Any:
        names: dict[str, Any] = {name: self._function(name) for name in self.given.functions}
        names.update(asyncio=asyncio, json=json, math=math, re=re)
        names.update(ToolError=RuntimeError, print=self._print)
        tree = ast.parse(self.given.code)
        if tree.body and isinstance(last := tree.body[-1], ast.Expr):
            target = ast.Name(_VALUE, ast.Store(), lineno=last.lineno, col_offset=0)
            tree.body[-1] = ast.copy_location(ast.Assign([target], last.value), last)
            ast.fix_missing_locations(tree)
        code = compile(tree, _FILE, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        waiting = eval(code, names)
        if waiting is not None:
            await waiting
        return names.get(_VALUE)

    def _print(self, *values: object, sep: str = " ", end: str = "\n") -> None:
        self.printed += sep.join(map(str, values)) + end

    def _function(self, name: str) -> Callable[..., asyncio.Future[str]]:
        function = self.given.functions[name]

        def call(*given: object, **named: object) -> asyncio.Future[str]:
            arguments = function.arguments(given, named)
            number, most = len(self.calls), self.given.limits.max_calls
            if number >= most:
                raise _Over(f"a script may make {most} calls; this one makes more, so it was ended")
            self.calls.append(ScriptCall(function.tool.name, arguments))
            self._check(number)
            self.futures.append(self.loop.create_future())
            return self.futures[-1]

        return call

    def _check(self, number: int) -> None:
        recorded, call = self.given.results.get(number), self.calls[number]
        if recorded is not None and (
            recorded.tool != call.tool
            or json.loads(recorded.arguments) != json.loads(call.arguments)
        ):
            raise _Over("the record of this conversation differs")

    def _missing(self) -> list[int]:
        return [number for number in range(len(self.calls)) if number not in self.given.results]

    def _hand_out(self) -> None:
        for number, future in enumerate(self.futures):
            result = self.given.results[number]
            if future.done():
                continue
            if result.status is ResultStatus.FAILED:
                future.set_exception(RuntimeError(result.text))
            else:
                future.set_result(result.text)

    def _denied(self) -> str | None:
        for number, call in enumerate(self.calls):
            result = self.given.results.get(number)
            if result is not None and result.status is ResultStatus.DENIED:
                named = f"{call.tool} {call.arguments}"
                return f"call {number}, {named}, was denied: {result.text}"
        return None

    def _waiting(self, missing: list[int]) -> ScriptOutcome:
        if any(number >= len(self.calls) for number in self.given.results):
            return self._said(error="the record of this conversation has a gap")
        return self._said(waiting=tuple(missing))

    def _ended(self, program: asyncio.Task[Any]) -> ScriptOutcome:
        error = program.exception()
        if isinstance(error, _Over):
            return self._said(error=str(error))
        if error is not None:
            failed = [
                one.text for one in self.given.results.values() if one.status is ResultStatus.FAILED
            ]
            kind = "ToolError" if str(error) in failed else type(error).__name__
            return self._said(error=f"{kind}: {error}" if str(error) else kind)
        return self._said(value=program.result())

    def _said(self, *, value: object = None, **rest: Any) -> ScriptOutcome:
        room = self.given.limits.max_output_tokens * _CHARS_PER_TOKEN
        printed = self.printed[:room]
        text = value if value is None or isinstance(value, str) else repr(value)
        shown = None if text is None else text[: room - len(printed)]
        dropped = len(self.printed) - len(printed) + len(text or "") - len(shown or "")
        return ScriptOutcome(
            calls=tuple(self.calls), printed=printed, dropped=dropped, value=shown, **rest
        )
