"""What the interpreter of scripts costs: a script, a wave, many of them at once.

    python -m benchmarks.interpreter

Each wave runs the script again from its start, so the last waves of a long one cost most.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import anyio

from batchwrap.core.failures import ResultStatus
from batchwrap.core.moves.script_run import ScriptResult, ScriptRun
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.script_functions import functions_of
from batchwrap.drive.interpreter import Interpreter, require
from batchwrap.options import Scripts

TOOL = SingleTool(
    name="read",
    kind="read",
    path="path",
    parameters={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    required=("path",),
)
FUNCTIONS = functions_of([TOOL])
LIMITS = Scripts()
TEXT = "a line of a file\n" * 500

FOUR_WAVES = """
hits = (await read("hits")).splitlines()
texts = await asyncio.gather(*[read(f"{n}.py") for n in range(7)])
good = [n for n, text in enumerate(texts) if "line" in text]
await asyncio.gather(*[read(f"edit {n}") for n in good[:3]])
print(len(await read("check")))
"""
FIFTY_WAVES = "for n in range(50):\n    print(len(await read(str(n))))"
PLAIN = "print(sum(range(100)))"


def waves(interpreter: Interpreter, code: str) -> list[float]:
    """How long each run of a script took, in milliseconds."""
    run, took = ScriptRun(code, FUNCTIONS, {}, LIMITS), []
    while True:
        begun = time.perf_counter()
        outcome = interpreter.run(run)
        took.append((time.perf_counter() - begun) * 1e3)
        assert outcome.error is None, outcome.error
        if outcome.is_over:
            return took
        more = {
            number: ScriptResult(
                "read", outcome.calls[number].arguments, TEXT, ResultStatus.SUCCEEDED
            )
            for number in outcome.waiting
        }
        run = replace(run, results={**run.results, **more})


def median_of(measure: Callable[[], float], times: int) -> str:
    """The median, and what stands on both sides of it; on a busy machine the least says more."""
    found = sorted(measure() for _ in range(times))
    least, most = found[0], found[len(found) * 9 // 10]
    return f"{statistics.median(found):7.2f} ms  (at least {least:.2f}; 9 of 10 in {most:.2f})"


async def crowd(interpreter: Interpreter, scripts: int) -> tuple[float, float, float]:
    """Seconds for so many at once, and the longest and the median gap of the event loop in ms."""
    gaps: list[float] = []
    async with anyio.create_task_group() as group:

        async def tick() -> None:
            last = time.perf_counter()
            while True:
                await anyio.sleep(0.001)
                now = time.perf_counter()
                gaps.append((now - last) * 1e3)
                last = now

        async def play() -> None:
            run = ScriptRun(FOUR_WAVES, FUNCTIONS, {}, LIMITS)
            while not (outcome := await interpreter.run_async(run)).is_over:
                more = {
                    number: ScriptResult(
                        "read", outcome.calls[number].arguments, TEXT, ResultStatus.SUCCEEDED
                    )
                    for number in outcome.waiting
                }
                run = replace(run, results={**run.results, **more})

        group.start_soon(tick)
        begun = time.perf_counter()
        async with anyio.create_task_group() as inner:
            for _ in range(scripts):
                inner.start_soon(play)
        took = time.perf_counter() - begun
        group.cancel_scope.cancel()
    return took, max(gaps), statistics.median(gaps)


def main() -> None:
    """Print the figures."""
    begun = time.perf_counter()
    require()
    print(f"loading the package          {(time.perf_counter() - begun) * 1e3:7.0f} ms, once")
    interpreter = Interpreter()
    print(f"the first script             {waves(interpreter, PLAIN)[0]:7.2f} ms, starts the pool")
    print(f"a script without calls       {median_of(lambda: waves(interpreter, PLAIN)[0], 200)}")
    four = median_of(lambda: sum(waves(interpreter, FOUR_WAVES)), 100)
    print(f"a script of four waves       {four}")
    one = median_of(lambda: statistics.mean(waves(interpreter, FOUR_WAVES)), 100)
    print(f"  each of its five runs      {one}")
    fifty = median_of(lambda: sum(waves(interpreter, FIFTY_WAVES)), 5)
    print(f"fifty calls, one by one      {fifty}")
    last = median_of(lambda: waves(interpreter, FIFTY_WAVES)[-1], 5)
    print(f"  the last of its runs       {last}")
    took, longest, median = anyio.run(crowd, interpreter, 100)
    print(
        f"100 scripts of four waves    {took * 1e3:7.0f} ms; the event loop ticks every "
        f"{median:.1f} ms, at the longest after {longest:.0f} ms"
    )
    interpreter.close()


if __name__ == "__main__":
    main()
