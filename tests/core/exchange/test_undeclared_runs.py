"""Tools that should be declared: counted from single calls in a row, and the line to paste."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchwrap.declarations import declaration
from batchwrap.options import Batching, Options, Reminders
from batchwrap.stats import MOST_TOOLS, OTHER_TOOLS, Counters, Stats, undeclared_counter
from tests.core.harness import Bench, answer, call
from tests.strategies import READ_FILE

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
SHELL: dict[str, Any] = {"type": "function", "function": {"name": "bash", "parameters": {}}}
TASK = {"role": "user", "content": "Go."}
NAMES = {"w": "get_weather", "b": "bash", "r": "read_file", "n": "not_among_the_tools"}


def history(turns: str) -> list[dict[str, Any]]:
    """A turn for each letter: w, b, r and n are single calls, "2" is two, and "u" is the user."""
    messages: list[dict[str, Any]] = [TASK]
    for number, letter in enumerate(turns):
        if letter == "u":
            messages.append(TASK)
            continue
        names = ["get_weather", "get_weather"] if letter == "2" else [NAMES[letter]]
        made = [
            call(f"c{number}.{k}", name, {"city": f"{number}.{k}"}) for k, name in enumerate(names)
        ]
        messages += answer({"tool_calls": made})
    return messages


def counted(turns: str, options: Options, *tools: dict[str, Any]) -> Stats:
    """What is counted over the requests of a conversation, each of which is sent twice."""
    bench = Bench(options)
    body = {"model": "m", "tools": list(tools)}
    for upto in range(len(turns) + 1):
        for _ in range(2):
            bench.request({**body, "messages": history(turns[:upto])})
    counters = Counters(above=None)
    counters.add(bench.metrics.counts)
    return counters.stats()


@pytest.mark.parametrize("reminders", [None, Reminders(every=3)])
@pytest.mark.parametrize("tools", [(WEATHER, SHELL), (WEATHER, SHELL, READ_FILE)])
@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ("wwww", {"get_weather": 3}),
        ("wwbb", {"get_weather": 1, "bash": 1}),
        ("wbwb", {}),
        ("wuw", {}),
        ("w2w", {}),
        ("nn", {}),
    ],
)
def test_counted(
    turns: str, expected: dict[str, int], tools: tuple[dict[str, Any], ...], reminders: Any
) -> None:
    """Each further single call of an unknown tool counts once, whatever else is offered."""
    stats = counted(turns, Options(batching=Batching(), reminders=reminders), *tools)
    assert stats.undeclared == expected


def test_what_needs_no_declaration() -> None:
    """A tool that is known, declared or excluded is not counted."""
    declared = Batching(tools={"get_weather": "read_only"}, exclude=["bash"])
    stats = counted("wwwbbbrrr", Options(batching=declared), WEATHER, SHELL, READ_FILE)
    assert stats.undeclared == {}
    assert stats.declaration == ""
    assert "to batch what was undeclared" not in str(stats)


def test_the_same_call_again() -> None:
    """Polling is no run: two calls with the same arguments are not counted."""
    bench = Bench(Options(batching=Batching()))
    made = [call(f"c{k}", "get_weather", {"city": "Bonn"}) for k in range(3)]
    messages = [TASK, *(message for one in made for message in answer({"tool_calls": [one]}))]
    bench.request({"model": "m", "tools": [WEATHER], "messages": messages})
    assert not any("undeclared" in name for name in bench.metrics.counts)


def test_the_line_to_paste() -> None:
    """The most frequent tool comes first, and the line is one that Python takes."""
    stats = counted("bbbbwww", Options(batching=Batching()), WEATHER, SHELL)
    assert stats.declaration == (
        'Batching(tools={"bash": "sequential", "get_weather": "read_only"})'
    )
    assert str(stats).endswith(f"to batch what was undeclared: {stats.declaration}")
    assert eval(stats.declaration, {"Batching": Batching}).tools["bash"] == "sequential"


def test_one_call_is_no_reason() -> None:
    """A single pair of calls is counted, and nothing is proposed yet."""
    stats = counted("ww", Options(batching=Batching()), WEATHER)
    assert (stats.undeclared, stats.declaration) == ({"get_weather": 1}, "")


def test_names_are_bounded() -> None:
    """Beyond a limit, tools are counted together, and the limit is the same in each snapshot."""
    counters = Counters(above=None)
    for number in range(3 * MOST_TOOLS):
        counters.add({undeclared_counter(f"tool_{number}"): 2})
    undeclared = counters.stats().undeclared
    assert len(undeclared) == MOST_TOOLS + 1
    assert undeclared[OTHER_TOOLS] == 4 * MOST_TOOLS
    assert OTHER_TOOLS not in counters.stats().declaration


@given(st.lists(st.text(min_size=1), max_size=12))
def test_any_name(names: list[str]) -> None:
    """Whatever a tool is called, the line is empty or an option that can be pasted."""
    line = declaration(names)
    assert not line or set(eval(line, {"Batching": Batching}).tools) <= set(names)
    assert "\n" not in line
