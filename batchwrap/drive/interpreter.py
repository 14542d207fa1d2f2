"""PLACEHOLDER: plain Python, for trials."""

from __future__ import annotations

import asyncio
import json

from batchwrap.core.failures import ResultStatus
from batchwrap.core.moves.script_run import ScriptCall, ScriptOutcome, ScriptRun


class _Stop(BaseException):
    pass


class Interpreter:
    is_available = True

    def run(self, run: ScriptRun) -> ScriptOutcome:
        calls: list[ScriptCall] = []
        waiting: list[int] = []
        printed: list[str] = []
        error = None
        denied = False

        class ToolError(Exception):
            pass

        def tool(name):
            async def call(*args, **kwargs):
                nonlocal denied
                arguments = run.functions[name].arguments(args, kwargs)
                number = len(calls)
                calls.append(ScriptCall(run.functions[name].tool.name, arguments))
                await asyncio.sleep(0)
                result = run.results.get(number)
                if result is None:
                    waiting.append(number)
                    await asyncio.Event().wait()
                if result.status is ResultStatus.DENIED:
                    denied = True
                    raise _Stop
                if result.status is ResultStatus.FAILED:
                    raise ToolError(result.text)
                return result.text

            return call

        scope = {name: tool(name) for name in run.functions}
        scope |= {
            "ToolError": ToolError,
            "asyncio": asyncio,
            "json": json,
            "print": lambda *a: printed.append(" ".join(map(str, a)) + "\n"),
        }
        body = "\n".join("    " + line for line in run.code.splitlines())
        try:
            exec(f"async def _main():\n{body or '    pass'}\n", scope)  # noqa: S102

            async def main():
                task = asyncio.ensure_future(scope["_main"]())
                for _ in range(1000):
                    await asyncio.sleep(0)
                    if task.done():
                        break
                if not task.done():
                    task.cancel()
                    return
                task.result()

            asyncio.run(main())
        except _Stop:
            error = "denied"
        except Exception as e:
            error = f"{type(e).__name__}: {e}"
        over = error is not None
        return ScriptOutcome(
            calls, () if over else sorted(waiting), "".join(printed), 0, None, error, denied
        )

    async def run_async(self, run: ScriptRun) -> ScriptOutcome:
        import anyio

        return await anyio.to_thread.run_sync(self.run, run)

    def close(self) -> None:
        pass
