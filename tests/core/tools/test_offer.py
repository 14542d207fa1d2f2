"""Multi-tools on offer: small, stable, and beside the agent's own tools."""

import copy
import json
from typing import Any

import orjson
import pytest

from batchwrap.core.formats.chat.format import CHAT_FORMAT
from batchwrap.core.tools.find import find
from batchwrap.core.tools.multi import MultiTool, multi_tools
from batchwrap.core.tools.offer import Form, definitions, example, offer
from batchwrap.encodings import load
from batchwrap.options import Batching, Options, ToolKind
from tests.core.harness import Bench, call, completion, specs
from tests.strategies import EDIT_FILE, GREP, READ_FILE, WRITE_FILE


def offered(*tools: Any, **fields: Any) -> dict[str, Any]:
    """The request in the provider view."""
    body = {"messages": [{"role": "user", "content": "hi"}], "tools": list(tools), **fields}
    before = copy.deepcopy(body)
    new = Bench().request(body)
    assert body == before, "the agent's own request is never changed"
    return new or body


def named(name: str, tool: Any = READ_FILE) -> Any:
    """A tool of another name."""
    return {"type": "function", "function": {**tool["function"], "name": name}}


def names(body: dict[str, Any]) -> list[str]:
    """The names of a request's tools."""
    return [tool["function"]["name"] for tool in body["tools"]]


def test_after_the_agents_own_tools() -> None:
    """The agent's tools come first and stay as they are."""
    body = offered(READ_FILE, EDIT_FILE)
    assert names(body) == ["read_file", "edit_file", "multi_read", "multi_edit", "batch"]
    assert body["tools"][:2] == [READ_FILE, EDIT_FILE]


def test_the_same_bytes_each_time() -> None:
    """The offer depends on the tools alone, so a prompt cache keeps its prefix."""
    first = offered(READ_FILE)["tools"]
    later = offered(READ_FILE, messages=[{"role": "user", "content": "other"}])["tools"]
    assert json.dumps(first) == json.dumps(later)


def test_the_item_is_the_single_tools_own_schema() -> None:
    """An item takes what the single tool takes, without the descriptions."""
    parameters = offered(READ_FILE)["tools"][-1]["function"]["parameters"]
    assert parameters["properties"]["files"]["items"] == {
        "type": "object",
        "properties": {"path": {"type": "string"}, "offset": {"type": "integer"}},
        "required": ["path"],
    }


def test_a_parameter_called_description_stays() -> None:
    """Only notes of the schema are left out, not parameters with such names."""
    tool = copy.deepcopy(READ_FILE)
    properties = tool["function"]["parameters"]["properties"]
    properties["description"] = {"type": "string", "description": "a note", "title": "T"}
    items = offered(tool)["tools"][-1]["function"]["parameters"]["properties"]["files"]["items"]
    assert items["properties"]["description"] == {"type": "string"}


def multi_edit(parameters: dict[str, Any]) -> MultiTool:
    """The multi-tool for an edit tool with these parameters."""
    tool = {"type": "function", "function": {"name": "edit", "parameters": parameters}}
    [multi] = multi_tools(find(specs(tool), Batching(tools={"edit": "edit"})), set(), mixed=False)
    return multi


def test_the_example_has_the_form_of_the_tools_arguments() -> None:
    """The example in the description would be a valid call: lists are lists, choices are made."""
    hunk = {
        "type": "object",
        "properties": {"oldText": {"type": "string"}, "newText": {"type": "string"}, "note": {}},
        "required": ["oldText", "newText"],
    }
    properties = {
        "path": {"type": "string"},
        "edits": {"type": "array", "items": {"$ref": "#/$defs/hunk"}},
        "dry_run": {"type": "boolean"},
        "mode": {"type": "string", "enum": ["fast"]},
        "depth": {"type": ["integer", "null"]},
    }
    parameters = {
        "type": "object",
        "$defs": {"hunk": hunk},
        "properties": properties,
        "required": list(properties),
    }
    files = json.loads(example(multi_edit(parameters), ["a.py"]))["files"]
    item = {"path": "a.py", "edits": [{"oldText": "…", "newText": "…"}]}
    assert files == [{**item, "dry_run": True, "mode": "fast", "depth": 1}]


