"""What holds messages, calls or arguments does not show them: reprs end up in logs."""

import dataclasses
import importlib
import pkgutil
import re
from typing import Any

import pytest

import batchwrap.core
from batchwrap.core.formats.calls import Written
from batchwrap.core.formats.chat.calls import read_fragment
from batchwrap.core.moves.turn_memory import Placed, Turn
from tests.core.harness import call

# Types of fields, and names of fields of text, that hold what a model or an agent said.
_CONTENTS = re.compile(
    r"chat\.(Body|Message|ToolCall)|\b(Body|Message|ToolCall|Written|Placed|Turn|Single|SingleCall"
    r"|SingleTurn|Meant|Member|LocalAnswer|ProviderView|FrozenPrefix|Walk)\b"
)
_NAMES = ("arguments", "text", "said", "given", "item")


def held() -> list[Any]:
    """All dataclasses of the core that hold contents."""
    found = []
    for module in pkgutil.walk_packages(batchwrap.core.__path__, "batchwrap.core."):
        for value in vars(importlib.import_module(module.name)).values():
            if not isinstance(value, type) or value.__module__ != module.name:
                continue
            fields = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
            if any(_CONTENTS.search(str(f.type)) or f.name in _NAMES for f in fields if f.repr):
                found.append(value)
    return found


@pytest.mark.parametrize("kind", held(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_contents_are_not_shown(kind: Any) -> None:
    """Its repr is Python's own, with the name of the class and nothing else."""
    assert kind.__repr__ is object.__repr__


def test_a_turn() -> None:
    """Neither a turn nor its calls show arguments."""
    placed = Placed(Written(read_fragment(call("c", "read_file", {"path": "SECRET"}))), 0, "read")
    turn = Turn(said=[placed.written], calls=[placed])
    assert "SECRET" not in f"{turn!r} {placed!r} {placed.written!r} {turn.calls!r}"
