"""Tools are counted as the model reads them."""

import json
from typing import Any

from batchwrap.throttle.tokens.schemas import shown
from tests.strategies import READ_FILE


def typescript(**properties: Any) -> str:
    """What OpenAI's models read of a tool with these properties, none of them required."""
    schema = {"type": "object", "properties": properties}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    return shown([tool], None, typescript=True)


def test_a_tool_as_typescript() -> None:
    """A function is a type with its descriptions as comments."""
    assert shown([READ_FILE], None, typescript=True) == (
        "# Tools\n\n## functions\n\nnamespace functions {\n\n"
        "// Reads a text file.\n"
        "type read_file = (_: {\n"
        "// The file.\n"
        "path: string,\n"
        "// First line.\n"
        "offset?: number,\n"
        "}) => any;\n\n"
        "} // namespace functions"
    )


def test_a_tool_as_json() -> None:
    """For other families each tool is a line of JSON as chat templates write it."""
    assert shown([READ_FILE, READ_FILE], None, typescript=False) == "\n".join(
        [json.dumps(READ_FILE)] * 2
    )


def test_kinds_of_properties() -> None:
    """Choices, lists, unions, nested objects and defaults are written as TypeScript does."""
    text = typescript(
        unit={"enum": ["c", "f"], "default": "c"},
        names={"type": "array", "items": {"type": "string"}},
        either={"anyOf": [{"type": "integer"}, {"type": "null"}]},
        kinds={"type": ["string", "null"]},
        inner={"type": "object", "properties": {"x": {"type": "boolean"}}, "required": ["x"]},
        shared={"$ref": "#/$defs/Place"},
        free={},
    )
    for line in (
        'unit?: "c" | "f", // default: "c"',
        "names?: string[],",
        "either?: number | null,",
        "kinds?: string | null,",
        "inner?: {\nx: boolean,\n},",
        "shared?: Place,",
        "free?: any,",
    ):
        assert f"\n{line}\n" in text


def test_shared_definitions_are_written_once() -> None:
    """What a schema refers to is a type of its own."""
    place = {"type": "object", "properties": {"city": {"type": "string"}}}
    reference = {"$ref": "#/$defs/Place"}
    schema = {"properties": {"a": reference, "b": reference}, "$defs": {"Place": place}}
    tool = {"function": {"name": "f", "parameters": schema}}
    assert shown([tool], None, typescript=True).count("city") == 1


def test_the_answers_schema_is_read_too() -> None:
    """A schema that the answer must fit is part of the prompt, without tools as well."""
    answer = {"type": "json_schema", "json_schema": {"name": "x"}}
    assert shown(None, answer, typescript=True) == '{"name": "x"}'
    assert shown(None, {"type": "json_object"}, typescript=True) == ""