@pytest.mark.parametrize(
    "odd", [None, 7, {"$ref": "#/$defs/odd"}, {"type": "array"}, {"type": "object"}, {"enum": []}]
)
def test_an_example_of_odd_schemas(odd: Any) -> None:
    """Whatever a schema holds, there is an example, and it has an end."""
    again = {"type": "array", "items": {"$ref": "#/$defs/odd"}}
    properties = {"path": {"type": "string"}, "odd": odd}
    parameters = {"properties": properties, "required": ["path", "odd"], "$defs": {"odd": again}}
    assert len(example(multi_edit(parameters), ["a.py"])) < 60


def test_definitions_move_to_the_root() -> None:
    """References of the item's schema still point at their definitions."""
    tool = copy.deepcopy(READ_FILE)
    tool["function"]["parameters"]["$defs"] = {"Line": {"type": "integer", "title": "Line"}}
    tool["function"]["parameters"]["properties"]["offset"] = {"$ref": "#/$defs/Line"}
    parameters = offered(tool)["tools"][-1]["function"]["parameters"]
    assert parameters["$defs"] == {"Line": {"type": "integer"}}
    assert "$defs" not in parameters["properties"]["files"]["items"]


def test_names_that_are_taken() -> None:
    """A name that the agent uses itself is never taken."""
    other = named("multi_read", EDIT_FILE)
    assert names(offered(READ_FILE, other)) == ["read_file", "multi_read", "multi_read_file"]
    both = offered(READ_FILE, other, named("multi_read_file", other))
    assert names(both) == ["read_file", "multi_read", "multi_read_file"]
    batches = names(offered(READ_FILE, GREP, named("batch", other)))
    assert batches[-2:] == ["multi_read", "batch_calls"]


def test_several_read_tools() -> None:
    """With several read tools there is one multi-tool for each, named after it."""
    body = offered(READ_FILE, named("view"))
    assert names(body)[-3:] == ["multi_read_file", "multi_view", "batch"]


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"tools": None},
        {"tools": [GREP]},
        {"tools": [READ_FILE], "n": 2},
    ],
)
def test_nothing_to_offer(fields: dict[str, Any]) -> None:
    """Without two calls to batch, or with several choices, nothing changes."""
    body = {"messages": [{"role": "user", "content": "hi"}], **fields}
    assert Bench().request(body) is None


def test_a_declared_tool_alone() -> None:
    """A tool that only looks is offered in a `batch` if the user declared it, even alone."""
    body = {"messages": [{"role": "user", "content": "hi"}], "tools": [GREP]}
    name = GREP["function"]["name"]
    kinds: list[tuple[ToolKind, list[str]]] = [("read_only", ["batch"]), ("bookkeeping", [])]
    for kind, offered in kinds:
        sent = Bench(Options(batching=Batching(tools={name: kind}))).request(body)
        names = [tool["function"]["name"] for tool in (sent or body)["tools"]]
        assert names == [name, *offered]


