"""The way that a chunk, a request and an admission take through the package: each call, in order.

For a newcomer who wants to read along, and as a figure: how many calls of functions of batchwrap,
in how many files. Generators count each time they continue; comprehensions belong to their
function. The client is a wrapped one in its defaults, with the limits of a plan, on a transport
without a network (`canned`). The request is the next one of a short conversation that the client
knows.

Run it with ``python -m benchmarks.way``; ``--calls`` prints the names.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import batchwrap
from benchmarks import canned, toolbox

_HOME = str(Path(batchwrap.__file__).parent)
_PARTS = ("<genexpr>", "<listcomp>", "<setcomp>", "<dictcomp>")
_TEXTS = 12
_HELLO: list[canned.Message] = [{"role": "user", "content": "Hello."}]
_GOALS = {"a text chunk": (15, 6), "a request": (130, 14)}


@dataclass(frozen=True, slots=True)
class Step:
    """One call.

    Attributes:
        depth: how many calls of batchwrap it stands inside of.
        file: where the function is, below the package.
        name: the function's qualified name.
    """

    depth: int
    file: str
    name: str


def steps_of(do: Callable[[], object]) -> list[Step]:
    """The calls of functions of batchwrap while something is done, in order."""
    steps: list[Step] = []
    depth = 0

    def look(frame: FrameType, event: str, _: object) -> None:
        nonlocal depth
        code: CodeType = frame.f_code
        if not code.co_filename.startswith(_HOME) or code.co_name in _PARTS:
            return
        if event == "call":
            file = code.co_filename.removeprefix(_HOME).lstrip("/")
            steps.append(Step(depth, file, code.co_qualname))
            depth += 1
        elif event == "return":
            depth -= 1

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        do()
    finally:
        sys.setprofile(before)
    return steps


def of_a_chunk() -> list[Step]:
    """One text chunk in the middle of a stream."""
    transport, client = _client()
    transport.answer = canned.text_stream(_TEXTS)
    body: Any = {"messages": _HELLO, "tools": toolbox.TOOLS}

    def read() -> None:
        streaming = client.chat.completions.with_streaming_response
        with streaming.create(model="m", messages=[], stream=True, extra_body=body) as answer:
            deque(answer.iter_bytes(), maxlen=0)

    read()
    steps = steps_of(read)
    asked = [place for place, step in enumerate(steps) if step.name == "Pieces.__next__"]
    middle = asked[len(asked) // 2]
    return _inside(steps, middle)


def of_a_request() -> list[Step]:
    """One more request of a conversation, until it is sent."""
    transport, client = _client()
    messages = canned.conversation(canned.asking(client, transport), 9, 1_000)
    transport.answer = canned.text_answer()
    canned.ask(client, messages)
    longer = [*messages, {"role": "assistant", "content": "Done."}, *_HELLO]
    steps = steps_of(lambda: canned.ask(client, longer))
    sent = next(place for place, step in enumerate(steps) if step.name.endswith("received"))
    return steps[:sent]


def of_an_admission() -> list[Step]:
    """From the question whether a request may go to its answer."""
    steps = of_a_request()
    start = next(
        place for place, step in enumerate(steps) if step.name == "AdmissionRequest.reserve"
    )
    return _inside(steps, start)


WAYS = {"a text chunk": of_a_chunk, "a request": of_a_request, "an admission": of_an_admission}


def _client() -> tuple[canned.Canned, Any]:
    transport = canned.Canned()
    limits = "cerebras/code-max"
    return transport, batchwrap.wrap(canned.client_of(transport), limits=limits)


def _inside(steps: Sequence[Step], start: int) -> list[Step]:
    """A call and all that it led to."""
    ends = (
        place for place in range(start + 1, len(steps)) if steps[place].depth <= steps[start].depth
    )
    return list(steps[start : next(ends, len(steps))])


def lines(name: str, steps: Sequence[Step], *, calls: bool) -> Iterator[str]:
    """What is printed of one way."""
    files = {step.file for step in steps}
    goal = "   (goal: {} in {})".format(*_GOALS[name]) if name in _GOALS else ""
    yield f"{name:<14} {len(steps):>4} calls in {len(files):>2} files{goal}"
    if calls:
        top = steps[0].depth
        yield from (f"    {'  ' * (step.depth - top)}{step.name}  {step.file}" for step in steps)


def main() -> None:
    """Print the ways."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", action="store_true", help="the name and place of each call")
    calls = parser.parse_args().calls
    for name, of in WAYS.items():
        for line in lines(name, of(), calls=calls):
            print(line)


if __name__ == "__main__":
    main()
