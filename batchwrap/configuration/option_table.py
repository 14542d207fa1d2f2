"""The table of all options that can be set without code, made from their dataclasses.

The key of an option in `batchwrap.toml` is its place in the dataclasses, `batching.max_items`, and
its variable is the same in capitals, `BATCHWRAP_BATCHING_MAX_ITEMS`. A field that is added to a
dataclass is in the table without a further line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from batchwrap.option_arguments import DEFAULT_ARGUMENTS, OptionArguments
from batchwrap.options import default_of

PREFIX = "BATCHWRAP_"
OptionPath = tuple[str | int, ...]
# Short names of options that have a longer one; `config` says where the others are.
SHORT: Mapping[str, tuple[str, str]] = {
    "limits": ("throttle", "limits"),
    "remind_every": ("reminders", "every"),
}
_IN_CODE = frozenset({"config"})
SCALARS = (bool, int, float, str)
# Texts that a file may set although nobody has named it: names of tools, plans and providers. Any
# other text might send something elsewhere (a store's URL), spend something (a key), or speak to
# the model (a directive).
_NAMES = frozenset(
    {
        *("limits", "throttle.limits", "repair.provider"),
        *("batching.tools", "batching.exclude", "batching.scripts.tools"),
    }
)
# Choices that weaken a promise of the page on security.
_GUARDED = frozenset({"repair.leaked_calls"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionKey:
    """One option.

    Attributes:
        path: its place: ``("batching", "max_items")``.
        types: the types that its value may have, without None.
        is_optional: whether it may be None, which is written as ``false``.
        default: its default in code.
        is_secret: whether its value is never shown.
    """

    path: tuple[str, ...]
    types: tuple[Any, ...]
    is_optional: bool
    default: Any
    is_secret: bool = False

    @property
    def key(self) -> str:
        """Its name in a file: ``batching.max_items``."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """Its name in the environment: ``BATCHWRAP_BATCHING_MAX_ITEMS``."""
        return PREFIX + "_".join(self.path).upper()

    @property
    def section(self) -> Any:
        """The dataclass whose fields are the keys below it; None for a single option."""
        return next(filter(is_section, self.types), None)

    @property
    def is_code(self) -> bool:
        """Whether it is an object or a function, and can only be set in code."""
        return not any(map(_is_data, self.types))

    @property
    def needs_named_file(self) -> bool:
        """Whether a file may set it only if somebody has named the file."""
        if self.section or self.key in _NAMES:
            return False
        return self.key in _GUARDED or any(map(_has_text, self.types))


@cache
def option_keys() -> tuple[OptionKey, ...]:
    """All options, each section before its fields."""
    hints = {name: it for name, it in hints_of(OptionArguments).items() if name not in _IN_CODE}
    made: list[OptionKey] = []
    for name, hint in hints.items():
        made += _keys((name,), hint, DEFAULT_ARGUMENTS[name], secret=False)  # type: ignore[literal-required]
    return tuple(made)


def _keys(path: tuple[str, ...], hint: Any, default: Any, *, secret: bool) -> Iterator[OptionKey]:
    types = members(hint)
    option = OptionKey(
        path=path,
        types=tuple(one for one in types if one is not NoneType),
        is_optional=NoneType in types,
        default=default,
        is_secret=secret,
    )
    yield option
    if option.section is not None:
        inner = hints_of(option.section)
        for one in fields(option.section):
            yield from _keys(
                (*path, one.name), inner[one.name], default_of(one), secret=not one.repr
            )


@cache
def hints_of(kind: Any) -> Mapping[str, Any]:
    """The fields of a dataclass, or of a TypedDict, with their types."""
    # Only type checkers import tenacity's class.
    return get_type_hints(kind, localns={"BaseRetrying": object})


def is_section(kind: Any) -> bool:
    """Whether a type is a dataclass, whose fields are the keys of a table."""
    return is_dataclass(kind)


def members(hint: Any) -> tuple[Any, ...]:
    """The types that a union is made of; a type itself if it is none."""
    if get_origin(hint) in (Union, UnionType):
        return tuple(inner for one in get_args(hint) for inner in members(one))
    return (hint,)


def item_of(kind: Any) -> Any | None:
    """The type of a list's items; None if the type is no list."""
    return get_args(kind)[0] if get_origin(kind) is Sequence else None


def value_of(kind: Any) -> Any | None:
    """The type of the values of a table with free names; None if the type is no such table."""
    return get_args(kind)[1] if get_origin(kind) is Mapping else None


def _parts(kind: Any) -> tuple[Any, ...]:
    """The types inside of a list, of a table, or of a dataclass."""
    if is_section(kind):
        return tuple(hints_of(kind).values())
    inner = item_of(kind) or value_of(kind)
    return () if inner is None else (inner,)


def _is_data(kind: Any) -> bool:
    if get_origin(kind) is Literal or kind in SCALARS or is_section(kind):
        return True
    return any(_is_data(one) for hint in _parts(kind) for one in members(hint))


def _has_text(kind: Any) -> bool:
    return kind is str or any(_has_text(one) for hint in _parts(kind) for one in members(hint))
