"""Forms: the parameters of one tool, and how an object is read as arguments for them.

An object that fits the schema stays unchanged. Otherwise a key may be an alias, a number may be
written as a text, and the fields of a nested object may stand outside of it. Each of these is
accepted only if the schema leaves exactly one meaning.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from batchwrap.core.tools.find import SingleTool, role_of, words_of
from batchwrap.core.tools.lenient import typed_text
from batchwrap.core.tools.meaning.aliases import NAME_KEYS, roles_of, same_role
from batchwrap.core.tools.meaning.decode import NOTHING, decoded
from batchwrap.core.tools.schema import required_in, resolved, types_of

Fields = dict[str, Any]

_TYPES: dict[type, tuple[str, ...]] = {
    str: ("string",),
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number",),
    list: ("array",),
    dict: ("object",),
    type(None): ("null",),
}
_HARMLESS = ("read", "read_only")
_DEFINITIONS = ("$defs", "definitions")
# Objects in parameters are read to this depth, since schemas may refer to themselves.
_MOST_DEPTH = 2


class Misfit(Exception):
    """An object is not a call of the tool.

    Args:
        words: the reason, for the model.
        contradicts: whether it is a call, but with more than one meaning.
    """

    def __init__(self, words: str, *, contradicts: bool = False) -> None:
        super().__init__(words)
        self.words = words
        self.contradicts = contradicts


@dataclass(frozen=True, slots=True)
class ParameterForm:
    """The parameters of one tool.

    Attributes:
        tool: the tool.
        types: the JSON types of each parameter, by name; empty if it takes any type.
        roles: the roles of each parameter, by name.
        inner: the form of the objects that a parameter is or lists, by the parameter's name.
        nested: by the name of a field, the only parameter whose objects have such a field.
    """

    tool: SingleTool
    types: Mapping[str, frozenset[str]]
    roles: Mapping[str, frozenset[str]]
    inner: Mapping[str, ParameterForm]
    nested: Mapping[str, str]

    @classmethod
    def of(cls, tool: SingleTool, depth: int = 0) -> ParameterForm:
        """The form of a tool."""
        properties: Mapping[str, Any] = tool.parameters["properties"]
        schemas = {name: resolved(own, tool.parameters) for name, own in properties.items()}
        types = {name: frozenset(types_of(schema)) for name, schema in schemas.items()}
        made = {name: _inner(tool, schema, depth) for name, schema in schemas.items()}
        inner = {name: form for name, form in made.items() if form is not None}
        fields = Counter(field for form in inner.values() for field in form.types)
        nested = {
            field: name
            for name, form in inner.items()
            for field in form.types
            if fields[field] == 1 and field not in types
        }
        return cls(tool, types, {name: roles_of(name) for name in types}, inner, nested)

    @property
    def is_harmless(self) -> bool:
        """Whether a call of the tool changes nothing."""
        return self.tool.kind in _HARMLESS

    def is_whole(self, fields: Mapping[str, Any]) -> bool:
        """Whether an object is a call that fits the schema exactly.

        Unknown fields are accepted, as without batchwrap, unless they may mean something: a list
        or an object may hold calls, and an alias may name a parameter.
        """
        return all(name in fields for name in self.tool.required) and all(
            self.accepts(name, value) if name in self.types else self._means_nothing(name, fields)
            for name, value in fields.items()
        )

    def _means_nothing(self, key: str, fields: Mapping[str, Any]) -> bool:
        """Whether an unknown field has no meaning for the call."""
        value = fields[key]
        if type(value) in (list, dict) or key in NAME_KEYS or self._holder(key):
            return False
        if type(value) is str and value.lstrip()[:1] in ("[", "{"):
            return False
        return self.alias(key, fields) is None

    def accepts(self, name: str, value: object) -> bool:
        """Whether a value has one of the types that a parameter accepts."""
        types = self.types[name]
        if not types or (value is None and name not in self.tool.required):
            return True
        if name in self.inner and type(value) in (list, dict):
            objects = value if isinstance(value, list) else [value]
            whole = self.inner[name].is_whole
            if not all(type(one) is dict and whole(one) for one in objects):
                return False
        return not types.isdisjoint(_TYPES.get(type(value), ()))

    def missing(self, fields: Mapping[str, Any]) -> list[str]:
        """The required parameters that are missing in some fields, also under an alias."""
        named = {self.alias(key, fields) or key for key in fields}
        return [name for name in self.tool.required if name not in named and not self._nulls(name)]

    def _nulls(self, name: str) -> bool:
        """Whether a parameter may be null. Strict schemas also require such parameters."""
        return "null" in self.types.get(name, ())

    def alias(self, key: str, fields: Mapping[str, Any]) -> str | None:
        """The parameter that a key means under another name; None unless exactly one is possible.

        Args:
            key: the key.
            fields: all fields of the object. Their own names are taken.
        """
        if key in self.types:
            return None
        free = [name for name in self.types if name not in fields]
        words = _words(key)
        same = [name for name in free if words and words == _words(name)]
        if not same and (roles := roles_of(key)):
            same = [name for name in free if same_role(roles, self.roles[name])]
            # Of several parameters with this role, a required one is meant.
            needed = [name for name in same if name in self.tool.required]
            same = needed or same
        if not same and role_of(key) == "range":
            ranges = (name for name in free if role_of(name) == "range")
            same = [name for name in ranges if words < _words(name) or _words(name) < words]
        return same[0] if len(same) == 1 else None

    def text_parameter(self, shared: Mapping[str, Any]) -> str | None:
        """The parameter that a plain text fills, besides shared fields; None if that is unclear."""
        missing = self.missing(shared)
        if not self.tool.required and len(self.types) == 1:
            missing = [name for name in self.types if name not in shared]
        if len(missing) != 1:
            return None
        types = self.types.get(missing[0], frozenset())
        return missing[0] if not types or "string" in types else None

    def read(self, fields: Fields, shared: Mapping[str, Any]) -> Fields:
        """The arguments that an object means.

        Args:
            fields: the fields of the object.
            shared: fields outside of the object's list, which hold for all objects in it.

        Raises:
            Misfit: they mean no call of the tool, or more than one.
        """
        own = self._named(fields)
        made = self._with_shared(own, shared)
        if shared and not any(name in self.types or self._holder(name) for name in own):
            raise Misfit("an item has no fields of its own")
        self._nest(made)
        self._guess(made)
        for name in self.types:
            if name in made and not self.accepts(name, made[name]):
                made[name] = self._converted(name, made[name])
        lacks = self.missing(made)
        if lacks:
            names = ", ".join(f"`{name}`" for name in lacks)
            raise Misfit(f"{names} {'is' if len(lacks) == 1 else 'are'} missing")
        return made | {name: None for name in self.tool.required if name not in made}

    def _named(self, fields: Mapping[str, Any]) -> Fields:
        """The fields under the names in the schema."""
        renamed = {key: self.alias(key, fields) for key in fields}
        wanted = Counter(renamed.values())
        return {
            name if name is not None and wanted[name] == 1 else key: fields[key]
            for key, name in renamed.items()
        }

    def _with_shared(self, made: Fields, shared: Mapping[str, Any]) -> Fields:
        """The fields with those shared by the list, which must not contradict them."""
        given = self._named(shared)
        known = {**{name: value for name, value in given.items() if name in self.types}, **made}
        for name, value in given.items():
            # An alias of a field that is present ("file_path" besides "path") gives it twice.
            meant = name if name in self.types else self.alias(name, {})
            if meant in known and known[meant] != value:
                raise Misfit(f"`{meant}` is given twice, with two values", contradicts=True)
        return known

    def _nest(self, made: Fields) -> None:
        """Move fields of a nested object into that object."""
        held = {key: holder for key in made if (holder := self._holder(key)) is not None}
        for holder in set(held.values()):
            fields = {key: made[key] for key in made if held.get(key) == holder}
            if holder in made or self.inner[holder].missing(fields):
                continue
            for key in fields:
                del made[key]
            made[holder] = fields if "object" in self.types[holder] else [fields]

    def _holder(self, key: str) -> str | None:
        """The parameter whose objects have a field of this name or meaning; None if unclear."""
        if key in self.types or key in self.nested:
            return self.nested.get(key)
        holders = [name for name, form in self.inner.items() if form.alias(key, {}) is not None]
        return holders[0] if len(holders) == 1 else None

    def _guess(self, made: Fields) -> None:
        """Use the only remaining text for the only missing parameter of a harmless tool."""
        lacks = [name for name in self.tool.required if name not in made]
        left = [key for key in made if key not in self.types and isinstance(made[key], str)]
        if not self.is_harmless or len(lacks) != 1 or len(left) != 1:
            return
        # A text whose name has a role of its own is not the missing parameter.
        known = roles_of(left[0]) or role_of(left[0]) != "other"
        types = self.types.get(lacks[0], frozenset())
        if not known and (not types or "string" in types):
            made[lacks[0]] = made.pop(left[0])

    def _with_inner(self, name: str, value: Any) -> Any:
        """A value whose objects are read in their own form."""
        form = self.inner.get(name)
        if form is None:
            return value
        if isinstance(value, dict):
            return form.read(value, {})
        return [form.read(one, {}) if isinstance(one, dict) else one for one in value]

    def _converted(self, name: str, value: Any) -> Any:
        """A value converted without loss to a type that its parameter accepts.

        Raises:
            Misfit: that is not possible.
        """
        types = self.types[name]
        for one in _other_types(value, set(types)):
            if not types.isdisjoint(_TYPES.get(type(one), ())):
                return self._with_inner(name, one)
        wanted = " or ".join(sorted(types))
        raise Misfit(f"`{name}` must be of the type {wanted}")


@functools.lru_cache(maxsize=4_096)
def _words(name: str) -> frozenset[str]:
    return frozenset(words_of(name))


def _other_types(value: Any, types: set[str]) -> Iterator[Any]:
    """The values that a value may become without loss, in the order of preference."""
    if isinstance(value, str) and (text := typed_text(value, types)) is not None:
        yield decoded(text)
    if isinstance(value, dict):
        yield value
    if isinstance(value, list):
        yield _decoded_items(value)
    if isinstance(value, float) and value.is_integer():
        yield int(value)
    if type(value) is int and "string" in types:
        yield str(value)
    if isinstance(value, dict | str) and "array" in types:
        yield [value]


def _inner(tool: SingleTool, schema: Mapping[str, Any], depth: int) -> ParameterForm | None:
    """The form of the objects that a parameter is or lists; None if it holds no such objects."""
    types = types_of(schema)
    held = schema if types == {"object"} else resolved(schema.get("items"), tool.parameters)
    if depth == _MOST_DEPTH or types not in ({"object"}, {"array"}) or types_of(held) != {"object"}:
        return None
    if not isinstance(held.get("properties"), dict) or not held["properties"]:
        return None
    shared = {key: tool.parameters[key] for key in _DEFINITIONS if key in tool.parameters}
    required = tuple(sorted(required_in(held)))
    return ParameterForm.of(
        replace(tool, parameters={**shared, **held}, required=required), depth + 1
    )


def _decoded_items(value: list[Any]) -> list[Any]:
    """A list of objects, some of which were encoded as JSON texts."""
    made = [decoded(one) if isinstance(one, str) else one for one in value]
    return [old if new is NOTHING else new for old, new in zip(value, made, strict=True)]
