"""Calls in a program whose `await` was forgotten: their value is used as if it were the result.

`await read("a")` is how a tool is called, but models also write `text = read("a")`, as in most
Python that they know. Such a call has one meaning, so it is run, and waited for where it stands.
A call whose value is awaited later, `jobs = [read(p) for p in paths]; await gather(*jobs)`, must
stay what it is. Which is which is read off the program: from each `await`, and from what is handed
to asyncio, the values are followed back to the calls that they come from. All others lack one.

Names are followed without regard to scopes, which takes too many calls for awaited ones, never too
few: such a call ends in an error that says what is missing.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

# Methods that put their arguments into what they are called on.
_FILLS = frozenset({"append", "add", "extend", "insert", "update", "setdefault", "appendleft"})
# Backslashes say nothing here, and Python warns of those that mean nothing.
_ESCAPE = re.compile(r"\\[\\'\"]|\\(?![\r\n])")

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class MissingAwaits:
    """Where calls stand that lack an `await`, in bytes of the program as UTF-8.

    Attributes:
        starts: the beginnings of the calls.
        texts: beginnings and ends of f-strings, in which all calls lack one; Python 3.11 does not
            say where in them they stand.
        coroutines: functions of the program's own that are called and never run.
    """

    starts: frozenset[int] = frozenset()
    texts: tuple[tuple[int, int], ...] = ()
    coroutines: tuple[str, ...] = ()

    def __contains__(self, start: int) -> bool:
        return start in self.starts or any(begin < start < end for begin, end in self.texts)


@lru_cache(maxsize=64)
def missing_awaits(code: str, names: frozenset[str]) -> MissingAwaits:
    """The calls of these functions that lack an `await`.

    Empty for what this Python cannot parse. Only for a program whose nesting is known to be
    limited, since Python's own parser may crash on what nests too deeply.
    """
    try:
        tree = ast.parse(_ESCAPE.sub(lambda found: "x" * len(found[0]), code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return MissingAwaits()
    flow = _Flow(names)
    flow.read(tree)
    flow.follow()
    lines = _line_starts(code)
    return MissingAwaits(
        frozenset(lines[one.lineno - 1] + one.col_offset for one in flow.missing()),
        tuple(
            (lines[one.lineno - 1] + one.col_offset, _end(one, lines))
            for one in flow.texts
            if not any(isinstance(inner, ast.Await) for inner in ast.walk(one))
        ),
        tuple(flow.never_run()),
    )


def _line_starts(code: str) -> list[int]:
    starts = [0]
    for line in code.encode(errors="replace").split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts


def _end(node: ast.expr, lines: list[int]) -> int:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return lines[node.end_lineno - 1] + node.end_col_offset


@dataclass(slots=True)
class _Flow:
    """Follows values from where they are awaited to where they come from."""

    names: frozenset[str]
    texts: list[ast.JoinedStr] = field(default_factory=list)
    _calls: list[ast.Call] = field(default_factory=list)
    _functions: dict[str, _Function] = field(default_factory=dict)
    # What each name may stand for.
    _bound: dict[str, list[ast.expr]] = field(default_factory=lambda: defaultdict(list))
    _returned: dict[str, list[ast.expr]] = field(default_factory=lambda: defaultdict(list))
    _todo: list[ast.expr] = field(default_factory=list)
    _seen: set[object] = field(default_factory=set)
    _awaited: set[int] = field(default_factory=set)

    def read(self, tree: ast.Module) -> None:
        """Take in what stands in a program."""
        in_texts: set[ast.Call] = set()
        for node in ast.walk(tree):
            if (read := _READERS.get(type(node))) is not None:
                read(self, node)
            if isinstance(node, ast.JoinedStr):
                inner = ast.walk(node)
                in_texts.update(one for one in inner if isinstance(one, ast.Call))
        self._calls = [call for call in self._calls if call not in in_texts]
        self._bind_parameters()

    def follow(self) -> None:
        """Find all that the awaited values may come from."""
        while self._todo:
            node = self._todo.pop()
            if id(node) not in self._seen:
                self._seen.add(id(node))
                self._todo += self._sources(node)

    def missing(self) -> Iterator[ast.Call]:
        """The calls whose value nobody awaits."""
        for call in self._calls:
            if _called(call) in self.names and id(call) not in self._awaited:
                yield call

    def never_run(self) -> Iterator[str]:
        """The program's own coroutines that are called without being awaited."""
        for call in self._calls:
            own = self._functions.get(_called(call))
            if isinstance(own, ast.AsyncFunctionDef) and id(call) not in self._seen:
                yield own.name

    def _sources(self, node: ast.expr) -> list[ast.expr]:
        """Where an awaited value may come from."""
        match node:
            case ast.Name(id=name):
                return [*self._bound_to(name), *self._returned_by(name)]
            case ast.Call(func=ast.Name(id=name)) if name in self.names:
                self._awaited.add(id(node))
                return []
            case ast.Call(func=ast.Name(id=name)) if name in self._functions:
                return self._returned_by(name)
            case ast.Call(func=function, args=args, keywords=keywords):
                inner = [function.value] if isinstance(function, ast.Attribute) else []
                return [*inner, *args, *(one.value for one in keywords)]
            case ast.DictComp(value=value):
                return [value]
            case ast.ListComp(elt=value) | ast.SetComp(elt=value) | ast.GeneratorExp(elt=value):
                return [value]
            case ast.Lambda(body=body):
                return [body]
            case ast.IfExp(body=body, orelse=other):
                return [body, other]
            case ast.Subscript(value=value):
                return [value]
            case _:
                return [one for one in ast.iter_child_nodes(node) if isinstance(one, ast.expr)]

    def _bound_to(self, name: str) -> list[ast.expr]:
        if name in self._seen:
            return []
        self._seen.add(name)
        return self._bound[name]

    def _returned_by(self, name: str) -> list[ast.expr]:
        """What a call of one of the program's own functions hands on, if that is a plain one."""
        is_plain = not isinstance(self._functions.get(name), ast.AsyncFunctionDef)
        return self._returned[name] if is_plain else []

    def _read_call(self, node: ast.Call) -> None:
        self._calls.append(node)
        if isinstance(function := node.func, ast.Attribute):
            if isinstance(function.value, ast.Name) and function.value.id == "asyncio":
                self._todo.append(node)
            elif function.attr in _FILLS:
                for value in (*node.args, *(one.value for one in node.keywords)):
                    self._bind_target(function.value, value)

    def _read_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._functions[node.name] = node
        self._returned[node.name] = _returns(node)

    def _read_assignment(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._bind_target(target, node.value)

    def _read_target(self, node: ast.AnnAssign | ast.AugAssign | ast.NamedExpr) -> None:
        if node.value is not None:
            self._bind_target(node.target, node.value)

    def _read_loop(self, node: ast.For | ast.comprehension) -> None:
        self._bind_target(node.target, node.iter)

    def _bind_target(self, target: ast.expr, value: ast.expr) -> None:
        """A name, a tuple of names, or something in what a name stands for."""
        match target:
            case ast.Name(id=name):
                self._bound[name].append(value)
                if isinstance(value, ast.Lambda):
                    self._functions[name] = value
                    self._returned[name] = [value.body]
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                for one in targets:
                    self._bind_target(one, value)
            case ast.Starred(value=inner) | ast.Subscript(value=inner):
                self._bind_target(inner, value)
            case ast.Attribute(value=inner) | ast.Call(func=ast.Attribute(value=inner)):
                self._bind_target(inner, value)
            case _:
                pass

    def _bind_parameters(self) -> None:
        """What the program hands to its own functions."""
        for call in self._calls:
            function = self._functions.get(_called(call))
            if function is None:
                continue
            arguments = function.args
            placed = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
            for name, value in zip(placed, call.args, strict=False):
                self._bound[name].append(value)
            if arguments.vararg is not None:
                self._bound[arguments.vararg.arg] += call.args[len(placed) :]
            for keyword in call.keywords:
                if keyword.arg:
                    self._bound[keyword.arg].append(keyword.value)


_READERS: dict[type[ast.AST], Callable[[_Flow, Any], None]] = {
    ast.JoinedStr: lambda flow, node: flow.texts.append(node),
    ast.Await: lambda flow, node: flow._todo.append(node.value),
    ast.Call: _Flow._read_call,
    ast.FunctionDef: _Flow._read_function,
    ast.AsyncFunctionDef: _Flow._read_function,
    ast.Assign: _Flow._read_assignment,
    ast.AnnAssign: _Flow._read_target,
    ast.AugAssign: _Flow._read_target,
    ast.NamedExpr: _Flow._read_target,
    ast.For: _Flow._read_loop,
    ast.comprehension: _Flow._read_loop,
}


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _returns(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    """What a function returns; what functions inside of it return counts, too."""
    found = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    return [value for value in found if value is not None]
