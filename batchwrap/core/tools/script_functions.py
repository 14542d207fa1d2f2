"""The agent's tools as the functions of a script: their signatures, and the calls of them.

A model reads `async def read_file(path: str, offset: int = None) -> str` and writes
`await read_file("a.py")`; the agent gets the call `read_file {"path":"a.py"}`. Names that Python
does not take are written with underscores. A call is checked against the tool's own schema before
anything of it goes out: what does not fit is a `TypeError` in the script.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

from batchwrap.core.parse import rendered
from batchwrap.core.tools.find import SingleTool
from batchwrap.core.tools.schema import fits, required_in, resolved, types_of

_PYTHON = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list",
    "object": "dict",
    "null": "None",
}
_UNSAFE = re.compile(r"\W", re.ASCII)
# What the interpreter has under these names would be hidden, or hide the tool.
_TAKEN = frozenset(dir(builtins)) | {"asyncio", "json", "re", "math", "ToolError"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a function.

    Attributes:
        name: the tool's own name for it.
        python: its name in a script.
        schema: its JSON schema, references looked up.
        is_required: whether a call must have it.
    """

    name: str
    python: str
    schema: Mapping[str, Any]
    is_required: bool

    @property
    def text(self) -> str:
        """How it stands in the signature."""
        return f"{self.python}: {self._type}" + ("" if self.is_required else " = None")

    @property
    def _type(self) -> str:
        types = sorted(types_of(self.schema) - {"null"})
        if types == ["array"]:
            inner = sorted(types_of(self.schema.get("items")))
            return f"list[{_PYTHON[inner[0]]}]" if len(inner) == 1 else "list"
        return " | ".join(_PYTHON.get(one, "object") for one in types) or "object"


@dataclass(frozen=True, slots=True)
class ScriptFunction:
    """One of the agent's tools, as a script calls it.

    Attributes:
        tool: the tool.
        name: the function's name in a script.
        parameters: the required ones first.
    """

    tool: SingleTool
    name: str
    parameters: tuple[Parameter, ...]

    @classmethod
    def of(cls, tool: SingleTool, name: str) -> ScriptFunction:
        """The function for a tool."""
        known = tool.parameters.get("properties")
        properties = known if isinstance(known, dict) else {}
        required = required_in(tool.parameters)
        names = python_names(properties, taken=())
        parameters = [
            Parameter(one, names[one], resolved(schema, tool.parameters), one in required)
            for one, schema in properties.items()
        ]
        return cls(tool, name, tuple(sorted(parameters, key=lambda one: not one.is_required)))

    @property
    def signature(self) -> str:
        """One line that tells a model how to call it."""
        return f"async def {self.name}({', '.join(one.text for one in self.parameters)}) -> str"

    def arguments(self, given: Sequence[object], named: Mapping[str, object]) -> str:
        """The JSON arguments of a call.

        Args:
            given: positional arguments.
            named: keyword arguments.

        Raises:
            TypeError: the tool does not take them; its text is for the model.
        """
        if len(given) > len(self.parameters):
            raise TypeError(f"{self.name}() takes {len(self.parameters)} arguments at most")
        by_name = {one.python: one for one in self.parameters}
        made = {one.python: value for one, value in zip(self.parameters, given, strict=False)}
        for name, value in named.items():
            if name in made:
                raise TypeError(f"{self.name}() got {name!r} twice")
            made[name] = value
        unknown = [name for name in made if name not in by_name]
        if unknown:
            raise TypeError(f"{self.name}() has no parameter {unknown[0]!r}: {self.signature}")
        arguments = {
            by_name[name].name: self._checked(by_name[name], value)
            for name, value in made.items()
            if value is not None or _takes_null(by_name[name])
        }
        missing = [
            one.python for one in self.parameters if one.is_required and one.name not in arguments
        ]
        if missing:
            raise TypeError(f"{self.name}() needs {missing[0]!r}: {self.signature}")
        return rendered(arguments).decode()

    def _checked(self, parameter: Parameter, value: object) -> object:
        """A value as JSON has it, if the parameter takes it."""
        plain = _plain(value)
        types = types_of(parameter.schema)
        if isinstance(plain, _Unwritable):
            raise TypeError(f"{self.name}() takes no {plain.kind} as {parameter.python!r}")
        allowed = parameter.schema.get("enum")
        is_listed = not isinstance(allowed, list) or plain in allowed
        if not is_listed or (types and not fits(plain, parameter.schema)):
            wanted = (
                f"one of {allowed}" if isinstance(allowed, list) else " or ".join(sorted(types))
            )
            raise TypeError(
                f"{self.name}() wants {wanted} as {parameter.python!r}, not {str(plain)[:80]!r}"
            )
        return plain


def functions_of(tools: Iterable[SingleTool]) -> dict[str, ScriptFunction]:
    """The functions for some tools, by their names in a script."""
    listed = list(tools)
    names = python_names((tool.name for tool in listed), taken=_TAKEN)
    return {names[tool.name]: ScriptFunction.of(tool, names[tool.name]) for tool in listed}


def python_names(names: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """A name that Python takes for each of these, by it; no two are the same."""
    listed, used = list(dict.fromkeys(names)), set(taken)
    used |= {name for name in listed if _is_python(name)} - set(taken)
    made: dict[str, str] = {}
    for name in listed:
        if _is_python(name) and name not in taken:
            made[name] = name
            continue
        plain = _UNSAFE.sub("_", name) or "_"
        plain = f"_{plain}" if plain[0].isdigit() else plain
        while plain in used or not _is_python(plain):
            plain += "_"
        used.add(plain)
        made[name] = plain
    return made


def _is_python(name: str) -> bool:
    return name.isidentifier() and name.isascii() and not iskeyword(name)


def _takes_null(parameter: Parameter) -> bool:
    types = types_of(parameter.schema)
    return parameter.is_required and (not types or "null" in types)


@dataclass(frozen=True, slots=True)
class _Unwritable:
    """Stands for a value that JSON cannot have."""

    kind: str


def _plain(value: object) -> Any:
    """A value of a script as JSON has it; tuples and sets are lists."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else _Unwritable("NaN or infinity")
    if isinstance(value, dict):
        made = {str(key): _plain(inner) for key, inner in value.items()}
        return next((one for one in made.values() if isinstance(one, _Unwritable)), made)
    if isinstance(value, (list, tuple, set, frozenset)):
        inner = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        items = [_plain(one) for one in inner]
        return next((one for one in items if isinstance(one, _Unwritable)), items)
    return _Unwritable(type(value).__name__)
