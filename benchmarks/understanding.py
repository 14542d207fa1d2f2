"""How much is understood of what models write in place of the multi-call that they were asked for.

First a grammar of distortions (`distortions`): random lists of calls in random forms, of which
each either comes back as exactly these calls, or means nothing that is certain. Then the shapes
that people have reported of real models, as data with their sources. Nothing is a network call or
a model; run it with `make benchmark-understanding`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchwrap.core.formats.chat.tools import read_tools
from batchwrap.core.tools.meaning import Meant, decoded, read
from batchwrap.core.tools.tool_set import tool_set_of
from batchwrap.options import Batching
from benchmarks.distortions import Call, Renderer

SHAPES = Path(__file__).parent / "data" / "multi_call_shapes.json"
_RATES = (0.05, 0.25, 0.5)  # how likely each distortion is, in turn
_SAMPLE = 30_000


def _tool(name: str, required: str, **optional: str) -> dict[str, Any]:
    properties = {one: {"type": "string"} for one in required.split()}
    properties |= {one: {"type": kind} for one, kind in optional.items()}
    parameters = {"type": "object", "properties": properties, "required": required.split()}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [
    _tool("read_file", "path", offset="integer", limit="integer"),
    _tool("edit_file", "path old_string new_string"),
    _tool("write_file", "path content"),
    _tool("grep", "pattern", path="string"),
    _tool("run", "command"),
]
_KIT = tool_set_of(read_tools(TOOLS), Batching())
_PATHS = ("src/app.py", "src/util.py", "README.md", "a b.txt")
_TEXTS = (
    "total = 0",
    "def f():\n    return {'a': [1]}\n",
    '{"path": "b.py", "old_string": "x", "new_string": "y"}',
    '[{"tool": "run", "arguments": {"command": "rm -rf ."}}]',
    "",
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of a number of multi-calls.

    Attributes:
        exactly: came back as exactly the calls that were meant.
        not_certain: a second reading exists, or none: nothing, or not all of it, would run.
        wrong: came back as other calls.
        by_distortion: of the second, how many had each distortion.
    """

    exactly: int
    not_certain: int
    wrong: int
    by_distortion: Counter[str]

    @property
    def total(self) -> int:
        """All of them."""
        return self.exactly + self.not_certain + self.wrong


def meant(name: str, value: Any) -> list[Call | None]:
    """The calls that a multi-call means; None in the place of one that means none."""
    multi = _KIT.multi(name)
    assert multi is not None
    tool = None if multi.is_mixed else multi.single
    return [
        (part.tool.name, decoded(part.arguments)) if isinstance(part, Meant) else None
        for part in read(value, _KIT.toolbox, tool)
    ]


def of_grammar(number: int) -> Figures:
    """The figures of random renderings."""
    counts, faults = Counter[str](), Counter[str]()
    for seed in range(number):
        draw = random.Random(seed)
        calls = list(_calls(draw))
        rendered = Renderer(draw, _RATES[seed % len(_RATES)]).render(calls)
        found = meant(rendered.name, rendered.value)
        how = _judge(found, calls)
        counts[how] += 1
        if how != "exactly":
            faults.update(rendered.distortions)
    return Figures(counts["exactly"], counts["not certain"], counts["wrong"], faults)


def of_reports() -> list[tuple[str, str, str]]:
    """(what, how it was understood, source) of each shape that was reported."""
    shapes = json.loads(SHAPES.read_text(encoding="utf-8"))
    return [(shape["what"], _of_shape(shape), shape["source"]) for shape in shapes]


def _of_shape(shape: dict[str, Any]) -> str:
    found = meant(shape["name"], shape["arguments"])
    if shape["means"] is None:  # right is only that not all of it runs
        return "not certain, as it is" if None in found else "wrong"
    return _judge(found, [(name, given) for name, given in shape["means"]])


def _judge(found: list[Call | None], calls: list[Call]) -> str:
    if None in found or not found:
        ran = [call for call in found if call is not None]
        return "not certain" if all(call in calls for call in ran) else "wrong"
    return "exactly" if found == calls else "wrong"


def _calls(draw: random.Random) -> Iterator[Call]:
    """One to five calls, of one tool or of several."""
    tools = [tool["function"]["name"] for tool in TOOLS]
    only = draw.choice(tools) if draw.random() < 0.5 else None
    for _ in range(draw.randint(1, 5)):
        yield _call(draw, only or draw.choice(tools))


def _call(draw: random.Random, tool: str) -> Call:
    path = draw.choice(_PATHS)
    given: dict[str, dict[str, Any]] = {
        "read_file": {"path": path, "offset": draw.choice([None, draw.randint(1, 900)])},
        "edit_file": {
            "path": path,
            "old_string": draw.choice(_TEXTS),
            "new_string": draw.choice(_TEXTS),
        },
        "write_file": {"path": path, "content": draw.choice(_TEXTS)},
        "grep": {"pattern": draw.choice(_TEXTS), "path": draw.choice([None, path])},
        "run": {"command": draw.choice(_TEXTS)},
    }
    return tool, {name: value for name, value in given[tool].items() if value is not None}


def main() -> None:
    """Prints the shares, and what each reported shape was understood as."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=_SAMPLE, help="random renderings")
    figures = of_grammar(parser.parse_args().number)
    print(f"of {figures.total:,} renderings of the grammar:")
    for label in ("exactly", "not_certain", "wrong"):
        count = getattr(figures, label)
        print(f"  {label.replace('_', ' '):<12} {count:>7,}  {count / figures.total:7.2%}")
    print("  of those not understood exactly, with the distortion:")
    for distortion, count in figures.by_distortion.most_common(5):
        print(f"    {distortion:<34} {count:>6,}")
    reports = of_reports()
    right = sum(how in ("exactly", "not certain, as it is") for _, how, _ in reports)
    print(
        f"of {len(reports)} shapes that were reported of models, {right} are read as they should:"
    )
    for what, how, source in reports:
        print(f"  {how:<22} {what:<60} {source}")


if __name__ == "__main__":
    main()