def test_allowed_tools() -> None:
    """A multi-tool joins an `allowed_tools` list if its single tool is on it."""

    def choice(*allowed: str) -> Any:
        listed = [{"type": "function", "function": {"name": name}} for name in allowed]
        return {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": listed}}

    body = offered(READ_FILE, EDIT_FILE, tool_choice=choice("read_file"))
    assert body["tool_choice"] == choice("read_file", "multi_read")
    body = offered(READ_FILE, EDIT_FILE, tool_choice=choice("read_file", "edit_file"))
    assert body["tool_choice"] == choice(
        *("read_file", "edit_file"), *("multi_read", "multi_edit", "batch")
    )
    body = offered(READ_FILE, EDIT_FILE, tool_choice=choice("grep"))
    assert body["tool_choice"] == choice("grep")


def test_a_forced_function_stays() -> None:
    """A forced function is left to the provider as it is."""
    forced = {"type": "function", "function": {"name": "read_file"}}
    assert offered(READ_FILE, tool_choice=forced)["tool_choice"] == forced


def test_the_offer_is_small() -> None:
    """The schema is paid for in every request: about 500 tokens with read, edit, write, search."""
    singles = find(specs(READ_FILE, EDIT_FILE, WRITE_FILE, GREP), Batching())
    multis = multi_tools(singles, set(), mixed=True)
    form = Form(instead=False, most=8, stops=True)
    made = [CHAT_FORMAT.definition(one) for one in definitions(multis, form)]
    body = offer({"tools": []}, CHAT_FORMAT, {}, made)
    assert names(body) == ["multi_read", "multi_edit", "multi_write", "batch"]
    written = orjson.dumps(body["tools"]).decode()
    assert len(load("o200k_base").encode_ordinary(written)) <= 500


def test_instead() -> None:
    """With "instead" the multi-tools take the place of their tools, with full descriptions."""
    body = {"messages": [{"role": "user", "content": "hi"}], "tools": [READ_FILE, EDIT_FILE, GREP]}
    bench = Bench(Options(batching=Batching(offer="instead")))
    sent = bench.request(body)
    assert sent is not None
    assert names(sent) == ["grep", "multi_read", "multi_edit", "batch"]
    multi_read = sent["tools"][1]["function"]
    assert multi_read["description"].startswith("Reads a text file.\nSeveral read_file calls")
    assert (
        "description"
        in multi_read["parameters"]["properties"]["files"]["items"]["properties"]["path"]
    )
    forced = {"type": "function", "function": {"name": "read_file"}}
    sent = bench.request({**body, "tool_choice": forced})
    assert sent is not None
    assert names(sent)[:3] == ["read_file", "edit_file", "grep"]


@pytest.mark.parametrize(
    "rule", ["Use one tool at a time.", "Make a single tool call per message, then wait."]
)
def test_an_agent_that_wants_one_tool_at_a_time(rule: str) -> None:
    """A system prompt that asks for single calls is not contradicted."""
    messages = [{"role": "system", "content": rule}, {"role": "user", "content": "hi"}]
    assert Bench().request({"messages": messages, "tools": [READ_FILE]}) is None


def test_a_model_that_stumbles() -> None:
    """After three malformed multi-calls in a row a model is offered none in new conversations.

    A conversation that had the offer keeps it, so its prefix stays; one well-formed call
    starts the count anew; other models are not concerned.
    """
    bench = Bench(Options(reminders=None))

    def asked(text: str, *more: Any, model: str = "m") -> dict[str, Any]:
        messages = [{"role": "user", "content": text}, *more]
        return {"model": model, "messages": messages, "tools": [READ_FILE]}

    def offers(body: dict[str, Any]) -> bool:
        return bench.request(body) is not None

    def calls(arguments: str) -> None:
        made = {"role": "assistant", "tool_calls": [call("c", "multi_read", arguments)]}
        bench.ask(asked("old"), completion(made))

    for arguments in ("{}", "{}", '{"files": ["a.py"]}', "{", '{"files": [5]}'):
        calls(arguments)
        assert offers(asked("new"))
    calls("[]")
    said = {"role": "assistant", "content": "ok"}, {"role": "user", "content": "go on"}
    assert not offers(asked("new"))
    assert not offers(asked("new", *said))
    assert offers(asked("old", *said))
    assert offers(asked("new", model="other"))


def test_only_what_was_asked_for() -> None:
    """`mixed=False` leaves `batch` away; a shell that the user declared gets a list of its own."""
    bash = {"name": "bash", "parameters": {"type": "object", "properties": {"command": {}}}}
    tools = [READ_FILE, GREP, {"type": "function", "function": bash}]
    batching = Batching(mixed=False, tools={"bash": "sequential"})
    body = {"messages": [{"role": "user", "content": "hi"}], "tools": tools}
    sent = Bench(Options(batching=batching)).request(body)
    assert sent is not None
    assert names(sent)[3:] == ["multi_read", "multi_bash"]
    assert list(sent["tools"][-1]["function"]["parameters"]["properties"]) == ["calls"]
    listed = sent["tools"][-1]["function"]["parameters"]["properties"]["calls"]
    assert listed["description"] == "In order, up to the first that fails"
