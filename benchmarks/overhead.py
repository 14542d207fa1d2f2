"""What one request, and one chunk of a stream, costs in batchwrap itself.

The same requests go through a bare and a wrapped client in turns, on a transport without a
network (`canned`); what is printed is the difference of the minima, for chunks that of the
medians, too.
``first`` is a conversation that the client meets for the first time, ``next`` the request
after it, with two messages more, ``known`` one whose turns the client took apart itself.
With ``--profile`` it tells where the time goes at the largest size. With ``--format`` the APIs
are compared with each other in place of that (`overhead_formats`).

Run it with ``python -m benchmarks.overhead``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import openai

import batchwrap
from benchmarks import canned, overhead_formats, toolbox
from benchmarks.timing import Times, profiled, repeat

SIZES = [(tokens, size) for tokens in (1_000, 32_000, 128_000) for size in (10, 100, 400)]
_SHORT, _CHUNKS = 100, 500


@dataclass(slots=True)
class Scene:
    """A conversation, and the clients that are compared on it."""

    transport: canned.Canned
    bare: openai.OpenAI
    knowing: openai.OpenAI
    unrepaired: openai.OpenAI
    repairing: openai.OpenAI
    messages: list[canned.Message]


def scene(size: int, tokens: int) -> Scene:
    """A conversation of about so many messages and tokens."""
    transport = canned.Canned()
    bare = canned.client_of(transport)
    knowing = canned.wrapped(bare)
    messages = canned.conversation(canned.asking(knowing, transport), size, tokens)
    transport.answer = canned.text_answer()
    unrepaired, repairing = (canned.wrapped(bare, one) for one in (None, batchwrap.Repair.all()))
    return Scene(transport, bare, knowing, unrepaired, repairing, messages)


def requests(size: int, tokens: int) -> str:
    """One line of the table of requests."""
    on = scene(size, tokens)
    longer = canned.longer(on.messages)
    bare, known, first, after = Times(), Times(), Times(), Times()

    def each() -> None:
        fresh = canned.wrapped(on.bare)
        bare.measure(lambda: canned.ask(on.bare, on.messages))
        known.measure(lambda: canned.ask(on.knowing, on.messages))
        first.measure(lambda: canned.ask(fresh, on.messages))
        after.measure(lambda: canned.ask(fresh, longer))

    repeat(each)
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

    repeat(each)
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


def profile(size: int, tokens: int) -> Iterator[str]:
    """Where the time of one request goes."""
    on = scene(size, tokens)
    yield f"A request at {tokens:,} tokens and {size} messages (slower under the profiler)\n"
    yield from profiled(partial(canned.ask, on.knowing, on.messages))


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description="What a request costs in batchwrap itself.")
    parser.add_argument("--profile", action="store_true", help="where the time goes")
    parser.add_argument(
        "--format", nargs="*", choices=overhead_formats.OTHERS, help="beside chat; all by default"
    )
    given = parser.parse_args()
    if given.format is not None:
        overhead_formats.report(given.format or overhead_formats.OTHERS, profile=given.profile)
        return
    if given.profile:
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
