"""Reads the JSON schemas of the agent's tools, which may hold anything.

This is no validation. It reads only what shows whether an argument of one tool fits another.
"""

from __future__ import annotations

from typing import Any

_PYTHON: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def resolved(schema: object, parameters: dict[str, Any]) -> dict[str, Any]:
    """The schema; if it is a reference, the schema that the tool's own definitions hold for it.

    Empty if it is not an object, or the reference leads nowhere.
    """
    if not isinstance(schema, dict):
        return {}
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    _, _, name = reference.rpartition("/")
    for holder in ("$defs", "definitions"):
        defined = parameters.get(holder)
        if reference == f"#/{holder}/{name}" and isinstance(defined, dict):
            found = defined.get(name)
            return found if isinstance(found, dict) else {}
    return {}


def required_in(schema: object) -> frozenset[str]:
    """The names of the properties that an object must have."""
    listed = schema.get("required") if isinstance(schema, dict) else None
    names = listed if isinstance(listed, list) else ()
    return frozenset(name for name in names if isinstance(name, str))


def types_of(schema: object) -> set[str]:
    """The JSON types that a schema names, including those of its alternatives."""
    if not isinstance(schema, dict):
        return set()
    forms: list[Any] = [schema]
    for key in ("anyOf", "oneOf"):
        listed = schema.get(key)
        forms += listed if isinstance(listed, list) else ()
    types: set[str] = set()
    for form in forms:
        named = form.get("type") if isinstance(form, dict) else None
        names = named if isinstance(named, list) else [named]
        types.update(name for name in names if isinstance(name, str))
    return types


def sample(schema: object, parameters: dict[str, Any], depth: int = 3) -> Any:
    """A short value that fits a schema. Texts are "…".

    Args:
        schema: the schema of one parameter.
        parameters: the schema of all parameters, which holds the definitions for references.
        depth: how many nested levels to show.
    """
    form = resolved(schema, parameters)
    types, allowed = types_of(form), form.get("enum")
    if isinstance(allowed, list) and allowed:
        return allowed[0]
    if not types or "string" in types:
        return "…"
    if "array" in types:
        return [sample(form.get("items"), parameters, depth - 1)] if depth else []
    if "object" in types:
        known = form.get("properties")
        inner = known if depth and isinstance(known, dict) else {}
        names = (name for name in inner if name in required_in(form))
        return {name: sample(inner[name], parameters, depth - 1) for name in names}
    return True if "boolean" in types else 1


def fits(value: object, schema: object) -> bool:
    """Whether a value has one of the types, and is one of the values, that a schema allows."""
    allowed = schema.get("enum") if isinstance(schema, dict) else None
    listed = value in allowed if isinstance(allowed, list) else True
    return listed and any(type(value) in _PYTHON.get(name, ()) for name in types_of(schema))
