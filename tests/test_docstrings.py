"""The public API is documented: a docstring names every argument, what is returned and raised."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

import batchwrap
from batchwrap.option_arguments import DEFAULT_ARGUMENTS

MODULES = (
    "batchwrap",
    "batchwrap.analyze",
    "batchwrap.lab",
    "batchwrap.litellm",
    "batchwrap.serve",
    "batchwrap.testing",
    "batchwrap.tools",
)


def public() -> Iterator[tuple[str, Any]]:
    """Every class and function that is re-exported, and the public methods of these classes."""
    for module in MODULES:
        source = import_module(module)
        for name in source.__all__:
            value = getattr(source, name)
            if inspect.isfunction(value):
                yield f"{module}.{name}", value
            elif inspect.isclass(value):
                yield f"{module}.{name}", value
                for method, function in vars(value).items():
                    if isinstance(function, (classmethod, staticmethod)):
                        function = function.__func__
                    if not method.startswith("_") and inspect.isfunction(function):
                        yield f"{module}.{name}.{method}", function


PUBLIC = dict(public())


def sections(value: object) -> dict[str, str]:
    """The sections of a Google-style docstring by name; the text before them is under ""."""
    parts = re.split(r"^([A-Z][a-z]+):$", inspect.getdoc(value) or "", flags=re.MULTILINE)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section: str) -> set[str]:
    """The names that a section of arguments, attributes or errors describes."""
    return set(re.findall(r"^    (\w+): \S", section, flags=re.MULTILINE))


def tree(function: Callable[..., Any]) -> ast.AST:
    """The source of a function."""
    return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))


def arguments(value: Any) -> set[str]:
    """The names of what a function or a constructor takes.

    `batched` and `install` show every option of `wrap` in their signatures, and describe all of
    them as `options`.
    """
    if inspect.isclass(value) and issubclass(value, Exception):
        return set()  # callers catch them; their attributes are described instead
    if inspect.isclass(value) and value.__init__ is object.__init__:
        return set()
    names = set(inspect.signature(value).parameters) - {"self", "cls", "_"}
    if value in (batchwrap.batched, batchwrap.install):
        names = names - set(DEFAULT_ARGUMENTS) | {"options"}
    return names


def raised(value: Any) -> set[str]:
    """The errors that a function or a constructor raises in its own body, by name."""
    function = value
    if inspect.isclass(value):
        function = vars(value).get(
            "__post_init__" if dataclasses.is_dataclass(value) else "__init__"
        )
        if function is None:
            return set()
    return {
        node.exc.func.id
        for node in ast.walk(tree(function))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_summary(name: str) -> None:
    """A docstring begins with one line of summary, which is a sentence."""
    summary, _, rest = sections(PUBLIC[name])[""].partition("\n")
    assert summary.rstrip().endswith((".", "::", ":", "?"))
    assert not rest or rest.startswith("\n")


@pytest.mark.parametrize("name", PUBLIC)
def test_arguments(name: str) -> None:
    """Every argument is described, and nothing that is none."""
    found = sections(PUBLIC[name])
    described = entries(found.get("Args", ""))
    if inspect.isclass(PUBLIC[name]):
        described |= entries(found.get("Attributes", ""))
    assert arguments(PUBLIC[name]) - described == set()


@pytest.mark.parametrize("name", PUBLIC)
def test_returns(name: str) -> None:
    """What takes arguments and returns something says what."""
    value = PUBLIC[name]
    if inspect.isclass(value) or not arguments(value):
        return
    returned = inspect.signature(value).return_annotation
    assert ("Returns" in sections(value) or "Yields" in sections(value)) == (
        returned not in (None, "None", "Iterator[None]")
    )


@pytest.mark.parametrize("name", PUBLIC)
def test_raises(name: str) -> None:
    """Every error that is raised on the spot is named, and a checked class names `ConfigError`."""
    value = PUBLIC[name]
    errors = raised(value)
    if dataclasses.is_dataclass(value) and "__post_init__" in vars(value):
        errors |= {"ConfigError"}
    assert errors - entries(sections(value).get("Raises", "")) == set()


def test_attributes_of_errors() -> None:
    """What an error carries as data is described."""
    for name, value in PUBLIC.items():
        if not (inspect.isclass(value) and issubclass(value, Exception)):
            continue
        if "__init__" in vars(value):
            carried = {
                node.attr
                for node in ast.walk(tree(vars(value)["__init__"]))
                if isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name)
                and node.value.id == "self"
            }
            assert carried - entries(sections(value).get("Attributes", "")) == set(), name


def test_options_of_the_command() -> None:
    """Each option and argument of each subcommand has a help text."""
    from typer.main import get_command

    from batchwrap.cli.app import app

    command: Any = get_command(app)
    for name, subcommand in command.commands.items():
        for parameter in subcommand.params:
            assert parameter.name == "help" or parameter.help, f"{name} {parameter.name}"
