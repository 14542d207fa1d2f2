"""What one request, and one chunk of a stream, costs in batchwrap itself.

The same requests go through a bare and a wrapped client in turns, on a transport without a
network (`canned`); what is printed is the difference of the minima, for chunks that of the
medians, too.
``first`` is a conversation that the client meets for the first time, ``next`` the request
after it, with two messages more, ``known`` one whose turns the client took apart itself.
With ``--profile`` it tells where the time goes at the largest size.

Run it with ``python -m benchmarks.overhead``.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import openai

import batchwrap
from benchmarks import canned, toolbox

SIZES = [(tokens, size) for tokens in (1_000, 32_000, 128_000) for size in (10, 100, 400)]
_BUDGET_S = 3.0  # for each size, and for each stream
_SHORT, _CHUNKS = 100, 500


@dataclass(slots=True)
class Times:
    """Microseconds of one way to do a thing, of the thread that does it.

    A request is made in one thread: its own time is what nobody else on the machine disturbs.
    """

    taken: list[float] = field(default_factory=list)
    clock: Callable[[], int] = time.thread_time_ns

    def measure(self, do: Callable[[], object]) -> None:
        """Take the time of one go."""
        started = self.clock()
        do()
        self.taken.append((self.clock() - started) / 1_000)

    def above(self, other: Times) -> str:
        """The difference to the other, of the minima and of the medians."""
        least = min(self.taken) - min(other.taken)
        middle = median(self.taken) - median(other.taken)
        return f"{least:>9,.1f} {middle:>9,.1f}"

    def by(self, other: Times) -> str:
        """The same difference of the minima, in microseconds and as a ratio to the other."""
        least = min(self.taken) - min(other.taken)
        return f"{least:>9,.0f} {least / min(other.taken):>6.2f}"


@dataclass(slots=True)
class Scene:
    """A conversation, and the clients that are compared on it."""

    transport: canned.Canned
    bare: openai.OpenAI
    knowing: openai.OpenAI
    unrepaired: openai.OpenAI
    repairing: openai.OpenAI
    messages: list[canned.Message]

    @property
    def longer(self) -> list[canned.Message]:
        """The conversation after one more turn."""
        function = {"name": "read_file", "arguments": '{"path":"src/last.py"}'}
        call = {"id": "call_last", "type": "function", "function": function}
        return [
            *self.messages,
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_last", "content": "x = 1\n"},
        ]


def scene(size: int, tokens: int) -> Scene:
    """A conversation of about so many messages and tokens."""
    transport = canned.Canned()
    bare = canned.client_of(transport)
    knowing = canned.wrapped(bare)
    messages = canned.conversation(knowing, transport, size, tokens)
    transport.answer = canned.text_answer()
    unrepaired, repairing = (canned.wrapped(bare, one) for one in (None, batchwrap.Repair.all()))
    return Scene(transport, bare, knowing, unrepaired, repairing, messages)


def requests(size: int, tokens: int) -> str:
    """One line of the table of requests."""
    on = scene(size, tokens)
    longer = on.longer
    bare, known, first, after = Times(), Times(), Times(), Times()

    def each() -> None:
        fresh = canned.wrapped(on.bare)
        bare.measure(lambda: canned.ask(on.bare, on.messages))
        known.measure(lambda: canned.ask(on.knowing, on.messages))
        first.measure(lambda: canned.ask(fresh, on.messages))
        after.measure(lambda: canned.ask(fresh, longer))

    _repeat(each)
    return (
        f"{tokens:>7,} {len(on.messages):>5} {min(bare.taken):>9,.0f} |"
        f"{known.by(bare)} |{first.by(bare)} |{after.by(bare)}"
    )


def chunks(name: str, make: Callable[[int], list[bytes]]) -> str:
    """One line of the table of chunks: a long stream less a short one, for each chunk."""
    on = scene(10, 1_000)
    streams = {length: make(length) for length in (_SHORT, _SHORT + _CHUNKS)}
    sides = (on.bare, on.knowing, on.unrepaired, on.repairing)
    taken = {(length, side): Times() for length in streams for side in sides}

    def each() -> None:
        for (length, client), times in taken.items():
            on.transport.answer = streams[length]
            times.measure(partial(_read, client, on.messages))

    _repeat(each)
    least, middle = ([_slope(taken, client, of) for client in sides] for of in (min, median))
    added = f"{least[1] - least[0]:>9,.1f} {middle[1] - middle[0]:>9,.1f}"
    repair = f"{least[1] - least[2]:>9,.1f} {middle[1] - middle[2]:>9,.1f}"
    every = f"{least[3] - least[2]:>9,.1f} {middle[3] - middle[2]:>9,.1f}"
    return f"{name:<24} |{least[0]:>6,.1f} |{added} |{repair} |{every}"


def _read(client: openai.OpenAI, messages: list[canned.Message]) -> None:
    """Read a stream's bytes; the SDK's objects would be fewer for a multi-call than bare."""
    body: Any = {"messages": messages, "tools": toolbox.TOOLS}
    streaming = client.chat.completions.with_streaming_response
    with streaming.create(model="m", messages=[], stream=True, extra_body=body) as answer:
        for _ in answer.iter_bytes():
            pass


def _slope(
    taken: dict[tuple[int, openai.OpenAI], Times],
    client: openai.OpenAI,
    of: Callable[[list[float]], float],
) -> float:
    """Microseconds for each chunk."""
    short, long = (of(times.taken) for (_, side), times in taken.items() if side is client)
    return (long - short) / _CHUNKS


def profile(size: int, tokens: int, most: int = 15) -> Iterator[str]:
    """The functions of batchwrap, and what they call outside of it, by their own time."""
    on = scene(size, tokens)
    times, profiler = 30, cProfile.Profile()
    profiler.enable()
    for _ in range(times):
        canned.ask(on.knowing, on.messages)
    profiler.disable()
    home = str(Path(batchwrap.__file__).parent)
    stats: Any = pstats.Stats(profiler)
    rows = []
    for (path, line, name), (_, calls, own, total, callers) in stats.stats.items():
        if path.startswith(home):
            rows.append((own, total, calls, f"{_short(path, home)}:{line} {name}"))
            continue
        for (caller, _, place), (_, count, its_own, its_total) in callers.items():
            if caller.startswith(home):
                rows.append((its_own, its_total, count, f"{_short(caller, home)} {place}: {name}"))
    yield f"A request at {tokens:,} tokens and {size} messages (slower under the profiler)\n"
    yield f"{'own µs':>9} {'with all':>9} {'calls':>7}"
    for own, total, calls, what in sorted(rows, reverse=True)[:most]:
        yield f"{own / times * 1e6:>9,.1f} {total / times * 1e6:>9,.1f} {calls // times:>7}  {what}"


def _short(path: str, home: str) -> str:
    return path[len(home) + 1 :]


def _repeat(do: Callable[[], object]) -> None:
    do()
    gc.collect()
    gc.disable()
    ends = time.monotonic() + _BUDGET_S
    while time.monotonic() < ends:
        do()
    gc.enable()


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="What a request costs in batchwrap itself.")
    parser.add_argument("--profile", action="store_true", help="where the time goes")
    if parser.parse_args().profile:
        for line in profile(400, 128_000):
            print(line)
        return
    print("µs that a request takes bare, and that batchwrap adds: µs, and as a ratio to bare\n")
    print(f"{'tokens':>7} {'msgs':>5} {'bare':>9} |{'known':>16} |{'first':>16} |{'next':>16}")
    for tokens, size in SIZES:
        print(requests(size, tokens))
    print("\nThe same for each chunk of a stream, and how much of it is repair: defaults, all\n")
    print(f"{'':<24} |{'bare':>6} |{'added':>19} |{'repair':>19} |{'all repairs':>19}")
    print(chunks("text", canned.text_stream))
    print(chunks("a multi-call's arguments", canned.multi_call_stream))
    print(chunks("a call's arguments", canned.single_call_stream))


if __name__ == "__main__":
    main()
