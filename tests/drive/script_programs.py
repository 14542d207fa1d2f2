"""Tools for scripts, worlds in which they answer, and programs that call them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from hypothesis import strategies as st

from batchwrap.core.failures import ResultStatus
from batchwrap.core.moves.script_run import ScriptCall, ScriptResult
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.script_functions import functions_of

_TEXTS = ("", "a", "a b", "b c a", "c\nd", "42")
_TOOLS = ("read", "find")
_LITERALS = ('"a"', '"b"', '"a b"', '"é"')


def _schema(parameter: str) -> dict[str, Any]:
    properties = {parameter: {"type": "string"}, "limit": {"type": "integer"}}
    return {"type": "object", "properties": properties, "required": [parameter]}


FUNCTIONS = functions_of(
    [
        SingleTool("read", "read", "path", _schema("path"), ("path",)),
        SingleTool("find", "read", None, _schema("text"), ("text",)),
        SingleTool("edit-file", "edit", "path", _schema("path"), ("path",)),
    ]
)


@dataclass(frozen=True)
class World:
    """What tools answer: always the same to the same call.

    Attributes:
        seed: which world it is.
        failing: how many of a hundred calls fail.
        denied: how many of a hundred are denied.
    """

    seed: int = 0
    failing: int = 0
    denied: int = 0

    def result(self, call: ScriptCall) -> ScriptResult:
        """What becomes of a call."""
        drawn = crc32(f"{self.seed} {call.tool} {call.arguments}".encode())
        text, chance = _TEXTS[drawn % len(_TEXTS)], (drawn >> 8) % 100
        if chance < self.failing:
            return ScriptResult(call.tool, call.arguments, f"E {text}", ResultStatus.FAILED)
        if chance < self.failing + self.denied:
            return ScriptResult(call.tool, call.arguments, "the user said no", ResultStatus.DENIED)
        return ScriptResult(call.tool, call.arguments, text, ResultStatus.SUCCEEDED)


def worlds() -> st.SearchStrategy[World]:
    """Worlds in which most calls succeed."""
    chances = st.sampled_from([0, 0, 10, 40])
    return st.builds(World, st.integers(0, 999), chances, st.sampled_from([0, 0, 0, 5]))


@st.composite
def programs(draw: st.DrawFn, *, helpers: bool = True, nested: bool = True) -> str:
    """A program that awaits its calls.

    Args:
        draw: of hypothesis.
        helpers: whether it has functions of its own.
        nested: whether what is gathered may gather, too. Where it does, asyncio and the sandbox
            go on in another order, which is nobody's promise.
    """
    return _Drawn(draw, nested).program(most_helpers=2 if helpers else 0)


class _Drawn:
    """A program that is being drawn."""

    def __init__(self, draw: st.DrawFn, nested: bool) -> None:
        self._draw = draw
        self._gathers = True
        self._nested = nested
        self._names = 0
        self._helpers: list[str] = []

    def program(self, most_helpers: int) -> str:
        lines: list[str] = []
        for _ in range(self._upto(most_helpers)):
            lines += self._helper()
        variables: list[str] = []
        lines += self._block(variables, depth=0)
        if self._draw(st.booleans()):
            lines.append(self._draw(st.sampled_from([self._text(variables), "[1, None, 'x']"])))
        return "\n".join(lines)

    def _upto(self, most: int) -> int:
        return self._draw(st.integers(0, most))

    def _new(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def _text(self, variables: list[str]) -> str:
        base = self._draw(st.sampled_from([*_LITERALS, *variables, *variables]))
        return base + self._draw(st.sampled_from(["", "", ".upper()", " + '!'", "[:1]"]))

    def _call(self, variables: list[str], names: Sequence[str] = _TOOLS) -> str:
        return f"{self._draw(st.sampled_from(names))}({self._text(variables)})"

    def _calls(self, variables: list[str]) -> tuple[str, str]:
        """Two calls for `gather`: of tools, or of helpers, which do not fail.

        Where one of them fails while the other goes on, asyncio and the sandbox go on in another
        order, which is nobody's promise.
        """
        names = self._draw(st.sampled_from([_TOOLS, self._helpers or _TOOLS]))
        return self._call(variables, names), self._call(variables, names)

    def _helper(self) -> list[str]:
        name, parameter = f"helper{len(self._helpers)}", self._new()
        variables = [parameter]
        self._gathers = self._nested
        body = self._block(variables, depth=1)
        self._gathers = True
        body.append(f"return {self._text(variables)}")
        handler = ["except ToolError as error:", "    return f'not {error}'"]
        self._helpers.append(name)
        return [f"async def {name}({parameter}):", *_indented(["try:", *_indented(body), *handler])]

    def _block(self, variables: list[str], depth: int) -> list[str]:
        lines: list[str] = []
        for _ in range(1 + self._upto(3)):
            lines += self._statement(variables, depth)
        return lines

    def _inner(self, variables: list[str], depth: int, *more: str) -> list[str]:
        """A block whose variables nobody else sees."""
        return _indented(self._block([*variables, *more], depth + 1))

    def _statement(self, variables: list[str], depth: int) -> list[str]:
        plain = ["call", "call", "print", "later", *(["gather", "each"] if self._gathers else [])]
        kind = self._draw(st.sampled_from(plain if depth >= 2 else [*plain, "for", "try", "if"]))
        match kind:
            case "call":
                call = self._call(variables, [*_TOOLS, *self._helpers])
                line = f"{(new := self._new())} = await {call}"
                variables.append(new)
                return [line]
            case "gather":
                first, second = self._calls(variables)
                names = self._new(), self._new()
                variables += names
                return [f"{', '.join(names)} = await asyncio.gather({first}, {second})"]
            case "each":
                new, source = self._new(), self._text(variables)
                variables.append(new)
                calls = f"[read(x) for x in {source}.split()]"
                return [f"{new} = ' '.join(await asyncio.gather(*{calls}))"]
            case "print":
                return [f"print({self._text(variables)}, len({self._text(variables)}))"]
            case "later":
                job, new = self._new(), self._new()
                call = f"read({self._text(variables)})"
                lines = [f"{job} = {call}", *self._statement(variables, 2)]
                variables.append(new)
                return [*lines, f"{new} = await {job}"]
            case "for":
                new = self._new()
                head = f"for {new} in {self._text(variables)}.split():"
                return [head, *self._inner(variables, depth, new)]
            case "try":
                error = self._new()
                handler = ["except ToolError as error:", f"    {error} = str(error)"]
                lines = ["try:", *self._inner(variables, depth), f"    {error} = 'fine'", *handler]
                variables.append(error)
                return lines
            case _:
                head = f"if {self._text(variables)} in {self._text(variables)}:"
                other = self._inner(variables, depth)
                return [head, *self._inner(variables, depth), "else:", *other]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]
