"""What the interpreter of scripts costs: a wave, a script, and a hundred of them at once.

A script and a batch hand out the same edits of one file, one by one, to a client on a transport
without a network (`canned`), in turns; what is told is how much longer the script's answers take.
A script of 48 waves is played a twelfth as often as one of 4. On a busy machine the least says
more than the median: the interpreter is a process of its own, which has to be given a processor
for each wave.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import time
from collections.abc import Coroutine, Iterator, Sequence
from statistics import median
from typing import Any

import openai

import batchwrap
from benchmarks import canned, toolbox

MOST_SCRIPT_MS, MOST_WAVE_MS, MOST_STALL_MS = 5.0, 1.0, 50.0
WAVES, AGENTS = (4, 16, 48), 100
_SEQUENTIAL = """\
edits = {edits}
for edit in edits:
    await edit_file(path=edit["path"], old_string=edit["old_string"], new_string="x")
print("done")
"""
# What an agent in a crowd runs: three waves, and some computing before the last one.
_CROWD = """\
hits = (await grep(pattern="TODO")).split()
texts = await asyncio.gather(*[read_file(path=path) for path in hits])
total = 0
for number in range(100_000):
    total += number % 7
await asyncio.gather(*[edit_file(path=path, old_string="a", new_string="b") for path in hits])
print(total)
"""
_HITS = " ".join(f"src/file{number}.py" for number in range(6))
_TEXTS = {"grep": _HITS, "read_file": "TODO\n" * 50, "edit_file": "Replaced 1 occurrence"}


def lines(runs: int = 100, waves: Sequence[int] = WAVES, agents: int = AGENTS) -> Iterator[str]:
    """The figures, line by line.

    Args:
        runs: how often each script, and the batch beside it, is played.
        waves: how many waves the scripts have.
        agents: how many run scripts at the same time.
    """
    yield f"ms that answers with a script take beyond those with a batch; {runs} of each and less"
    yield f"{'':<24} {'median':>8} {'least':>8} {'goal':>8}"
    for count in waves:
        script, batch = _played(max(2, runs * waves[0] // count), count)
        pairs = list(zip(script, batch, strict=True))
        each = [[one - other for one, other in zip(*pair, strict=True)] for pair in pairs]
        inner = [one for row in each for one in row[1:-1]]
        least = _least(script), _least(batch)
        fastest = [one - other for one, other in zip(*least, strict=True)][1:-1]
        goal = MOST_WAVE_MS if count == waves[0] else None
        yield _row(f"a wave of {count}", median(inner), median(fastest), goal)
        goal = MOST_SCRIPT_MS if count == waves[0] else None
        whole = sum(least[0]) - sum(least[1])
        yield _row(f"a script of {count} waves", median(map(sum, each)), whole, goal)
    yield f"\nms for which a step of one of {agents} agents held the event loop, and computed in it"
    titles = ("longest", "99 %", "goal", "computed", "steps", "seconds")
    yield " ".join([" " * 24, *(f"{title:>8}" for title in titles)])
    for name, answer in _CROWDS.items():
        steps, took_s = asyncio.run(_crowd(agents, answer))
        held = sorted(one for one, _ in steps)
        goal = MOST_STALL_MS if name == "scripts" else None
        row = _row(name, held[-1], held[int(len(held) * 0.99)], goal)
        computed = max(one for _, one in steps)
        yield f"{row} {computed:>8.2f} {len(held):>8,} {took_s:>8.2f}"


def _row(name: str, first: float, second: float, goal: float | None) -> str:
    return f"{name:<24} {first:>8.2f} {second:>8.2f} {'' if goal is None else f'{goal:.1f}':>8}"


def _least(times: list[list[float]]) -> list[float]:
    """The least time of each answer of a conversation, by its place."""
    return [min(column) for column in zip(*times, strict=True)]


def _played(runs: int, waves: int) -> tuple[list[list[float]], list[list[float]]]:
    """Milliseconds of each answer, of a script and of a batch, a row for each conversation."""
    transport = canned.Canned()
    batching = batchwrap.Batching(scripts=batchwrap.Scripts())
    client = batchwrap.wrap(canned.client_of(transport), batching=batching, reminders=None)
    edits = _edits(waves)
    script = {"code": _SEQUENTIAL.format(edits=json.dumps(edits))}
    times: tuple[list[list[float]], list[list[float]]] = ([], [])
    answers = canned.call_answer("run_script", script), _batch(edits)
    for _ in range(runs + 3):  # the first ones load what all of them need
        for answer, its in zip(answers, times, strict=True):
            transport.answer = answer
            its.append(list(_conversation(client, transport)))
    return times[0][3:], times[1][3:]


def _edits(count: int) -> list[dict[str, str]]:
    """Edits of one file, which have to wait for each other."""
    return [
        {"path": "a.py", "old_string": f"line {number}", "new_string": "x"}
        for number in range(count)
    ]


def _batch(edits: list[dict[str, str]]) -> bytes:
    return canned.call_answer("multi_edit", {"files": edits})


def _conversation(client: openai.OpenAI, transport: canned.Canned) -> Iterator[float]:
    """Milliseconds of each answer, until one has no calls."""
    messages: list[canned.Message] = [{"role": "user", "content": f"Go. {time.perf_counter_ns()}"}]
    while True:
        started = time.perf_counter()
        message = canned.ask(client, messages).choices[0].message.to_dict()
        yield 1_000 * (time.perf_counter() - started)
        if not message.get("tool_calls"):
            return
        transport.answer = canned.text_answer()
        messages += _answered(message)


def _answered(message: canned.Message) -> list[canned.Message]:
    """The message, and a result for each of its calls."""
    results = [
        {
            "role": "tool",
            "tool_call_id": call["id"],
            "content": _TEXTS[call["function"]["name"]],
        }
        for call in message["tool_calls"]
    ]
    return [message, *results]


_CROWDS = {
    "scripts": canned.call_answer("run_script", {"code": _CROWD}),
    "batches": _batch(_edits(3)),
}


Step = tuple[float, float]


async def _crowd(agents: int, answer: bytes) -> tuple[list[Step], float]:
    """Each step of a task: how long it held the loop, and computed; and the seconds of all.

    What was made before, the SDK's models above all, is no matter of the garbage collector here:
    it would stop any program for as long, wherever it counts to its next full round.
    """
    steps: list[Step] = []
    asyncio.get_running_loop().set_task_factory(
        lambda loop, coroutine, **options: asyncio.Task(
            _Timed(coroutine, steps), loop=loop, **options
        )
    )
    batching = batchwrap.Batching(scripts=batchwrap.Scripts())
    async with canned.async_client_of(canned.AsyncCanned(answer)) as bare:
        client = batchwrap.wrap(bare, batching=batching, reminders=None)
        await _agent(client, agents)  # loads what all of them need
        gc.collect()
        gc.freeze()
        del steps[:]
        started = time.perf_counter()
        await asyncio.gather(*[_agent(client, number) for number in range(agents)])
        took_s = time.perf_counter() - started
        gc.unfreeze()
        return steps, took_s


class _Timed(Coroutine[Any, Any, Any]):
    """A coroutine that notes how long each of its steps takes, by the clock and in computing."""

    def __init__(self, inner: Any, steps: list[Step]) -> None:
        self._inner, self._steps = inner, steps

    def send(self, value: Any) -> Any:
        """One step."""
        started, computed = time.perf_counter(), time.thread_time()
        try:
            return self._inner.send(value)
        finally:
            took = time.perf_counter() - started, time.thread_time() - computed
            self._steps.append((1_000 * took[0], 1_000 * took[1]))

    def throw(self, *error: Any) -> Any:
        """An error in place of a step's result."""
        return self._inner.throw(*error)

    def close(self) -> None:
        """End it."""
        self._inner.close()

    def __await__(self) -> Any:
        raise TypeError("a task runs it, and nobody awaits it")


async def _agent(client: openai.AsyncOpenAI, number: int) -> None:
    chance = random.Random(number)
    messages: list[canned.Message] = [{"role": "user", "content": f"Go, number {number}."}]
    while True:
        await asyncio.sleep(chance.random() / 5)  # as long as tools take
        body = {"messages": messages, "tools": toolbox.TOOLS}
        answer = await client.chat.completions.create(model="m", messages=[], extra_body=body)
        message = answer.choices[0].message.to_dict()
        if not message.get("tool_calls"):
            return
        messages += _answered(message)
